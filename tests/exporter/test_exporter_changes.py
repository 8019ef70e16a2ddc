"""Exports of changes, one after the other, on a virtual clock: cursor, deletions, columns."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.exporting import export, exporting, manifest, org, rows

from bulkfetch.config import Export
from bulkfetch.sandbox import Sandbox
from bulkfetch.sandbox.org.specs import FieldSpec

LEADS: dict[str, Any] = {"module": "Leads", "sync": "changes", "overlap_s": 60.0}


def told_of(seen: Any, out: Path) -> dict[str, Any]:
    """Return the manifest of an export that is done."""
    assert seen.only().status == "done", seen.only().error
    return manifest(out, "Leads")


def test_changes_are_asked_for_from_the_cursor_before(tmp_path: Path) -> None:
    """The second export has what was modified since the first was created, on Zoho's clock."""

    async def main(sandbox: Sandbox) -> None:
        first = told_of(await export(sandbox, tmp_path, Export(**LEADS)), tmp_path)
        assert (first["mode"], first["why"]) == ("full", "it is the first one")
        created = datetime.fromisoformat(first["parts"][0]["created_time"])
        assert datetime.fromisoformat(first["cursor"]["to"]) == created
        record = rows(tmp_path, "Leads")[3]["Id"]
        sandbox.modify("Leads", record, {"City": "Oslo"})
        second = told_of(await export(sandbox, tmp_path, Export(**LEADS)), tmp_path)
        assert second["mode"] == "changes"
        assert second["cursor"]["from"] == first["cursor"]["to"]
        asked = second["query"]["criteria"]
        assert (asked["field"]["api_name"], asked["comparator"]) == (
            "Modified_Time",
            "greater_equal",
        )
        assert datetime.fromisoformat(asked["value"]) == created - timedelta(seconds=60)
        assert [row["Id"] for row in rows(tmp_path, "Leads")] == [record]

    exporting(main)


def test_each_folder_has_its_list_of_deletions(tmp_path: Path) -> None:
    """That of a first export is empty, and costs no call; later ones list what is gone since."""

    async def main(sandbox: Sandbox) -> None:
        wanted = Export(**LEADS, deleted=True)
        seen = await export(sandbox, tmp_path, wanted)
        assert told_of(seen, tmp_path)["deleted"] == {"file": "deleted.csv", "records": 0}
        assert seen.count("deleted") == 0
        record = rows(tmp_path, "Leads")[0]["Id"]
        sandbox.delete("Leads", record)
        told = told_of(await export(sandbox, tmp_path, wanted), tmp_path)
        assert (told["mode"], told["deleted"]["records"]) == ("changes", 1)
        folder = json.loads((tmp_path / "Leads" / "latest.json").read_text())["folder"]
        lines = (tmp_path / "Leads" / folder / "deleted.csv").read_text().splitlines()
        assert lines[0] == "id,deleted_time,type"
        assert lines[1].startswith(f"{record},")

    exporting(main, org(epoch=None))  # else its clock is too far from this machine's


def test_another_query_is_exported_in_full(tmp_path: Path) -> None:
    """Rows of the export before would lack the new column: everything is asked for, and why."""

    async def main(sandbox: Sandbox) -> None:
        await export(sandbox, tmp_path, Export(**LEADS, fields=["City", "Modified_Time"]))
        fields = ["City", "Country", "Modified_Time"]
        told = told_of(await export(sandbox, tmp_path, Export(**LEADS, fields=fields)), tmp_path)
        assert (told["mode"], told["why"]) == ("full", "the query changed since the one before")
        assert told["records"] == 20
        assert told["drift"]["added"] == ["Country"]

    exporting(main)


def test_columns_that_came_and_went_are_said(tmp_path: Path) -> None:
    """No column is lost silently: manifest, report and event name those that changed."""

    async def main(sandbox: Sandbox) -> None:
        await export(sandbox, tmp_path, Export(module="Leads"))
        store = sandbox.org.store("Leads")
        store.drop_field("Industry")
        store.put_field(FieldSpec("Shoe_Size", "integer", custom=True))
        store.put_field(FieldSpec("City", "picklist", values=("Oslo", "Bergen")))
        seen = await export(sandbox, tmp_path, Export(module="Leads"))
        told = told_of(seen, tmp_path)
        assert told["drift"] == {
            "added": ["Shoe_Size"],
            "gone": ["Industry"],
            "retyped": [{"name": "City", "before": "text", "now": "picklist"}],
        }
        said = [
            "New columns since the export before: Shoe_Size.",
            "Columns that are gone since the export before: Industry.",
            "Columns of another type since the export before: City.",
        ]
        assert told["warnings"] == list(seen.only().warnings) == said
        assert seen.told("note") == [f"export Leads: {each}" for each in said]
        again = await export(sandbox, tmp_path, Export(module="Leads"))
        assert told_of(again, tmp_path)["warnings"] == []

    exporting(main, org())

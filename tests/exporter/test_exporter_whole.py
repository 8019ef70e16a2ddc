"""Whole exports on a virtual clock: from a module's name to verified files."""

from __future__ import annotations

from pathlib import Path

import anyio
from tests.support.exporting import export, exporting, manifest, org, rows

from bulkfetch.config import Export
from bulkfetch.sandbox import Sandbox


def test_a_module_becomes_a_folder_of_parts(tmp_path: Path) -> None:
    """Three pages, each created once, counted and published together, as the manifest tells."""

    async def main(sandbox: Sandbox) -> None:
        seen = await export(sandbox, tmp_path, Export(module="Leads"))
        report = seen.only()
        assert (report.status, report.error) == ("done", None)
        assert report.records == 20
        assert [(part.page, part.records) for part in seen.outcomes] == [(1, 8), (2, 8), (3, 4)]
        assert seen.count("create") == seen.count("result") == 3
        assert rows(tmp_path, "Leads") == sandbox.rows("Leads")
        told = manifest(tmp_path, "Leads")
        spent = sandbox.credits_spent(seen.log[0].account)
        assert told["credits"]["spent"] == spent == report.credits_spent
        assert [Path(file.path).is_file() for part in seen.outcomes for file in part.files]

    exporting(main)


def test_deletions_have_their_file_from_the_first_night_on(tmp_path: Path) -> None:
    """With `deleted` there is always a deleted.csv: empty beside the first full export."""

    async def main(sandbox: Sandbox) -> None:
        leads = Export(module="Leads", sync="changes", deleted=True)
        await export(sandbox, tmp_path, leads)
        assert manifest(tmp_path, "Leads")["deleted"] == {"file": "deleted.csv", "records": 0}
        gone = sandbox.rows("Leads")[3]["Id"]
        await anyio.sleep(3600)
        sandbox.delete("Leads", gone)
        await export(sandbox, tmp_path, leads)
        assert manifest(tmp_path, "Leads")["deleted"] == {"file": "deleted.csv", "records": 1}
        first, second = sorted((tmp_path / "Leads").glob("*/deleted.csv"))
        assert first.read_text() == "id,deleted_time,type\n"
        assert gone in second.read_text()

    exporting(main, org(epoch=None))


def test_calendars_are_exported_as_ics(tmp_path: Path) -> None:
    """Events as ICS: parts are calendars, counted by their events; there are no columns."""

    async def main(sandbox: Sandbox) -> None:
        seen = await export(sandbox, tmp_path, Export(module="Events", file_type="ics"))
        report = seen.only()
        assert (report.status, report.records) == ("done", 20)
        told = manifest(tmp_path, "Events")
        assert [part["file"] for part in told["parts"]] == [
            *("part-00001.ics", "part-00002.ics", "part-00003.ics")
        ]
        assert told["columns"] == []

    exporting(main, org(ics_records=20))

"""What the how-to tells people to type does what it says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import anyio
import pytest
from tests.support.exporting import export, exporting, org

from bulkfetch.config import Export, load_settings
from bulkfetch.sandbox import Sandbox

HOW_TO = Path(__file__).parents[1] / "docs" / "how-to-export-every-night.md"
TEXT = HOW_TO.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def part(folder: Path, *rows: str, deleted: str = "") -> None:
    """One published export of leads: its rows, and the ids that were deleted."""
    folder.mkdir(parents=True)
    head = "Id,Last_Name,Lead_Source,Modified_Time"
    (folder / "part-00001.csv").write_text("\n".join([head, *rows, ""]))
    (folder / "deleted.csv").write_text(
        "id,deleted_time,type\n" + "".join(f"{each},,recycle\n" for each in deleted.split())
    )


def test_the_duckdb_query_gives_what_the_crm_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Newest row per Id since the last full export, minus the deleted, whatever the offsets."""
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed here")
    monkeypatch.chdir(tmp_path)
    leads = tmp_path / "exports" / "Leads"
    part(leads / "20260901T020000Z-full", "9,Gone long ago,Web,2026-08-01T00:00:00+00:00")
    part(
        leads / "20260927T020000Z-full",
        "5540230000000001,Old name,Web,2026-09-01T10:00:00+02:00",
        "5540230000000002,Stays,,2026-09-01T10:00:00+02:00",
        "5540230000000003,Is deleted,Web,2026-09-01T10:00:00+02:00",
        '5540230000000004,"Deleted, back",Web,2026-09-01T10:00:00+02:00',
        deleted="9",
    )
    part(
        leads / "20260928T020000Z-changes",
        "5540230000000001,New name,Web,2026-09-27T23:30:00-02:00",
        "5540230000000005,Twice,Web,2026-09-27T08:00:00+00:00",
        "5540230000000005,Twice newer,Web,2026-09-27T09:00:00+00:00",
        deleted="5540230000000003 5540230000000004",
    )
    part(
        leads / "20260929T020000Z-changes",
        "5540230000000001,New name again,Web,2026-09-28T02:00:00+00:00",
        '5540230000000004,"Deleted, back",Web,2026-09-28T22:00:00+00:00',
        "5540230000000006,Came and went,Web,2026-09-28T21:00:00+00:00",
        deleted="5540230000000006",
    )
    view, count = blocks("sql")
    with duckdb.connect() as database:
        database.execute(view)
        rows = database.execute("SELECT Id, Last_Name FROM leads ORDER BY Id").fetchall()
        columns = [each[0] for each in database.execute("SELECT * FROM leads").description]
        counts = database.execute(count).fetchall()
    assert rows == [
        ("5540230000000001", "New name again"),
        ("5540230000000002", "Stays"),
        ("5540230000000004", "Deleted, back"),
        ("5540230000000005", "Twice newer"),
    ]
    assert columns == ["Id", "Last_Name", "Lead_Source", "Modified_Time"]
    assert dict(counts) == {"Web": 3, None: 1}


def test_after_some_nights_the_view_is_the_crm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full export and two of changes, between which records come, change, go and come back."""
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed here")
    monkeypatch.chdir(tmp_path)
    leads = Export(module="Leads", sync="changes", deleted=True)

    async def main(sandbox: Sandbox) -> list[dict[str, str]]:
        await export(sandbox, tmp_path / "exports", leads)
        for night in range(2):
            await anyio.sleep(80_000)
            ids = [row["Id"] for row in sandbox.rows("Leads")]
            sandbox.modify("Leads", ids[night], {"Company": f"Changed {night}"})
            sandbox.modify("Leads", ids[5], {"Company": f"Changed again {night}"})
            sandbox.delete("Leads", ids[10 + night])
            sandbox.insert("Leads", {"Company": f"New {night}"})
            await export(sandbox, tmp_path / "exports", leads)
        return sandbox.rows("Leads")

    held = exporting(main, org(epoch=None))
    folders = sorted((tmp_path / "exports" / "Leads").glob("2*"))
    assert [each.name.rpartition("-")[2] for each in folders] == ["full", "changes", "changes"]
    with duckdb.connect() as database:
        database.execute(blocks("sql")[0])
        names = ", ".join(f'"{name}"' for name in held[0])
        found = database.execute(f"SELECT {names} FROM leads ORDER BY Id").fetchall()
    wanted = [tuple(value or None for value in row.values()) for row in held]
    assert found == sorted(wanted, key=lambda row: row[0] or "")


def test_its_jobs_toml_is_right(tmp_path: Path) -> None:
    """The settings of the how-to load, and ask for what it says."""
    [text] = blocks("toml")
    assert tomllib.loads(text)
    (tmp_path / "jobs.toml").write_text(text)
    (tmp_path / "zoho.env").touch(mode=0o600)
    leads, deals = load_settings(tmp_path / "jobs.toml", {}).exports
    assert (leads.name, leads.sync, leads.full_every_s, leads.deleted) == (
        *("Leads", "changes", 604_800.0),
        True,
    )
    assert deals.fields is not None
    assert "Modified_Time" in deals.fields

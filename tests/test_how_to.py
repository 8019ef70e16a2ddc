"""What the how-to tells people to type does what it says."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import anyio
import click
import pytest
from tests.support.exporting import export, exporting, org

from bulkfetch.cli.app import program
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


@pytest.mark.slow
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


def test_its_commands_and_options_exist() -> None:
    """Whatever is typed after `bulkfetch`, in a shell, a unit or a crontab, the program knows."""
    assert isinstance(program, click.Group)
    used = re.findall(r"bin/bulkfetch ([a-z]+)([^\n#>;]*)|^bulkfetch ([a-z]+)([^\n#]*)", TEXT, re.M)
    told = [(first or second, rest or more) for first, rest, second, more in used]
    assert {name for name, _ in told} == {"modules", "fields", "plan", "export", "status"}
    for name, rest in told:
        command = program.get_command(click.Context(program), name)
        assert command is not None
        known = {option for item in command.params for option in item.opts}
        assert set(re.findall(r"(?<= )--?[a-z-]+", rest)) <= known


@pytest.mark.parametrize(
    ("statuses", "runs", "ends"),
    [("0", 1, 0), ("1", 1, 1), ("2", 1, 2), ("3 3 0", 3, 0), ("3 1", 2, 1), ("3 3 3 3 3", 5, 3)],
)
def test_its_crontab_runs_again_after_a_3_only(
    tmp_path: Path, statuses: str, runs: int, ends: int
) -> None:
    """The line ends with the status of the last call; only a 3 has it called again."""
    [line] = re.findall(r"^0 2 \* \* \* (.*)$", TEXT, re.M)
    assert "%" not in line  # which cron takes for the end of a line
    fake = tmp_path / ".venv" / "bin" / "bulkfetch"
    fake.parent.mkdir(parents=True)
    (tmp_path / "statuses").write_text(statuses.replace(" ", "\n") + "\n")
    fake.write_text(
        "#!/bin/sh\necho $@ >> calls\nn=$(wc -l < calls)\nexit $(sed -n ${n}p statuses)\n"
    )
    fake.chmod(0o755)
    line = line.replace("/srv/crm", str(tmp_path)).replace("sleep 900", ":")
    assert subprocess.run(["sh", "-c", line]).returncode == ends
    assert (tmp_path / "calls").read_text().splitlines() == ["export jobs.toml -q --wait 2h"] * runs

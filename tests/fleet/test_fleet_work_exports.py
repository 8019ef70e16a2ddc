"""Exports of a fleet from the submission to its end, done by workers that are processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.fleet_scene import fleet_scene
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.slow

EXPORTS = "[[exports]]\nmodule = 'Leads'\nfields = ['Last_Name', 'Modified_Time']\n"


def comparable(record: dict[str, Any]) -> dict[str, Any]:
    """Leave out what differs from one export to the next: names of jobs and places, and time."""
    files = [file | {"path": Path(file["path"]).name} for file in record.get("files", ())]
    changing = ("id", "manifest", "cursor", "elapsed_s")
    return {key: each for key, each in record.items() if key not in changing} | {"files": files}


def test_what_workers_export_is_told_as_by_the_command(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    """Three accounts by two workers: the same pages, records and summary as of `export`."""
    three_pages = {"per_page": 8, "prepare_s": 0.0}
    with fleet_scene(
        tmp_path, postgres, database, accounts=3, exports=EXPORTS, org=three_pages, heartbeat_s=60
    ) as scene:
        fleet = scene.settings(0)
        submitted = scene.command(0, "fleet", "submit", fleet, "--exports")
        assert submitted.status == 0, submitted.err
        for host in range(2):
            scene.start(host)
        waited = scene.command(0, "fleet", "wait", fleet, submitted.out.strip(), "--json")
        assert waited.status == 0, waited.err + scene.log(0) + scene.log(1)
        text = (tmp_path / fleet).read_text()
        accounts = text[text.index("[accounts.") : text.index("[[exports]]")]
        (tmp_path / "jobs.toml").write_text(
            accounts
            + "".join(f"{EXPORTS}name = '{name}'\naccount = '{name}'\n" for name in scene.accounts)
        )
        exported = scene.command(0, "export", "jobs.toml", "--json")
        assert exported.status == 0, exported.err
        for name in scene.accounts:
            ours, theirs = (
                [
                    comparable(record) | {"export": "", "name": ""}
                    for record in ended.records
                    if record.get("account") == name
                ]
                for ended in (waited, exported)
            )
            assert ours == theirs
            assert [record["type"] for record in ours] == 3 * ["job"] + ["export"]
        summary, expected = (comparable(ended.records[-1]) for ended in (waited, exported))
        assert summary == expected
        paths = [file["path"] for record in waited.records for file in record.get("files", ())]
        bucket = {path.split("/", 3)[3] for path in paths}
        assert len(bucket) == 9
        assert bucket <= set(scene.bucket.objects)

"""Exports in a fleet for murder: what is asked, how it stands, and what was published."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import TypeAlias

from tests.support.fleet_scene import FleetScene

from bulkfetch.sandbox import read_log

# Makes a fleet with exports; its arguments are those of `fleet_scene` that are not the usual ones.
ExportScene: TypeAlias = Callable[..., FleetScene]

NAMES = ("Leads", "Contacts")
# A sandbox that prepares at once; a module's twenty records are so many pages.
PAGES = 3
THREE_PAGES = {"per_page": 8, "prepare_s": 0.0}
EXPORTS = """
[[exports]]
module = "Leads"
sync = "changes"
deleted = true
[[exports]]
module = "Contacts"
"""


def wait_for(scene: FleetScene, holds: Callable[[], bool], within_s: float = 60.0) -> None:
    """Wait until something holds, and tell what the workers have said if it never does."""
    over = time.monotonic() + within_s
    while not holds():
        said = "".join(f"\n--- {host}\n{scene.log(host)}" for host in scene.hosts)
        rows = scene.sql("SELECT account, name, state, report FROM bulkfetch.fleet_export")
        pages = scene.sql("SELECT generation, number, state FROM bulkfetch.fleet_page")
        assert time.monotonic() < over, f"{rows}\n{pages}{said}"
        time.sleep(0.05)


def ended(scene: FleetScene) -> dict[str, str]:
    """How the exports stand, written as ACCOUNT/NAME."""
    found = scene.sql("SELECT account || '/' || name, state FROM bulkfetch.fleet_export")
    return dict(line.split("|") for line in found.splitlines())


def creates(scene: FleetScene, account: str, module: str = "Leads") -> int:
    """Count the create calls of an account for a module."""
    made = (each for each in read_log(scene.service.log) if each.kind == "create")
    return sum((each.account, each.module) == (f"the-{account}", module) for each in made)


def published(files: Mapping[str, bytes], place: str) -> list[str]:
    """Give the digests of the newest export's parts; all of it checked: manifest, sizes, names."""
    latest = json.loads(files[f"{place}/latest.json"])
    told = json.loads(files[f"{place}/{latest['manifest']}"])
    folder = f"{place}/{latest['folder']}/"
    digests = [hashlib.sha256(files[folder + part["file"]]).hexdigest() for part in told["parts"]]
    assert digests == [part["sha256"] for part in told["parts"]]
    there = {name.removeprefix(folder) for name in files if name.startswith(folder)}
    described = {"manifest.json", "schema.json"} | ({"deleted.csv"} if told["deleted"] else set())
    assert there == {*described, *(part["file"] for part in told["parts"])}
    folders = {name.split("/")[2] for name in files if name.startswith(f"{place}/2")}
    assert folders == {latest["folder"]}
    return digests


def causes(scene: FleetScene) -> dict[str, str]:
    """Why exports wait or have failed, by ACCOUNT/NAME."""
    why = "report -> 'error' ->> 'code'"
    found = scene.sql(
        f"SELECT account || '/' || name, {why} FROM bulkfetch.fleet_export WHERE {why} IS NOT NULL"
    )
    return dict(line.split("|") for line in found.splitlines())


def pass_a_day(scene: FleetScene) -> None:
    """Have what the database knows be a day older: credits that were spent, turns that wait."""
    scene.sql(
        "UPDATE bulkfetch.account_control SET span_start = ("
        "SELECT coalesce(array_agg(start - 90000 ORDER BY at), '{}') "
        "FROM unnest(span_start) WITH ORDINALITY AS span (start, at));"
        "UPDATE bulkfetch.pgqueuer SET execute_after = execute_after - interval '25 hours' "
        "WHERE entrypoint = 'turn'"
    )

"""Exports in a fleet: gone on with by whichever host has the account's turn."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.fleet_scene import FleetScene, fleet_scene, ids_of
from tests.support.postgres import PostgresServer

from bulkfetch.sandbox import read_log

pytestmark = pytest.mark.slow

EXPORTS = """
[[exports]]
module = "Leads"
sync = "changes"
deleted = true
[[exports]]
module = "Contacts"
"""
PAGES = 3
# What Python imports at its start: a worker that dies as soon as a state is written.
_DEADLY = """
import os, signal
if os.environ.get("DEADLY_STATE"):
    from bulkfetch.fleet.export_store import TurnExports
    opened, write = TurnExports.open, TurnExports.write
    def die(states):
        if os.environ["DEADLY_STATE"] in states:
            os.kill(os.getpid(), signal.SIGKILL)
    async def open_and_die(self, *arguments):
        made = await opened(self, *arguments)
        die({"PLANNED"})
        return made
    async def write_and_die(self, change):
        await write(self, change)
        generation = [] if change.generation is None else [change.generation.state]
        die({*generation, *(page.state for page in change.pages)})
    TurnExports.open, TurnExports.write = open_and_die, write_and_die
"""
STEPS = ("PLANNED", "CREATING", "PREPARING", "READY", "COUNTED", "PUBLISHING")


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


def creates(scene: FleetScene, account: str) -> int:
    """Count the create calls of an account."""
    log = read_log(scene.service.log)
    return sum(each.kind == "create" and each.account == f"the-{account}" for each in log)


def published(scene: FleetScene, place: str) -> list[str]:
    """Give the digests of the newest export's parts; all of it checked: manifest, sizes, names."""
    files = scene.bucket.objects
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


def test_an_export_is_gone_on_with_by_another_host_wherever_the_first_one_died(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    """The same bytes as without a death, and no page is created twice.

    Where the create call may have left, its credits are told as wasted. Nothing stays on the hosts.
    """
    with fleet_scene(
        tmp_path,
        postgres,
        database,
        accounts=len(STEPS) + 1,
        heartbeat_s=2,
        exports=EXPORTS,
        org={"per_page": 8, "prepare_s": 0.0},
        period_s=1.0,
    ) as scene:
        (tmp_path / "sitecustomize.py").write_text(_DEADLY)
        whole, *accounts = scene.accounts
        for account, step in zip(accounts, STEPS, strict=True):
            scene.env["DEADLY_STATE"] = step
            scene.submit_exports(f"{account}/Leads")
            scene.start(0)
            wait_for(scene, lambda: scene.hosts[0].poll() is not None)
            del scene.env["DEADLY_STATE"]
            scene.start(1)
            wait_for(scene, lambda: set(ended(scene).values()) == {"1"})
            scene.term(1)
        scene.submit_exports(f"{whole}/Leads")
        scene.start(0)
        wait_for(scene, lambda: ended(scene)[f"{whole}/Leads"] == "1")
        scene.term(0)
        digests = published(scene, f"{whole}/Leads")
        assert len(digests) == creates(scene, whole) == PAGES
        for account, step in zip(accounts, STEPS, strict=True):
            assert published(scene, f"{account}/Leads") == digests, step
            assert creates(scene, account) == PAGES, step
            wasted = "SELECT report ->> 'credits_wasted' FROM bulkfetch.fleet_export"
            told = scene.sql(f"{wasted} WHERE account = '{account}'")
            assert told == ("50" if step == "CREATING" else "0"), step
        for host in (0, 1):
            assert list((tmp_path / f"host{host}").glob("*/.bulkfetch/exports/*/*")) == [], host


def test_an_export_of_changes_begins_where_the_one_of_another_host_ended(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    """The cursor is the fleet's; and in full is only what was asked for in full."""
    mode = "SELECT report ->> 'mode', whole FROM bulkfetch.fleet_export WHERE name = 'Leads'"
    with fleet_scene(
        tmp_path,
        postgres,
        database,
        accounts=1,
        heartbeat_s=5,
        exports=EXPORTS,
        org={"prepare_s": 0.0},
        period_s=1.0,
    ) as scene:
        for host, full, wanted in ((0, False, "full"), (1, False, "changes"), (0, True, "full")):
            scene.submit_exports("a000/Leads", full=full)
            scene.start(host)
            wait_for(scene, lambda: ended(scene)["a000/Leads"] == "1")
            scene.term(host)
            assert scene.sql(mode) == f"{wanted}|f"


def test_jobs_and_exports_share_a_turn_and_what_the_settings_do_not_know_is_left(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    """A name that this host's settings lack is told once; the others are done, and the jobs."""
    with fleet_scene(
        tmp_path,
        postgres,
        database,
        accounts=2,
        heartbeat_s=5,
        exports=EXPORTS,
        org={"prepare_s": 0.0},
    ) as scene:
        scene.submit_exports("a000/Leads", "a000/Contacts", "a000/Deals", "a001/Contacts")
        scene.submit({name: ids_of(at, 5) for at, name in enumerate(scene.accounts)})
        scene.start(0)
        scene.wait(60)
        wanted = {"a000/Leads": "1", "a000/Contacts": "1", "a000/Deals": "0", "a001/Contacts": "1"}
        wait_for(scene, lambda: ended(scene) == wanted)
        text = "a000: the settings here do not know its export Deals; it is left alone"
        wait_for(scene, lambda: text in scene.log(0))
        scene.term(0)
        assert scene.log(0).count("do not know its export") == 1
        scene.check()
        assert len(published(scene, "a001/Contacts")) == 1

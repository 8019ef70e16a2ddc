"""Accounts of a fleet that no worker serves: who waits, or looks, is told which and why."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from tests.support.fleets import PASSING, make_fleet, submit_to
from tests.support.postgres import PostgresServer
from tests.support.programs import Ended, Program

from bulkfetch.fleet.journal import FleetJournal
from bulkfetch.models import Job

pytestmark = pytest.mark.slow

# As Python imports it at its start: the wait has lasted for long enough at once.
_AT_ONCE = "from bulkfetch.fleet import watch\nwatch.UNBEGUN_S = 0.0\n"
_ALONE = (
    "warning: fleet.toml does not know acme: its workers leave it alone\n"
    "warning: fleet.toml names another server than the fleet has for beta: its workers leave it "
    "alone\n"
)


def test_accounts_that_no_worker_begins_with_are_told_once(
    call: Callable[..., Ended], program: Program, postgres: PostgresServer, database: str
) -> None:
    """Each with why, as far as the file shows it; `wait` goes on, since a worker may still come."""
    url = postgres.url(database)
    (program.folder / "fleet.toml").write_text(
        f'[fleet]\ndatabase = "{url}"\nstore = "s3://lake/{{account}}"\n'
        '[accounts.beta]\ndata_center = "us"\n[accounts.gamma]\ndata_center = "eu"\n'
        '[accounts.served]\ndata_center = "eu"\n'
    )
    (program.folder / "sitecustomize.py").write_text(_AT_ONCE)
    program.env["PYTHONPATH"] = f"{program.folder}:{program.environment()['PYTHONPATH']}"
    servers = dict.fromkeys(("acme", "beta", "gamma", "served"), "https://www.zohoapis.eu")

    async def submit() -> None:
        await make_fleet(url)
        jobs = [Job(f"{at}", name) for at, name in enumerate(servers, 1)]
        await submit_to(url, jobs, servers, server=servers["acme"])

    async def turns(*accounts: str, held: bool) -> None:
        journal = await FleetJournal.open(url, None, servers)
        for name in accounts:
            generation = await journal.begin_turn(name, "host-1")
            if held:
                await journal.hold(name, generation, PASSING)
            await journal.end_turn(name, generation)
        await journal.aclose()

    asyncio.run(submit())
    asyncio.run(turns("served", held=False))
    waiting = program.start("fleet", "wait", "fleet.toml", "1", "--json")
    assert waiting.stderr is not None
    said = b"".join(waiting.stderr.readline() for _ in range(3)).decode()
    assert said == _ALONE + (
        "warning: no worker has begun with gamma yet: none runs, all are busy, or theirs are other "
        "settings\n"
    )
    asyncio.run(turns(*servers, held=True))
    out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, b"warning" in err) == (3, False), err
    assert json.loads(out.splitlines()[-1])["pending"] == len(servers)
    assert call("fleet", "status", "fleet.toml").err.endswith(_ALONE)
    *records, _ = call("fleet", "status", "fleet.toml", "--json").records
    assert {record["account"]: record["server"] for record in records} == servers

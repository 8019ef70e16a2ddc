"""Results of one server are never taken for those of another, whatever the settings say by now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from tests.support.journals import done, failed, jobs, opened

from bulkfetch.errors import ConfigError
from bulkfetch.exports.chain import plan
from bulkfetch.journal import Change, GenerationRow, Journal, housekeeping
from bulkfetch.journal.schema import STEPS, checkpoint, open_to_write
from bulkfetch.models import Failure

pytestmark = pytest.mark.anyio

HERE, EU = {"acme": "this machine"}, {"acme": "https://www.zohoapis.eu"}


async def open_at(out: Path, servers: dict[str, str]) -> None:
    """Open the journal as a run against these servers does."""
    await (await Journal.open(out / ".bulkfetch", servers=servers)).aclose()


async def fetch_one(out: Path, how: str) -> None:
    """Take one job of the account to a state."""
    async with opened(out) as journal:
        await journal.enqueue(jobs("1", account="acme"))
        [entry] = await journal.take("acme", 1)
        await journal.attempted(entry, 1)
        if how == "downloaded":
            await journal.downloaded(entry, zip_bytes=16, attempts=1)
        elif how == "done":
            await journal.done(entry, done(entry, out))
        elif how == "failed":
            await journal.failed(entry, failed(entry, out))
        elif how == "refused":
            refused = (jobs("x", account="acme")[0], Failure("INVALID_ID", "It is none.", "", None))
            await journal.refused([refused])


@pytest.mark.parametrize("how", ["downloaded", "done", "failed"])
async def test_another_server_is_refused(tmp_path: Path, how: str) -> None:
    """With both servers and all ways out named; nothing is changed, and the first one goes on."""
    await open_at(tmp_path, HERE)
    await fetch_one(tmp_path, how)
    for _ in range(2):
        with pytest.raises(
            ConfigError, match=r"acme was asked at this machine .*zohoapis\.eu"
        ) as e:
            await open_at(tmp_path, EU)
        assert e.value.hint is not None
        assert f"bulkfetch forget {tmp_path} --server acme" in e.value.hint
    await open_at(tmp_path, HERE)
    await open_at(tmp_path, {"other": "https://www.zohoapis.eu"})


@pytest.mark.parametrize("how", ["pending", "refused"])
async def test_a_slip_of_the_settings_is_mended_without_more(tmp_path: Path, how: str) -> None:
    """A server that has answered nothing about any job binds nobody."""
    await open_at(tmp_path, HERE)
    await fetch_one(tmp_path, how)
    await open_at(tmp_path, EU)
    await fetch_one(tmp_path, "done")
    with pytest.raises(ConfigError, match=r"asked at https://www\.zohoapis\.eu"):
        await open_at(tmp_path, HERE)


@pytest.mark.parametrize("state", ["COMMITTED", "PUBLISHING", "ACTIVE"])
async def test_a_cursor_belongs_to_its_server(
    tmp_path: Path, state: Literal["COMMITTED", "PUBLISHING", "ACTIVE"]
) -> None:
    """An export that is published, or of which a page was created, binds as a result does."""
    await open_at(tmp_path, HERE)
    async with opened(tmp_path) as journal:
        tables = journal.exports
        row = (await tables.begin([("Leads", "acme")]))["Leads"]
        generation = GenerationRow(0, row.key, "acme", "ACTIVE", "{}", ({},), "", "2026-09-30")
        generation, pages = await tables.open(generation, plan(1), Change())
        if state == "ACTIVE":
            await tables.write(Change((replace(pages[0], job_id="7"),)))
        else:
            await tables.write(Change(generation=replace(generation, state=state)))
    with pytest.raises(ConfigError, match="acme was asked at this machine"):
        await open_at(tmp_path, EU)


async def test_a_journal_of_before_takes_the_first_server_that_comes(tmp_path: Path) -> None:
    """What it was asked at is not known; from then on it is."""
    folder = tmp_path / ".bulkfetch"
    folder.mkdir()
    connection = open_to_write(folder / "journal.db", STEPS[:-1])
    connection.execute("INSERT INTO account (name) VALUES ('acme')")
    connection.execute("INSERT INTO job (account, id, position, state) VALUES (1, '1', 1, 3)")
    checkpoint(connection)
    connection.close()
    await open_at(tmp_path, EU)
    with pytest.raises(ConfigError):
        await open_at(tmp_path, HERE)


async def test_an_org_that_has_moved_goes_on(tmp_path: Path) -> None:
    """Once its server is forgotten the next one is noted, and what is done stays done."""
    await open_at(tmp_path, EU)
    await fetch_one(tmp_path, "done")
    with housekeeping.changes(tmp_path / ".bulkfetch") as connection:
        assert housekeeping.forget_server(connection, "acme") == "https://www.zohoapis.eu"
        assert housekeeping.forget_server(connection, "nobody") is None
    await open_at(tmp_path, HERE)
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1", account="acme"))
        assert journal.counts.skipped == 1
    with pytest.raises(ConfigError):
        await open_at(tmp_path, EU)

"""How far exports have come, as a fleet keeps it: by whose turn, and what is told of their ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
from tests.support.export_stores import ACCOUNT, begun, fleet_keeper, turn
from tests.support.fleets import submit_to
from tests.support.journals import opened
from tests.support.postgres import PostgresServer

from bulkfetch.errors import DatabaseLost, Superseded
from bulkfetch.fleet.connections import Connections, Work
from bulkfetch.fleet.export_codec import report_read
from bulkfetch.fleet.export_store import TurnExports
from bulkfetch.journal import Change, PageRow, StoredExport
from bulkfetch.models import ExportReport, Failure, Status

T = TypeVar("T")

pytestmark = pytest.mark.slow


@pytest.fixture
def url(postgres: PostgresServer, database: str) -> str:
    """Give the address of the test's own database."""
    return postgres.url(database)


async def asked(url: str, statement: str) -> list[asyncpg.Record]:
    """Do a statement by a connection of its own."""
    connection: asyncpg.Connection[Any] = await asyncpg.connect(url)
    try:
        return await connection.fetch(statement)
    finally:
        await connection.close()


def test_an_owner_that_was_superseded_writes_nothing(tmp_path: Path, url: str) -> None:
    """No page, no generation, no end, whatever it believes; the new owner goes on with the rows."""
    keeper = fleet_keeper(tmp_path / "one", url)
    other = fleet_keeper(tmp_path / "other", url)

    async def main() -> None:
        async with keeper() as (old, _):
            known = await begun(old)
            assert known.generation is not None
            await old.require_turn()
            async with other() as (new, _):
                assert (await new.load(["Leads"]))["Leads"] == known
                page = replace(known.pages[0], state="CREATING")
                ended = replace(known.generation, state="ABANDONED")
                for write in (
                    old.write(Change(pages=[page])),
                    old.write(Change(end=ExportReport("Leads", ACCOUNT, "failed"))),
                    old.open(known.generation, [PageRow(0, 1, 1)], Change(generation=ended)),
                    old.begin([("Contacts", ACCOUNT)]),
                    old.require_turn(),
                ):
                    with pytest.raises(Superseded):
                        await write
                assert await new.load(["Leads", "Contacts"]) == {"Leads": known}
                await new.write(Change(pages=[page]))
                assert (await new.load(["Leads"]))["Leads"].pages == (page,)

    asyncio.run(main())


def test_no_turn_begins_between_a_look_for_it_and_what_is_written_then(
    tmp_path: Path, url: str
) -> None:
    """A newer turn waits for the transaction, and finds what that has written."""
    keeper = fleet_keeper(tmp_path / "one", url)
    other = fleet_keeper(tmp_path / "other", url)

    async def main() -> None:
        connection: asyncpg.Connection[Any] = await asyncpg.connect(url)
        async with keeper() as (old, _), asyncio.TaskGroup() as tasks:
            known = await begun(old)
            page = replace(known.pages[0], state="CREATING")
            async with connection.transaction():
                # In the way of the write, which has looked by then.
                await connection.execute("LOCK TABLE bulkfetch.fleet_page IN SHARE MODE")
                writing = tasks.create_task(old.write(Change(pages=[page])))
                waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
                while not await connection.fetchval(waits):
                    await asyncio.sleep(0)

                async def next_turn() -> None:
                    async with other() as (new, _):
                        assert (await new.load(["Leads"]))["Leads"].pages == (page,)

                beginning = tasks.create_task(next_turn())
                while await connection.fetchval(waits) < 2:
                    await asyncio.sleep(0)
                assert not writing.done()
            await writing
            await beginning
        await connection.close()

    asyncio.run(main())


@pytest.mark.parametrize(("mode", "state"), [("changes", 0), ("full", 1)])
def test_changes_do_not_serve_who_has_asked_for_everything_meanwhile(
    tmp_path: Path, url: str, mode: str, state: int
) -> None:
    """The export stays to be done in full, which then ends it."""
    keeper = fleet_keeper(tmp_path, url)

    async def main() -> None:
        await submit_to(url, [], exports=[f"{ACCOUNT}/Leads"])
        async with keeper() as (store, _):
            await begun(store)
            await submit_to(url, [], exports=[f"{ACCOUNT}/Leads"], full=True)
            report = ExportReport("Leads", ACCOUNT, "done", mode=mode)
            await store.write(Change(end=report))
            [row] = await asked(url, "SELECT state, whole, ended_in FROM bulkfetch.fleet_export")
            assert (row["state"], row["whole"]) == (state, state == 0)
            assert (row["ended_in"] is None) == (state == 0)
            await store.write(Change(end=replace(report, mode="full")))
            [row] = await asked(url, "SELECT state, whole FROM bulkfetch.fleet_export")
            assert (row["state"], row["whole"]) == (1, False)

    asyncio.run(main())


@pytest.mark.parametrize(("status", "state"), [("pending", 0), ("done", 1), ("failed", 2)])
def test_how_an_export_ended_is_told_in_the_transaction_that_ends_it(
    tmp_path: Path, url: str, status: Status, state: int
) -> None:
    """One that is pending ends in none, and says what it waits for. Done in full is done once."""
    keeper = fleet_keeper(tmp_path, url)
    error = Failure("NOT_READY_IN_TIME", "Not yet.", "Wait.")
    report = ExportReport("Leads", ACCOUNT, status, "full", error=error)

    async def main() -> None:
        async with keeper() as (store, _):
            known = await begun(store)
            assert known.generation is not None
            await asked(url, "UPDATE bulkfetch.fleet_export SET whole = true")
            committed = replace(known.generation, state="COMMITTED")
            await store.write(Change(generation=committed, end=report))
        [row] = await asked(url, "SELECT * FROM bulkfetch.fleet_export")
        assert row["state"] == state
        assert report_read(row["report"]) == report
        assert row["whole"] == (status == "pending")
        assert (row["ended_at"] is None) == (row["ended_in"] is None) == (status == "pending")

    asyncio.run(main())


class _ForgetfulConnections(Connections):
    """Never hear that a transaction was kept, so that they do each once more."""

    async def write(self, work: Work[T]) -> T:
        await super().write(work)
        return await super().write(work)


def test_what_is_written_twice_since_a_reply_was_lost_is_there_once(
    tmp_path: Path, url: str
) -> None:
    """A generation and its pages too, which are new each time."""
    keeper = fleet_keeper(tmp_path, url)

    async def main() -> None:
        async with keeper():
            pass
        async with opened(tmp_path) as journal:
            connections = await _ForgetfulConnections.open(url, None)
            store = TurnExports(connections, ACCOUNT, 1, journal.exports)
            known = await begun(store)
            assert known.generation is not None
            abandoned = replace(known.generation, state="ABANDONED")
            again, pages = await store.open(
                known.generation, [PageRow(0, 1, 1)], Change(generation=abandoned)
            )
            assert (await store.load(["Leads"]))["Leads"] == StoredExport(known.row, again, pages)
            await connections.aclose()
        [row] = await asked(url, "SELECT count(*) FROM bulkfetch.fleet_generation")
        assert row["count"] == 2

    asyncio.run(main())


def test_who_has_to_end_waits_for_a_database_that_is_away_no_longer(
    tmp_path: Path, postgres: PostgresServer, url: str
) -> None:
    """A write that waits already, too; nothing of it is there when the database is back."""
    keeper = fleet_keeper(tmp_path, url)

    async def main() -> None:
        async with opened(tmp_path) as journal, turn(url) as (connections, generation):
            store = TurnExports(connections, ACCOUNT, generation, journal.exports)
            known = await begun(store)
            postgres.stop("immediate")
            try:
                page = replace(known.pages[0], state="CREATING")
                writing = asyncio.create_task(store.write(Change(pages=[page])))
                while not connections.away_s:
                    await asyncio.sleep(0.01)
                store.wait_until(asyncio.get_running_loop().time())
                with pytest.raises(DatabaseLost):
                    await writing
                with pytest.raises(DatabaseLost):
                    await store.require_turn()
            finally:
                postgres.start()
        async with keeper() as (again, _):
            assert (await again.load(["Leads"]))["Leads"] == known

    asyncio.run(main())

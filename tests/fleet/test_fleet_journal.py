"""The fleet's journal: turns, jobs, outcomes. A real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from tests.support.fleets import SERVERS
from tests.support.postgres import PASSWORD, ROLE, PostgresServer

from bulkfetch.errors import ConfigError
from bulkfetch.fleet.database import install, steps
from bulkfetch.fleet.journal import FleetJournal
from bulkfetch.models import Failure, Job, Outcome, PublishedFile
from bulkfetch.ratelimit.postgres.database import WindowDatabase
from bulkfetch.ratelimit.postgres.row import WINDOW_TABLE
from bulkfetch.secret import Secret

pytestmark = pytest.mark.slow

FAILURE = Failure("TOKEN_REFUSED", "The server refused.", "Look at it.", 400)
STATES = "SELECT string_agg(id || ':' || state, ' ' ORDER BY id) FROM bulkfetch.fleet_job"


def done(job_id: str, account: str = "acme") -> Outcome:
    file = PublishedFile(f"s3://lake/{account}/{job_id}.csv", 81, "5e" * 32)
    return Outcome(job_id, account, "done", (file,), zip_bytes=16, records=3, attempts=1)


def failed(job_id: str, account: str = "acme") -> Outcome:
    return Outcome(job_id, account, "failed", attempts=2, error=FAILURE)


async def make_tables(url: str, *jobs: str) -> None:
    """Make a fleet's tables with jobs of acme, or of ACCOUNT/ID."""
    connection: asyncpg.Connection[Any] = await asyncpg.connect(url)
    await install(connection)
    for job in jobs:
        account, _, job_id = job.rpartition("/")
        await connection.execute(
            "INSERT INTO bulkfetch.fleet_job (account, id, claim) VALUES ($1, $2, $2)",
            account or "acme",
            job_id,
        )
    await connection.close()


@asynccontextmanager
async def journal_of(url: str, *jobs: str) -> AsyncIterator[FleetJournal]:
    """Give the journal of a fleet with these jobs."""
    await make_tables(url, *jobs)
    journal = await FleetJournal.open(url, None, SERVERS)
    try:
        yield journal
    finally:
        await journal.aclose()


def test_a_worker_that_freezes_within_a_transaction_holds_up_the_others_for_seconds_only(
    postgres: PostgresServer, database: str
) -> None:
    """Or whose machine is gone in it: the server ends it, and the row of the window is had."""

    async def main() -> None:
        url = postgres.url(database)
        async with journal_of(url) as journal, asyncio.TaskGroup() as tasks:
            frozen, woken = asyncio.Event(), asyncio.Event()

            async def freeze(connection: asyncpg.Connection[Any]) -> None:
                await connection.execute("SELECT FROM bulkfetch.account_window FOR UPDATE")
                frozen.set()
                await woken.wait()

            windows = await WindowDatabase.open(url)
            await windows.run(WINDOW_TABLE, "acme", lambda row, moment: None)
            held = tasks.create_task(journal._connections.write(freeze))
            await frozen.wait()
            async with asyncio.timeout(30):
                await windows.run(WINDOW_TABLE, "acme", lambda row, moment: None)
            woken.set()
            await held  # once more, by a connection that is there
            await windows.aclose()

    asyncio.run(main())


def test_a_turn_gets_jobs_page_by_page_and_says_what_became_of_them(
    postgres: PostgresServer, database: str
) -> None:
    """In the order in which they were submitted; it is over when nothing is pending."""

    async def main() -> None:
        async with journal_of(postgres.url(database), "7", "3", "5", "beta/3") as journal:
            assert await journal.accounts_with_pending() == ["acme", "beta"]
            generation = await journal.begin_turn("acme", "host-1")
            first = await journal.pending("acme", 0, 2)
            assert [job for _, job in first] == [Job("7", "acme"), Job("3", "acme")]
            [(_, last)] = await journal.pending("acme", first[-1][0], 2)
            assert last.id == "5"
            assert await journal.record("acme", generation, [done("7"), failed("3")])
            assert await journal.end_turn("acme", generation) == "new"
            assert await journal.record("acme", generation, [done("5"), done("7")])
            assert await journal.end_turn("acme", generation) == "nothing"
            assert await journal.accounts_with_pending() == ["beta"]
            acme, beta = await journal.accounts()
            assert (acme.done, acme.failed, acme.pending, acme.worker) == (2, 1, 0, "host-1")
            assert (acme.crashes, acme.held) == (0, None)
            assert acme.turn_began_at is not None
            assert (beta.pending, beta.worker, beta.turn_began_at) == (1, None, None)

    asyncio.run(main())


def test_what_no_turn_has_tried_is_told_at_the_end_of_one(
    postgres: PostgresServer, database: str
) -> None:
    """Jobs, and exports without a report, but for those that the settings do not know."""
    add = "INSERT INTO bulkfetch.fleet_export (account, name, report) VALUES ('acme', '{}', {})"

    async def main() -> None:
        async with journal_of(postgres.url(database)) as journal:
            generation = await journal.begin_turn("acme", "host-1")
            assert await journal.end_turn("acme", generation) == "nothing"
            postgres.sql(add.format("Leads", "'{}'"), database)
            assert await journal.end_turn("acme", generation) == "tried"
            postgres.sql(add.format("Deals", "NULL"), database)
            assert await journal.end_turn("acme", generation) == "new"
            assert await journal.end_turn("acme", generation, ("Deals",)) == "tried"
            job = "INSERT INTO bulkfetch.fleet_job (account, id, claim) VALUES ('acme', '1', '1')"
            postgres.sql(job, database)
            assert await journal.end_turn("acme", generation, ("Deals",)) == "new"

    asyncio.run(main())


def test_an_older_turn_is_believed_only_where_it_is_good_news(
    postgres: PostgresServer, database: str
) -> None:
    """What it published is done; a failure, a hold and its end count no more. Done stays done."""

    async def main() -> None:
        async with journal_of(postgres.url(database), "1", "2", "3") as journal:
            old = await journal.begin_turn("acme", "host-1")
            new = await journal.begin_turn("acme", "host-2")
            assert new == old + 1
            [acme] = await journal.accounts("acme")
            assert (acme.worker, acme.crashes) == ("host-2", 2)
            assert not await journal.record("acme", old, [done("1"), failed("2")])
            await journal.hold("acme", old, FAILURE)
            assert await journal.end_turn("acme", old) == "nothing"
            assert await journal.accounts_with_pending() == ["acme"]
            assert await journal.record("acme", new, [failed("1"), failed("3")])
            assert not await journal.record("acme", old, [done("3"), failed("1")])
            assert postgres.sql(STATES, database) == "1:1 2:0 3:1"
            generation = postgres.sql("SELECT generation FROM bulkfetch.account_window", database)
            assert generation == str(new)

    asyncio.run(main())


def test_a_held_account_keeps_its_jobs_and_gets_no_turn(
    postgres: PostgresServer, database: str
) -> None:
    """Its cause is told, and no turn is asked for it."""

    async def main() -> None:
        async with journal_of(postgres.url(database), "1", "beta/1") as journal:
            generation = await journal.begin_turn("acme", "host-1")
            await journal.hold("acme", generation, FAILURE)
            assert await journal.end_turn("acme", generation) == "nothing"
            assert await journal.accounts_with_pending() == ["beta"]
            [acme] = await journal.accounts("acme")
            assert (acme.held, acme.pending) == (FAILURE, 1)

    asyncio.run(main())


def test_what_is_unsaid_is_said_when_the_database_is_back(
    postgres: PostgresServer, database: str
) -> None:
    """Through a crash of the server: the call waits, says for how long, and loses nothing."""

    async def main() -> None:
        async with journal_of(postgres.url(database), "1") as journal:
            generation = await journal.begin_turn("acme", "host-1")
            assert journal.away_because == ""
            postgres.stop("immediate")
            try:
                saying = asyncio.create_task(journal.record("acme", generation, [done("1")]))
                while not journal.away_s:
                    await asyncio.sleep(0.01)
                assert journal.away_because
                assert not saying.done()
            finally:
                postgres.start()
            assert await saying
            assert journal.away_s == 0
            assert postgres.sql(STATES, database) == "1:1"

    asyncio.run(main())


def test_what_ended_long_ago_is_forgotten(postgres: PostgresServer, database: str) -> None:
    """With its part of submissions, unless it is pending or a newer submission asks for it."""

    async def main() -> None:
        async with journal_of(postgres.url(database), "1", "2", "3") as journal:
            generation = await journal.begin_turn("acme", "host-1")
            await journal.record("acme", generation, [done("1"), failed("2")])
            postgres.sql(
                "UPDATE bulkfetch.fleet_job SET ended_at = now() - interval '8 days' "
                "WHERE state <> 0;"
                "INSERT INTO bulkfetch.fleet_submission (submitted_at, source) VALUES "
                "(now() - interval '9 days', 'old'), (now(), 'new');"
                "INSERT INTO bulkfetch.fleet_item SELECT 1, key, account, id, 0 "
                "FROM bulkfetch.fleet_job WHERE id <> '3';"
                "INSERT INTO bulkfetch.fleet_item VALUES (2, 1, 'acme', '2', 1)",
                database,
            )
            assert await journal.forget(9) == 0
            assert await journal.forget(7) == 1
            assert postgres.sql(STATES, database) == "2:2 3:0"
            postgres.sql(
                "UPDATE bulkfetch.fleet_submission SET submitted_at = now() - interval '8 days'",
                database,
            )
            assert await journal.forget(7) == 1
            count = "SELECT count(*) FROM bulkfetch.fleet_submission, bulkfetch.fleet_item"
            assert postgres.sql(count, database) == "0"

    asyncio.run(main())


def test_tables_are_made_once_and_only_forward(postgres: PostgresServer, database: str) -> None:
    """Two who make them at once do no harm; those that are missing or newer are refused."""

    async def main() -> None:
        url = postgres.url(database)
        with pytest.raises(ConfigError, match="no tables of a fleet") as caught:
            await FleetJournal.open(url, None)
        assert "bulkfetch fleet init" in caught.value.hint
        connections = [await asyncpg.connect(url) for _ in range(2)]
        newest = len(steps())
        made = await asyncio.gather(*map(install, connections))
        assert sorted(made) == [(0, newest), (newest, newest)]
        await (await FleetJournal.open(url, None)).aclose()
        postgres.sql("UPDATE bulkfetch.fleet_version SET version = 99", database)
        for use in (FleetJournal.open(url, None), install(connections[0])):
            with pytest.raises(ConfigError, match="of version 99") as caught:
                await use
            assert caught.value.hint == "Upgrade bulkfetch on this host."
        postgres.sql("UPDATE bulkfetch.fleet_version SET version = 0", database)
        with pytest.raises(ConfigError, match="no tables"):
            await FleetJournal.open(url, None)
        for connection in connections:
            await connection.close()

    asyncio.run(main())


def test_a_database_that_cannot_be_used_is_told(postgres: PostgresServer, database: str) -> None:
    """No server, no database, a wrong password, no rights: in one sentence, without a secret."""

    async def main() -> None:
        url = postgres.url(database, ROLE)
        await make_tables(postgres.url(database))
        for address, password, sentence in (
            (url, "wr0ng", "password authentication failed"),
            (url.replace(database, "elsewhere"), PASSWORD, "does not exist"),
            (url.replace("host=", "host=%2Fno"), None, "No such file"),
            (url, PASSWORD, "permission denied"),
        ):
            secret = None if password is None else Secret(password)
            with pytest.raises(ConfigError, match=sentence) as caught:
                await FleetJournal.open(address, secret)
            assert caught.value.hint
            told = caught.value.message + caught.value.hint
            assert PASSWORD not in told
            assert "wr0ng" not in told

    asyncio.run(main())


def test_a_role_with_the_rights_that_stand_there_can_do_it_all(
    postgres: PostgresServer, database: str
) -> None:
    """The GRANTs in the SQL are enough."""

    async def main() -> None:
        await make_tables(postgres.url(database), "1")
        postgres.sql(
            f"GRANT USAGE ON SCHEMA bulkfetch TO {ROLE};"
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA bulkfetch TO {ROLE}",
            database,
        )
        journal = await FleetJournal.open(postgres.url(database, ROLE), Secret(PASSWORD), SERVERS)
        generation = await journal.begin_turn("acme", "host-1")
        assert await journal.record("acme", generation, [done("1")])
        assert await journal.end_turn("acme", generation) == "nothing"
        assert await journal.forget(1) == 0
        await journal.aclose()

    asyncio.run(main())


def test_who_was_superseded_has_not_died(postgres: PostgresServer, database: str) -> None:
    """A worker that was cut off says so when it is back; of the others' deaths it takes none."""

    async def main() -> None:
        async with journal_of(postgres.url(database), "1") as journal:
            cut_off = await journal.begin_turn("acme", "a")
            newest = await journal.begin_turn("acme", "b")
            assert await journal.deaths("acme") == 1
            await journal.outlived("acme", cut_off)
            assert await journal.deaths("acme") == 0
            await journal.outlived("acme", newest)
            await journal.begin_turn("acme", "c")
            assert await journal.deaths("acme") == 1

    asyncio.run(main())

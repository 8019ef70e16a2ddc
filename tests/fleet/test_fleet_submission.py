"""Submitting lists to a fleet, and waiting for what becomes of them. A real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import aclosing

import pytest
from tests.support.fleets import (
    PASSING,
    PERMANENT,
    SERVERS,
    done,
    failed,
    fleet_journal,
    make_fleet,
    submit_to,
)
from tests.support.postgres import PostgresServer

from bulkfetch.errors import ConfigError
from bulkfetch.fleet.connections import Connections
from bulkfetch.fleet.database import open_connection
from bulkfetch.fleet.journal import FleetJournal
from bulkfetch.fleet.submission import submit
from bulkfetch.fleet.watch import Watch
from bulkfetch.models import Job, Outcome

pytestmark = pytest.mark.slow

TURNS = "SELECT string_agg(dedupe_key, ' ' ORDER BY dedupe_key) FROM bulkfetch.pgqueuer"
PENDING = (
    "SELECT string_agg(account || '/' || id || coalesce('=' || name, ''), ' ' ORDER BY key) "
    "FROM bulkfetch.fleet_job WHERE state = 0"
)


def jobs(*texts: str) -> list[Job]:
    """Jobs of acme, written as ID, ID=NAME or ACCOUNT/ID."""
    made = []
    for text in texts:
        account, _, rest = text.rpartition("/")
        job_id, _, name = rest.partition("=")
        made.append(Job(job_id, account or "acme", name or None))
    return made


async def say(journal: FleetJournal, *outcomes: Outcome) -> None:
    """Have a turn of acme end with these."""
    generation = await journal.begin_turn("acme", "host-1")
    await journal.record("acme", generation, outcomes)
    await journal.end_turn("acme", generation)


async def watched(url: str, submission: int) -> tuple[list[Outcome], Watch]:
    """Wait for a submission to its end."""
    connections = await Connections.open(url, None)
    try:
        watch = Watch(connections, submission)
        return [each async for each in watch.news() if isinstance(each, Outcome)], watch
    finally:
        await connections.aclose()


def told(outcomes: Iterable[Outcome]) -> list[tuple[str, str, bool, str | None]]:
    return [
        (each.job_id, each.status, each.skipped, each.error.code if each.error else None)
        for each in outcomes
    ]


def test_a_list_becomes_jobs_in_its_order_and_turns_of_its_accounts(
    postgres: PostgresServer, database: str
) -> None:
    """One that is in it twice is one; what cannot be asked for is refused with its line."""

    async def main() -> None:
        url = postgres.url(database)
        await make_fleet(url)
        listed = jobs("7", "3=Leads", "beta/7", "7", "5", "3=Leads", "3")
        listed += [Job("x", "acme", origin="ids.txt:8"), Job("1", "gamma"), Job("2", "acme", "a/b")]
        first = await submit_to(url, listed)
        assert (first.asked, first.refused, first.done_before) == (4, 3, 0)
        assert first.accounts == ("acme", "beta")
        assert postgres.sql(TURNS, database) == "acme beta"
        assert postgres.sql(PENDING, database) == "acme/7 acme/3=Leads beta/7 acme/5"
        # A second list that shares a job with the first one adds its own.
        second = await submit_to(url, jobs("5", "9"))
        assert (second.submission, second.asked) == (first.submission + 1, 2)
        assert postgres.sql(PENDING, database).endswith("acme/5 acme/9")
        assert postgres.sql(TURNS, database) == "acme beta"

    asyncio.run(main())


def test_what_has_ended_is_asked_for_again_as_in_a_run(
    postgres: PostgresServer, database: str
) -> None:
    """A failure that passes is; what is done or failed for good only with `again`."""

    async def main() -> None:
        url = postgres.url(database)
        async with fleet_journal(url) as journal:
            first = await submit_to(url, jobs("1", "2", "3"))
            await say(journal, done("1"), failed("2"), failed("3", error=PERMANENT))
            outcomes, _ = await watched(url, first.submission)
            assert told(outcomes) == [
                ("1", "done", False, None),
                ("2", "failed", False, PASSING.code),
                ("3", "failed", False, PERMANENT.code),
            ]
            assert outcomes[0] == done("1")
            later = await submit_to(url, jobs("3", "2", "1", "4"))
            assert (later.asked, later.done_before, later.failed_before) == (2, 1, 1)
            await say(journal, done("2"), done("4"))
            outcomes, _ = await watched(url, later.submission)
            assert told(outcomes) == [
                ("3", "failed", True, PERMANENT.code),
                ("2", "done", False, None),
                ("1", "done", True, None),
                ("4", "done", False, None),
            ]
            again = await submit_to(url, jobs("3", "1=Leads"), again=True)
            assert again.asked == 2
            page = await journal.pending("acme", 0, 9)
            assert [job for _, job in page] == [
                Job("1", "acme", "Leads", again=True),
                Job("3", "acme", again=True),
            ]
            await say(journal, done("1"))

    asyncio.run(main())


def test_a_name_has_one_owner(postgres: PostgresServer, database: str) -> None:
    """The first of a list has it, and a pending job keeps it; one that has ended hands it on."""

    async def main() -> None:
        url = postgres.url(database)
        async with fleet_journal(url) as journal:
            listed = jobs("1=Leads", "2=LEADS", "3", "4=3", "beta/5=Leads", "1=Other", "6=é")
            first = await submit_to(url, [*listed, Job("7", "acme", "e\u0301")])
            assert (first.asked, first.refused) == (4, 4)
            later = await submit_to(url, jobs("8=leads", "1=New"))
            assert (later.asked, later.refused) == (0, 2)
            await say(journal, done("1"), done("3"), failed("6"))
            # Two that swap their names, one that takes a name over.
            last = await submit_to(url, jobs("8=leads", "6=9", "9=é", "3=ignored"))
            assert (last.asked, last.refused, last.done_before) == (3, 0, 1)
            outcomes, _ = await watched_so_far(url, first.submission)
            assert next(each.superseded_by for each in outcomes if each.job_id == "1") is None
            await say(journal, done("8"))
            outcomes, _ = await watched_so_far(url, first.submission)
            by_id = {each.job_id: each for each in outcomes if each.status == "done"}
            assert (by_id["1"].superseded_by, by_id["1"].files) == ("8", ())
            assert by_id["3"].files
            causes = [each.error for each in outcomes if each.job_id in ("2", "4", "7")]
            assert [error and error.code for error in causes] == 3 * ["PUBLISH_CONFLICT"]
            assert "job 1, which comes first" in str(causes[0])

    asyncio.run(main())


async def watched_so_far(url: str, submission: int) -> tuple[list[Outcome], int]:
    """Return what has ended of a submission, and how much has not."""
    connections = await Connections.open(url, None)
    watch = Watch(connections, submission)
    found: list[Outcome] = []
    try:
        async with asyncio.timeout(0.3), aclosing(watch.news()) as outcomes:
            async for outcome in outcomes:
                assert isinstance(outcome, Outcome)
                found.append(outcome)
    except TimeoutError:
        pass
    finally:
        await connections.aclose()
    return found, watch.jobs_left


def test_one_who_waits_hears_of_each_job_once_as_it_ends(
    postgres: PostgresServer, database: str
) -> None:
    """Also of one whose transaction ends late; through a crash of the database too."""

    async def main() -> None:
        url = postgres.url(database)
        async with fleet_journal(url) as journal:
            mine = await submit_to(url, jobs("1", "2", "3", "4"))
            await submit_to(url, jobs("5"))
            heard: asyncio.Queue[Outcome] = asyncio.Queue()
            connections = await Connections.open(url, None)

            async def hear() -> None:
                async for outcome in Watch(connections, mine.submission).news():
                    assert isinstance(outcome, Outcome)
                    heard.put_nowait(outcome)

            waiting = asyncio.create_task(hear())
            generation = await journal.begin_turn("acme", "host-1")
            late = await open_connection(url, None)
            ending = late.transaction()
            await ending.start()
            await late.execute(
                "UPDATE bulkfetch.fleet_job SET state = 1, outcome = '{}', "
                "ended_in = pg_current_xact_id() WHERE id = '1'"
            )
            await journal.record("acme", generation, [done("2"), done("5")])
            assert (await heard.get()).job_id == "2"
            await journal.record("acme", generation, [done("3")])
            assert (await heard.get()).job_id == "3"
            await ending.commit()
            await late.close()
            assert (await heard.get()).job_id == "1"
            postgres.stop("immediate")
            postgres.start()
            await journal.record("acme", generation, [failed("4")])
            assert (await heard.get()).job_id == "4"
            await waiting
            assert heard.empty()
            await connections.aclose()

    asyncio.run(main())


def test_waiting_ends_where_what_is_left_is_held_until_it_is_submitted_anew(
    postgres: PostgresServer, database: str
) -> None:
    """With the cause of each such account; a new submission releases it, with a turn."""

    async def main() -> None:
        url = postgres.url(database)
        async with fleet_journal(url) as journal:
            mine = await submit_to(url, jobs("1", "2"))
            generation = await journal.begin_turn("acme", "host-1")
            await journal.record("acme", generation, [done("1")])
            await journal.hold("acme", generation, PASSING)
            outcomes, watch = await watched(url, mine.submission)
            assert [each.job_id for each in outcomes] == ["1"]
            assert watch.jobs_left == 1
            assert watch.held == [("acme", PASSING)]
            await submit_to(url, jobs("1"))
            assert await journal.accounts_with_pending() == []
            await submit_to(url, jobs("2"))
            assert await journal.accounts_with_pending() == ["acme"]
            with pytest.raises(ConfigError, match="knows no submission 99"):
                await watched(url, 99)

    asyncio.run(main())


def test_a_list_that_breaks_off_leaves_nothing(postgres: PostgresServer, database: str) -> None:
    """Neither jobs nor turns, whether the list fails or its submitter is cancelled."""

    async def main() -> None:
        url = postgres.url(database)
        await make_fleet(url)

        def failing() -> Iterator[Job]:
            yield from jobs("1", "2")
            raise OSError("the list is gone")

        with pytest.raises(OSError, match="the list is gone"):
            await submit_to(url, failing())

        async def pausing() -> AsyncIterator[Job]:
            yield jobs("1")[0]
            await asyncio.Event().wait()

        connection = await open_connection(url, None)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await submit(connection, pausing(), SERVERS, "test")
        await connection.close()
        assert postgres.sql("SELECT count(*) FROM bulkfetch.fleet_job", database) == "0"
        assert postgres.sql("SELECT count(*) FROM bulkfetch.fleet_submission", database) == "0"
        assert postgres.sql(TURNS, database) == ""

    asyncio.run(main())


def test_two_lists_at_once_share_their_jobs(postgres: PostgresServer, database: str) -> None:
    """In whatever order each has them: neither fails, and each job is there once."""

    async def main() -> None:
        url = postgres.url(database)
        await make_fleet(url)
        ids = [str(number) for number in range(3000)]
        lists = [jobs(*ids), jobs(*reversed(ids)), jobs(*ids[1000:], *ids[:1000])]
        made = await asyncio.gather(*(submit_to(url, each) for each in lists))
        assert [each.asked for each in made] == 3 * [3000]
        assert postgres.sql("SELECT count(*) FROM bulkfetch.fleet_job", database) == "3000"
        assert postgres.sql("SELECT count(*) FROM bulkfetch.fleet_item", database) == "9000"
        assert postgres.sql(TURNS, database) == "acme"

    asyncio.run(main())

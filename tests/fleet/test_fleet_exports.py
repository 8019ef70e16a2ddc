"""Submitting exports to a fleet, and waiting for what becomes of them. A real server."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.support.fleets import (
    PASSING,
    PERMANENT,
    done,
    end_exports,
    fleet_journal,
    make_fleet,
    published,
    submit_to,
)
from tests.support.postgres import PostgresServer

from bulkfetch.fleet.connections import Connections
from bulkfetch.fleet.export_codec import EndedExport
from bulkfetch.fleet.failed import failed_exports
from bulkfetch.fleet.watch import News, WaitingExport, Watch
from bulkfetch.models import ExportReport, Job, Outcome

pytestmark = pytest.mark.slow

TURNS = "SELECT string_agg(dedupe_key, ' ' ORDER BY dedupe_key) FROM bulkfetch.pgqueuer"
EXPORTS = (
    "SELECT string_agg(account || '/' || name || ':' || state || CASE WHEN whole THEN '!' ELSE '' "
    "END || CASE WHEN report IS NULL THEN '' ELSE '=' END, ' ' ORDER BY key) "
    "FROM bulkfetch.fleet_export"
)


async def heard(url: str, submission: int) -> tuple[list[News], Watch]:
    """Wait for a submission to its end."""
    connections = await Connections.open(url, None)
    try:
        watch = Watch(connections, submission)
        return [news async for news in watch.news()], watch
    finally:
        await connections.aclose()


def test_exports_become_rows_in_their_order_and_turns_of_their_accounts(
    postgres: PostgresServer, database: str
) -> None:
    """Also beside a list, in one submission; what was there keeps its place."""

    async def main() -> None:
        url = postgres.url(database)
        await make_fleet(url)
        first = await submit_to(url, [], exports=["beta/Leads", "acme/Deals", "acme/Accounts"])
        assert (first.asked, first.exports, first.accounts) == (0, 3, ("acme", "beta"))
        assert postgres.sql(TURNS, database) == "acme beta"
        assert postgres.sql(EXPORTS, database) == "beta/Leads:0 acme/Deals:0 acme/Accounts:0"
        second = await submit_to(
            url, [Job("1", "gamma")], ["acme", "gamma"], exports=["acme/Deals"]
        )
        assert (second.asked, second.exports, second.accounts) == (1, 1, ("acme", "gamma"))
        assert postgres.sql(TURNS, database) == "acme beta gamma"
        assert postgres.sql(EXPORTS, database) == "beta/Leads:0 acme/Deals:0 acme/Accounts:0"

    asyncio.run(main())


def test_an_export_that_is_pending_is_joined_and_one_that_has_ended_begun_again(
    postgres: PostgresServer, database: str
) -> None:
    """In full where either asked for that; what the earlier time came to is gone by then."""

    async def main() -> None:
        url = postgres.url(database)
        await make_fleet(url)
        first = await submit_to(url, [], exports=["acme/Leads"])
        joined = await submit_to(url, [], exports=["acme/Leads"], full=True)
        assert postgres.sql(EXPORTS, database) == "acme/Leads:0!"
        waits = ExportReport("Leads", "acme", "pending", error=PASSING)
        await end_exports(url, waits)
        await submit_to(url, [], exports=["acme/Leads"])
        assert postgres.sql(EXPORTS, database) == "acme/Leads:0!="
        await end_exports(url, published("acme"))
        assert postgres.sql(EXPORTS, database) == "acme/Leads:1="
        for submission in (first, joined):
            [ended], _ = await heard(url, submission.submission)
            assert ended == EndedExport(published("acme"), published("acme").parts)
        again = await submit_to(url, [], exports=["acme/Leads"])
        assert postgres.sql(EXPORTS, database) == "acme/Leads:0"
        await end_exports(url, published("acme", pages=1))
        [ended], _ = await heard(url, again.submission)
        assert isinstance(ended, EndedExport)
        assert len(ended.pages) == 1

    asyncio.run(main())


def test_an_account_that_is_held_is_tried_anew_and_ends_a_wait_until_then(
    postgres: PostgresServer, database: str
) -> None:
    """As by a list: what is left of a submission may be jobs and exports."""

    async def main() -> None:
        url = postgres.url(database)
        async with fleet_journal(url) as journal:
            both = await submit_to(url, [Job("1", "acme")], exports=["acme/Leads", "beta/Leads"])
            for account in ("acme", "beta"):
                generation = await journal.begin_turn(account, "host-1")
                if account == "acme":
                    await journal.record(account, generation, [done("1")])
                await journal.hold(account, generation, PASSING)
            news, watch = await heard(url, both.submission)
            assert news == [done("1")]
            assert [each.account for each in watch.held] == ["acme", "beta"]
            assert (watch.jobs_left, watch.exports_left) == (0, 2)
            await submit_to(url, [], exports=["acme/Leads"])
            held = await journal.accounts()
            assert [each.held for each in held] == [None, PASSING]

    asyncio.run(main())


def test_one_who_waits_hears_of_exports_as_they_end_and_once_why_they_wait(
    postgres: PostgresServer, database: str
) -> None:
    """A reason that several exports of an account have is told once; another one is, too."""

    async def main() -> None:
        url = postgres.url(database)
        await make_fleet(url)
        mine = await submit_to(url, [], exports=["acme/Leads", "acme/Deals", "beta/Leads"])
        await submit_to(url, [], exports=["beta/Deals"])
        waits = ExportReport("Leads", "acme", "pending", error=PASSING)
        other = replace(waits, account="beta", name="Deals")
        await end_exports(url, waits, replace(waits, name="Deals"), other)
        told: asyncio.Queue[News] = asyncio.Queue()
        connections = await Connections.open(url, None)

        async def hear() -> None:
            async for news in Watch(connections, mine.submission).news():
                told.put_nowait(news)

        waiting = asyncio.create_task(hear())
        assert await told.get() == WaitingExport("acme", "Leads", PASSING)
        failed = ExportReport("Leads", "beta", "failed", error=PERMANENT)
        await end_exports(url, published("acme"), replace(other, status="failed"), failed)
        assert await told.get() == EndedExport(published("acme"), published("acme").parts)
        assert await told.get() == EndedExport(failed, ())
        await end_exports(url, published("acme", "Deals"))
        assert await told.get() == EndedExport(
            published("acme", "Deals"), published("acme", "Deals").parts
        )
        await waiting
        assert told.empty()
        found = [each async for each in failed_exports(connections, None)]
        assert [(each.account, each.name) for each in found] == [
            ("beta", "Leads"),
            ("beta", "Deals"),
        ]
        assert [each async for each in failed_exports(connections, "acme")] == []
        await connections.aclose()

    asyncio.run(main())


def test_the_pages_of_an_export_that_failed_are_told_with_it(
    postgres: PostgresServer, database: str
) -> None:
    """From its generation that is under way: which failed and why, which would still be wanted."""

    async def main() -> None:
        url = postgres.url(database)
        await make_fleet(url)
        mine = await submit_to(url, [], exports=["acme/Leads"])
        error = '{"code": "COUNT_MISMATCH", "message": "m", "hint": "h", "http": null}'
        generation = (
            "INSERT INTO bulkfetch.fleet_generation (export, account, state, step, queries, "
            "query_hash, started, spent, wasted, warnings) SELECT key, 'acme', '{state}', '{{}}', "
            "'[]', 'h', 's', 0, 0, '[]' FROM bulkfetch.fleet_export;"
        )
        page = (
            "INSERT INTO bulkfetch.fleet_page (generation, chain, number, state, tries, failures, "
            "expiries, job_id, files, records, requests, error) VALUES ({of}, 1, {number}, "
            "'{state}', 1, 0, 0, {job}, '[]', {records}, {requests}, {error});"
        )
        postgres.sql(
            generation.format(state="COMMITTED")
            + page.format(
                of=1, number=1, state="COUNTED", job="'1'", records=5, requests=1, error="NULL"
            )
            + generation.format(state="ACTIVE")
            + page.format(
                of=2, number=1, state="COUNTED", job="'5'", records=7, requests=1, error="NULL"
            )
            + page.format(
                of=2, number=2, state="FAILED", job="'6'", records=9, requests=3, error=f"'{error}'"
            ),
            database,
        )
        failed = ExportReport("Leads", "acme", "failed", "full", error=PERMANENT)
        await end_exports(url, failed)
        [ended], _ = await heard(url, mine.submission)
        assert isinstance(ended, EndedExport)
        assert ended.report == failed
        one, two = ended.pages
        assert one == Outcome("5", "acme", "pending", records=7, attempts=1, export="Leads", page=1)
        assert (two.status, two.job_id, two.page, two.attempts) == ("failed", "6", 2, 3)
        assert two.error is not None
        assert (two.error.code, two.error.hint) == ("COUNT_MISMATCH", "h")

    asyncio.run(main())


def test_a_submission_is_kept_as_long_as_an_export_of_it_is_to_be_done(
    postgres: PostgresServer, database: str
) -> None:
    """However old it is; with its export it goes, and the export itself stays."""

    async def main() -> None:
        url = postgres.url(database)
        async with fleet_journal(url) as journal:
            mine = await submit_to(url, [], exports=["acme/Leads"])
            postgres.sql(
                "UPDATE bulkfetch.fleet_submission SET submitted_at = now() - interval '8 days'",
                database,
            )
            await journal.forget(7)
            await end_exports(url, published("acme"))
            assert len((await heard(url, mine.submission))[0]) == 1
            await journal.forget(7)
            left = "SELECT (SELECT count(*) FROM bulkfetch.fleet_submission), count(*) FROM "
            assert postgres.sql(f"{left} bulkfetch.fleet_export_item", database) == "0|0"
            assert postgres.sql(EXPORTS, database) == "acme/Leads:1="

    asyncio.run(main())

"""A fleet's tables in a database of the test's own, and what is put there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from bulkfetch.config.fleet import ExportKey
from bulkfetch.config.regions import THIS_MACHINE
from bulkfetch.fleet import engine
from bulkfetch.fleet.codec import STATES
from bulkfetch.fleet.database import install, open_connection
from bulkfetch.fleet.export_codec import report_written
from bulkfetch.fleet.journal import FleetJournal
from bulkfetch.fleet.submission import Submitted, submit
from bulkfetch.models import ExportReport, Failure, Job, Outcome, PublishedFile

ACCOUNTS = ("acme", "beta")
# Where these are asked, unless a test says otherwise.
SERVERS = dict.fromkeys(ACCOUNTS, THIS_MACHINE)
# A cause that passes, and one that does not.
PASSING = Failure("TOKEN_REFUSED", "The server refused.", "Look at it.", 400)
PERMANENT = Failure("RESOURCE_NOT_FOUND", "There is none.", "Look at it.", 404)


def done(job_id: str, account: str = "acme") -> Outcome:
    """The outcome of a job that was published."""
    file = PublishedFile(f"s3://lake/{account}/{job_id}.csv", 81, "5e" * 32)
    return Outcome(job_id, account, "done", (file,), zip_bytes=16, records=3, attempts=1)


def failed(job_id: str, account: str = "acme", error: Failure = PASSING) -> Outcome:
    """The outcome of a job that failed."""
    return Outcome(job_id, account, "failed", attempts=2, error=error)


async def make_fleet(url: str) -> None:
    """Make the tables of a fleet, the engine's too."""
    connection: asyncpg.Connection[Any] = await asyncpg.connect(url)
    await install(connection)
    await engine.install(connection)
    await connection.close()


def published(account: str, name: str = "Leads", pages: int = 2) -> ExportReport:
    """What became of an export that was published."""
    folder = f"s3://lake/{account}/{name}/20260930T020001Z-full"
    parts = [
        Outcome(
            f"9{page}",
            account,
            "done",
            (PublishedFile(f"{folder}/part-{page:05}.csv", 81, "5e" * 32),),
            zip_bytes=16,
            records=3,
            attempts=1,
            export=name,
            page=page,
        )
        for page in range(1, pages + 1)
    ]
    return ExportReport(
        name,
        account,
        "done",
        "full",
        tuple(parts),
        records=3 * pages,
        manifest=f"{folder}/manifest.json",
        cursor_to="2026-09-30T02:00:01Z",
        credits_spent=59 * pages,
    )


async def end_exports(url: str, *reports: ExportReport) -> None:
    """Write how exports ended, or why they wait, as a turn does: each in a transaction."""
    connection: asyncpg.Connection[Any] = await asyncpg.connect(url)
    for report in reports:
        await connection.execute(
            "UPDATE bulkfetch.fleet_export SET state = $3::smallint, report = $4, "
            "whole = whole AND $3::smallint = 0, "
            "ended_at = CASE WHEN $3::smallint <> 0 THEN now() END, "
            "ended_in = CASE WHEN $3::smallint <> 0 THEN pg_current_xact_id() END "
            "WHERE account = $1 AND name = $2 AND state = 0",
            report.account,
            report.name,
            STATES[report.status],
            report_written(report),
        )
    await connection.close()


async def submit_to(
    url: str,
    jobs: Iterable[Job],
    accounts: Iterable[str] = ACCOUNTS,
    *,
    again: bool = False,
    exports: Iterable[str] = (),
    full: bool = False,
    server: str = THIS_MACHINE,
    moved: Collection[str] = (),
) -> Submitted:
    """Submit a list by a connection of its own, and exports, written as ACCOUNT/NAME."""
    connection = await open_connection(url, None)
    keys = [ExportKey(*each.split("/")) for each in exports]
    servers = dict.fromkeys(accounts, server)
    try:
        return await submit(
            connection, jobs, servers, "test", again=again, exports=keys, full=full, moved=moved
        )
    finally:
        await connection.close()


@asynccontextmanager
async def fleet_journal(url: str) -> AsyncIterator[FleetJournal]:
    """Give the journal of a fleet whose tables are made here."""
    await make_fleet(url)
    journal = await FleetJournal.open(url, None, SERVERS)
    try:
        yield journal
    finally:
        await journal.aclose()

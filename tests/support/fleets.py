"""A fleet's tables in a database of the test's own, and what is put there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from bulkfetch.fleet import engine
from bulkfetch.fleet.database import install, open_connection
from bulkfetch.fleet.journal import FleetJournal
from bulkfetch.fleet.submission import Submitted, submit
from bulkfetch.models import Failure, Job, Outcome, PublishedFile

ACCOUNTS = ("acme", "beta")
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


async def submit_to(
    url: str, jobs: Iterable[Job], accounts: Iterable[str] = ACCOUNTS, *, again: bool = False
) -> Submitted:
    """Submit a list by a connection of its own."""
    connection = await open_connection(url, None)
    try:
        return await submit(connection, jobs, frozenset(accounts), "test", again=again)
    finally:
        await connection.close()


@asynccontextmanager
async def fleet_journal(url: str) -> AsyncIterator[FleetJournal]:
    """Give the journal of a fleet whose tables are made here."""
    await make_fleet(url)
    journal = await FleetJournal.open(url, None)
    try:
        yield journal
    finally:
        await journal.aclose()

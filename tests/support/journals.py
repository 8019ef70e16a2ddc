"""Journals for tests: one over an output folder, and outcomes as the pipeline would give them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bulkfetch.journal import Entry, Journal
from bulkfetch.models import Failure, Job, Outcome, PublishedFile


@asynccontextmanager
async def opened(out: Path) -> AsyncIterator[Journal]:
    """One run: the journal of `out`, closed in the end."""
    journal = await Journal.open(out / ".bulkfetch")
    try:
        yield journal
    finally:
        await journal.aclose()


def jobs(*ids: str, account: str = "default") -> list[Job]:
    """Jobs with these ids, in this order."""
    return [Job(id, account) for id in ids]


def done(entry: Entry, out: Path, attempts: int = 1) -> Outcome:
    """The outcome of a job that came home."""
    file = PublishedFile(path=str(out / f"{entry.job.stem}.csv"), bytes=81, sha256="5e" * 32)
    return Outcome(
        entry.job.id,
        entry.job.account,
        "done",
        files=(file,),
        zip_bytes=16,
        records=3,
        attempts=attempts,
    )


def failed(entry: Entry, out: Path, attempts: int = 1) -> Outcome:
    """The outcome of a job whose archive was refused."""
    return Outcome(
        entry.job.id,
        entry.job.account,
        "failed",
        attempts=attempts,
        quarantine=str(out / ".bulkfetch" / "quarantine" / f"{entry.job.id}.zip"),
        error=Failure("ZIP_CORRUPT", "The archive is damaged.", "Look at it.", 200),
    )


async def drain(journal: Journal, account: str = "default", limit: int = 100) -> list[Entry]:
    """Everything that is to do for an account, taken page by page."""
    entries: list[Entry] = []
    while page := await journal.take(account, limit):
        entries += page
    return entries


async def skipped(journal: Journal, limit: int = 100) -> list[Outcome]:
    """Everything that this run's list had done already, page by page."""
    outcomes: list[Outcome] = []
    bookmark = 0
    while True:
        page, bookmark = await journal.skipped(bookmark, limit)
        if not page:
            return outcomes
        outcomes += page

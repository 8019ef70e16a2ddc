"""Submitting jobs and exports, and the turns of their accounts, in one transaction."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Container, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import asyncpg

from bulkfetch.config.fleet import ExportKey
from bulkfetch.errors import permanent_codes
from bulkfetch.fleet import admission
from bulkfetch.fleet.engine import ask_for_turns
from bulkfetch.models import Job
from bulkfetch.ratelimit.postgres.schema import CAREFULLY

# A list may be long, and its producer slow; the statements of an admission grow with it.
_LIST_S = 30 * 86_400.0
_ADMISSION_S = 3_600.0
_TRIES = 5


class Submitted(NamedTuple):
    """What became of a list, in jobs: each is one of the four. `accounts` are to be asked.

    `failed_before` failed for good and are not asked for again; `refused` cannot be asked for.
    `exports` are to be done.
    """

    submission: int
    asked: int
    done_before: int
    failed_before: int
    refused: int
    exports: int
    accounts: tuple[str, ...]


async def submit(
    connection: asyncpg.Connection[Any],
    jobs: Iterable[Job] | AsyncIterable[Job],
    accounts: Container[str],
    source: str,
    *,
    again: bool = False,
    exports: Sequence[ExportKey] = (),
    full: bool = False,
) -> Submitted:
    """Put a list and exports into the journal, and have turns given to their accounts.

    `accounts` are those of the settings, `source` is what the list is called. `again` asks for what
    is done or has failed for good, too; `full` for the exports in full, not only their changes.
    Raises asyncpg.PostgresError, and what the list raises: then nothing was submitted. If
    cancelled: all of it was, or nothing.
    """
    async with connection.transaction():
        await connection.execute(CAREFULLY)
        await connection.execute(admission.STAGE)
        await connection.copy_records_to_table(
            "fleet_stage", records=_rows(jobs, accounts), timeout=_LIST_S
        )
        submission: int = await connection.fetchval(
            "INSERT INTO bulkfetch.fleet_submission (source) VALUES ($1) RETURNING id", source
        )
        await connection.execute(admission.LOCK, timeout=_ADMISSION_S)
        submitted = await _admit_once(connection, submission, again, exports, full)
    # For a turn that was there, and ends now without having seen the jobs.
    await ask_for_turns(connection, submitted.accounts)
    return submitted


async def _admit_once(
    connection: asyncpg.Connection[Any],
    submission: int,
    again: bool,
    exports: Sequence[ExportKey],
    full: bool,
) -> Submitted:
    """Admit what is staged; a late outcome of a worker may be in the way, and is gone soon."""
    for left in reversed(range(_TRIES)):
        try:
            async with connection.transaction():
                await _admit(connection, submission, again)
                await _admit_exports(connection, submission, exports, full)
                return await _count(connection, submission, len(exports))
        except asyncpg.DeadlockDetectedError:
            if not left:
                raise
    raise AssertionError("the last try returns or raises")


async def _admit(connection: asyncpg.Connection[Any], submission: int, again: bool) -> None:
    async def do(statement: str, *values: object) -> None:
        await connection.execute(statement, *values, timeout=_ADMISSION_S)

    await do(admission.ANALYZE)
    await do(admission.LIST, again, permanent_codes(), *admission.renamed_texts())
    await do("ANALYZE fleet_list")
    await do(admission.MARK)
    await do(admission.REFUSE, admission.conflict_text())
    await do(admission.GIVE_UP)
    await do(admission.AGAIN, again)
    if again:
        await do(admission.PENDING_AGAIN)
    await do(admission.INSERT, again)
    await do(admission.ITEMS, submission)


async def _admit_exports(
    connection: asyncpg.Connection[Any], submission: int, exports: Sequence[ExportKey], full: bool
) -> None:
    accounts, names = [key.account for key in exports], [key.name for key in exports]
    await connection.execute(admission.EXPORTS, accounts, names, full, timeout=_ADMISSION_S)
    await connection.execute(
        admission.EXPORT_ITEMS, submission, accounts, names, timeout=_ADMISSION_S
    )


async def _count(connection: asyncpg.Connection[Any], submission: int, exports: int) -> Submitted:
    """Count what was admitted, and have turns given to the accounts that it is of."""
    counted = await connection.fetchrow(admission.COUNT, submission, timeout=_ADMISSION_S)
    assert counted is not None, "the submission was inserted above"
    rows = await connection.fetch(admission.ACCOUNTS, submission, timeout=_ADMISSION_S)
    accounts = tuple(row["account"] for row in rows)
    await connection.execute(admission.RELEASE, accounts, timeout=_ADMISSION_S)
    await ask_for_turns(connection, accounts)
    return Submitted(
        submission,
        counted["asked"],
        counted["done_before"],
        counted["failed_before"],
        counted["refused"],
        exports,
        accounts,
    )


def _rows(
    jobs: Iterable[Job] | AsyncIterable[Job], accounts: Container[str]
) -> Iterator[admission.StageRow] | AsyncIterator[admission.StageRow]:
    if isinstance(jobs, AsyncIterable):
        return _rows_as_they_come(jobs, accounts)
    return (admission.stage_row(at, job, accounts) for at, job in enumerate(jobs))


async def _rows_as_they_come(
    jobs: AsyncIterable[Job], accounts: Container[str]
) -> AsyncIterator[admission.StageRow]:
    at = 0
    async for job in jobs:
        yield admission.stage_row(at, job, accounts)
        at += 1

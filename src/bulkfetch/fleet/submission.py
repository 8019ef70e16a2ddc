"""Submitting jobs and exports, and the turns of their accounts, in one transaction."""

from __future__ import annotations

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Collection,
    Container,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import Any, NamedTuple

import asyncpg

from bulkfetch.config.fleet import ExportKey
from bulkfetch.errors import permanent_codes
from bulkfetch.fleet import admission
from bulkfetch.fleet.engine import ask_for_turns
from bulkfetch.fleet.servers import bind_servers, require_servers
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


class _Terms(NamedTuple):
    """How a submission is admitted: as `submit` is told. `servers` are those of its accounts."""

    again: bool
    exports: Sequence[ExportKey]
    full: bool
    servers: Mapping[str, str]
    moved: Collection[str]


async def submit(
    connection: asyncpg.Connection[Any],
    jobs: Iterable[Job] | AsyncIterable[Job],
    servers: Mapping[str, str],
    source: str,
    *,
    again: bool = False,
    exports: Sequence[ExportKey] = (),
    full: bool = False,
    moved: Collection[str] = (),
) -> Submitted:
    """Put a list and exports into the journal, and have turns given to their accounts.

    `servers` are those that the settings have accounts asked at; these are so from now on. `source`
    is what the list is called. `again` asks for what is done or has failed for good, too; `full`
    for the exports in full, not only their changes. Of the accounts in `moved`, what another server
    has answered stays. Raises asyncpg.PostgresError, ConfigError where another server has answered,
    and what the list raises: then nothing was submitted. If cancelled: all of it was, or nothing.
    """
    async with connection.transaction():
        await connection.execute(CAREFULLY)
        await connection.execute(admission.STAGE)
        await connection.copy_records_to_table(
            "fleet_stage", records=_rows(jobs, servers), timeout=_LIST_S
        )
        submission: int = await connection.fetchval(
            "INSERT INTO bulkfetch.fleet_submission (source) VALUES ($1) RETURNING id", source
        )
        await connection.execute(admission.LOCK, timeout=_ADMISSION_S)
        rows = await connection.fetch(admission.NAMED, timeout=_ADMISSION_S)
        named = {*(row["account"] for row in rows), *(key.account for key in exports), *moved}
        asked = {account: servers[account] for account in named}
        # Before what has ended is admitted anew, and is pending then.
        await require_servers(connection, asked, moved)
        terms = _Terms(again, exports, full, asked, moved)
        submitted = await _admit_once(connection, submission, terms)
    # For a turn that was there, and ends now without having seen the jobs.
    await ask_for_turns(connection, submitted.accounts)
    return submitted


async def _admit_once(
    connection: asyncpg.Connection[Any], submission: int, terms: _Terms
) -> Submitted:
    """Admit what is staged; a late outcome of a worker may be in the way, and is gone soon."""
    for left in reversed(range(_TRIES)):
        try:
            async with connection.transaction():
                await _admit(connection, submission, terms.again)
                await _admit_exports(connection, submission, terms.exports, terms.full)
                return await _count(connection, submission, terms)
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


async def _count(connection: asyncpg.Connection[Any], submission: int, terms: _Terms) -> Submitted:
    """Count what was admitted, and have turns given to the accounts that it is of."""
    counted = await connection.fetchrow(admission.COUNT, submission, timeout=_ADMISSION_S)
    assert counted is not None, "the submission was inserted above"
    rows = await connection.fetch(admission.ACCOUNTS, submission, timeout=_ADMISSION_S)
    accounts = tuple(row["account"] for row in rows)
    await connection.execute(admission.RELEASE, accounts, timeout=_ADMISSION_S)
    await bind_servers(connection, terms.servers, terms.moved)
    await ask_for_turns(connection, accounts)
    return Submitted(
        submission,
        counted["asked"],
        counted["done_before"],
        counted["failed_before"],
        counted["refused"],
        len(terms.exports),
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

"""How far an account's exports have come, as its turn keeps it: in the fleet's journal.

Whichever host has the account's turn goes on with them. So each write is one transaction that looks
whether the turn is still the account's newest: an owner that was superseded begins nothing more, no
page either. What a page's job came to is known where its file is: in the journal of this host's
output folder. That is written second. A job that was not forgotten there, since the host died in
between, is forgotten when the export is next begun here.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import asyncpg

from bulkfetch.errors import DatabaseLost, Superseded
from bulkfetch.fleet.codec import DONE, PENDING, STATES
from bulkfetch.fleet.connections import Connections, Work
from bulkfetch.fleet.export_codec import report_written
from bulkfetch.journal import (
    Change,
    ExportRow,
    ExportTables,
    GenerationRow,
    PageRow,
    StoredExport,
)
from bulkfetch.journal.export_codec import (
    GENERATION,
    PAGE,
    export_of,
    generation_of,
    page_of,
    values,
)
from bulkfetch.models import ExportReport, Outcome

T = TypeVar("T")

_UNDER_WAY = ("ACTIVE", "PUBLISHING")


def _marks(count: int) -> str:
    return ", ".join(f"${place}" for place in range(1, count + 1))


# Until the transaction ends no newer turn can begin.
_STILL_OURS = """
    SELECT 1 FROM bulkfetch.fleet_account WHERE account = $1 AND generation = $2 FOR SHARE
"""
_OURS = "SELECT generation = $2 FROM bulkfetch.fleet_account WHERE account = $1"
_EXPORTS = """
    SELECT key, name, account, committed, prepared_s FROM bulkfetch.fleet_export
    WHERE account = $1 AND name = ANY($2::text[]) ORDER BY key
"""
_ADD_EXPORTS = """
    INSERT INTO bulkfetch.fleet_export (account, name) SELECT $1, unnest($2::text[])
    ON CONFLICT (account, name) DO NOTHING
"""
_UPDATE_EXPORT = """
    UPDATE bulkfetch.fleet_export SET committed = $2, prepared_s = $3::jsonb WHERE key = $1
"""
# Who has asked for it in full, while its changes were under way, is not served by them.
_END = f"""
    UPDATE bulkfetch.fleet_export AS export SET
        state = said.state, report = said.report, whole = whole AND said.state = {PENDING},
        ended_at = CASE WHEN said.state <> {PENDING} THEN clock_timestamp() END,
        ended_in = CASE WHEN said.state <> {PENDING} THEN pg_current_xact_id() END
    FROM (
        SELECT key, $4::jsonb AS report, CASE
            WHEN whole AND $3::smallint = {DONE} AND $4::jsonb ->> 'mode' = 'changes'
            THEN {PENDING} ELSE $3::smallint END AS state
        FROM bulkfetch.fleet_export WHERE account = $1 AND name = $2 AND state = {PENDING}
        FOR UPDATE
    ) AS said
    WHERE export.key = said.key
"""
_OPEN_FIRST = f"""
    SELECT {", ".join(GENERATION)} FROM bulkfetch.fleet_generation WHERE export = $1
    ORDER BY state IN ('ACTIVE', 'PUBLISHING') DESC, key DESC LIMIT 1
"""
_NEXT_GENERATION = """
    SELECT nextval(pg_get_serial_sequence('bulkfetch.fleet_generation', 'key'))
"""
_INSERT_GENERATION = f"""
    INSERT INTO bulkfetch.fleet_generation ({", ".join(GENERATION)})
    OVERRIDING SYSTEM VALUE VALUES ({_marks(len(GENERATION))}) ON CONFLICT (key) DO NOTHING
"""
_UPDATE_GENERATION = f"""
    UPDATE bulkfetch.fleet_generation SET
        ({", ".join(GENERATION[1:])}) = ({_marks(len(GENERATION)).removeprefix("$1, ")})
    WHERE key = $1
"""
_PAGES = f"""
    SELECT {", ".join(PAGE)} FROM bulkfetch.fleet_page WHERE generation = $1
    ORDER BY chain, number
"""
_PUT_PAGE = f"""
    INSERT INTO bulkfetch.fleet_page ({", ".join(PAGE)}) VALUES ({_marks(len(PAGE))})
    ON CONFLICT (generation, chain, number) DO UPDATE SET
        {", ".join(f"{name} = excluded.{name}" for name in PAGE[3:])}
"""


class TurnExports:
    """The `ExportStore` of one account in its turn `generation`; `local` is that of this host.

    While the database is away its methods wait. Bound to the running loop.
    """

    def __init__(
        self, connections: Connections, account: str, generation: int, local: ExportTables
    ) -> None:
        """Use `FleetExports.in_turn`."""
        self._connections = connections
        self._account = account
        self._turn = generation
        self._local = local
        self._until = math.inf
        self._waiting: set[asyncio.Timeout] = set()

    def wait_until(self, at: float) -> None:
        """From now on wait for a database that is away until then at most, on the loop's clock.

        What would wait longer raises DatabaseLost.
        """
        self._until = at
        for limit in self._waiting:
            limit.reschedule(at)

    async def load(self, names: Sequence[str]) -> dict[str, StoredExport]:
        """Return what is known of exports, by name. If cancelled: nothing happens."""

        async def work(connection: asyncpg.Connection[Any]) -> dict[str, StoredExport]:
            rows = await connection.fetch(_EXPORTS, self._account, names)
            return {row["name"]: await _stored(connection, export_of(row)) for row in rows}

        return await self._within(self._connections.read(work))

    async def begin(self, names: Sequence[tuple[str, str]]) -> dict[str, ExportRow]:
        """Return the rows of these exports (name, account).

        What this host has of jobs of theirs that nobody wants any more is forgotten. If cancelled:
        or not.
        """
        wanted = [name for name, _ in names]

        async def work(connection: asyncpg.Connection[Any]) -> None:
            await connection.execute(_ADD_EXPORTS, self._account, wanted)

        await self._write(work)
        stored = await self.load(wanted)
        for name, known in stored.items():
            under_way = known.generation is not None and known.generation.state in _UNDER_WAY
            pages = known.pages if under_way else ()
            await self._local.keep_jobs(name, {page.job_id for page in pages if page.job_id})
        return {name: known.row for name, known in stored.items()}

    async def open(
        self, generation: GenerationRow, pages: Sequence[PageRow], along: Change
    ) -> tuple[GenerationRow, tuple[PageRow, ...]]:
        """Add a generation with its first pages, and do another change in the same transaction.

        Returns the rows with their keys. If cancelled: all is written, or nothing.
        """
        # Known before it is written, which may be done twice.
        key = await self._within(
            self._connections.read(lambda connection: connection.fetchval(_NEXT_GENERATION))
        )
        made = replace(generation, key=key)
        rows = tuple(replace(page, generation=key) for page in pages)

        async def work(connection: asyncpg.Connection[Any]) -> None:
            await self._put(connection, along)
            await connection.execute(_INSERT_GENERATION, *values(made))
            await self._put(connection, Change(pages=rows))

        await self._write(work)
        await self._local.write(Change(forgotten=along.forgotten))
        return made, rows

    async def write(self, change: Change) -> None:
        """Write a change; durable on return. If cancelled: all of it is written, or nothing."""
        await self._write(lambda connection: self._put(connection, change))
        await self._local.write(Change(forgotten=change.forgotten))

    async def outcome(self, account: str, job_id: str) -> Outcome | None:
        """Return what a page's job came to on this host; None where it has not ended here.

        If cancelled: nothing happens.
        """
        return await self._local.outcome(account, job_id)

    async def require_turn(self) -> None:
        """Raise Superseded where the account has a newer turn. If cancelled: nothing happens."""
        ours = await self._within(
            self._connections.read(
                lambda connection: connection.fetchval(_OURS, self._account, self._turn)
            )
        )
        if not ours:
            raise Superseded

    async def _write(self, work: Work[None]) -> None:
        async def checked(connection: asyncpg.Connection[Any]) -> None:
            await _require_turn(connection, self._account, self._turn)
            await work(connection)

        await self._within(self._connections.write(checked))

    async def _put(self, connection: asyncpg.Connection[Any], change: Change) -> None:
        if change.pages:
            await connection.executemany(_PUT_PAGE, [values(page) for page in change.pages])
        if change.generation is not None:
            await connection.execute(_UPDATE_GENERATION, *values(change.generation))
        if change.export is not None:
            key, _, _, committed, prepared_s, _ = values(change.export)
            await connection.execute(_UPDATE_EXPORT, key, committed, prepared_s)
        if change.end is not None:
            await _end(connection, change.end)

    async def _within(self, asked: Awaitable[T]) -> T:
        limit = asyncio.timeout_at(None if self._until == math.inf else self._until)
        self._waiting.add(limit)
        try:
            async with limit:
                return await asked
        except TimeoutError:
            if not limit.expired():
                raise
            raise DatabaseLost(
                "the fleet's database is away", hint="Another worker goes on; nothing is lost."
            ) from None
        finally:
            self._waiting.discard(limit)


async def end_export(
    connection: asyncpg.Connection[Any], generation: int, report: ExportReport
) -> None:
    """Write how an export of an account ended in its turn; within a transaction.

    Raises Superseded where the account has a newer turn.
    """
    await _require_turn(connection, report.account, generation)
    await _end(connection, report)


async def _end(connection: asyncpg.Connection[Any], report: ExportReport) -> None:
    state, text = STATES[report.status], report_written(report)
    await connection.execute(_END, report.account, report.name, state, text)


async def _require_turn(connection: asyncpg.Connection[Any], account: str, generation: int) -> None:
    if await connection.fetchval(_STILL_OURS, account, generation) is None:
        raise Superseded


async def _stored(connection: asyncpg.Connection[Any], export: ExportRow) -> StoredExport:
    found = await connection.fetchrow(_OPEN_FIRST, export.key)
    if found is None:
        return StoredExport(export, None, ())
    generation = generation_of(tuple(found))
    pages = await connection.fetch(_PAGES, generation.key)
    return StoredExport(export, generation, tuple(page_of(tuple(page)) for page in pages))

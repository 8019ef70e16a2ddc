"""The connection to the database that hosts share: one for all accounts of a client.

All changes that have come meanwhile are one transaction: their rows are locked in one order, the
clock is read, the changes are made on values, the rows written. Where one fails for whatever reason
the connection is made anew, after a random pause that grows, and all is done again: a change must
allow for that. Imported only where a window is in PostgreSQL.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

import asyncpg

from bulkfetch.clock import boottime
from bulkfetch.errors import ConfigError
from bulkfetch.ratelimit.interfaces import WindowEvent
from bulkfetch.ratelimit.messages import away
from bulkfetch.ratelimit.patience import Patience, pauses
from bulkfetch.ratelimit.postgres.clock_guard import ClockGuard
from bulkfetch.ratelimit.postgres.schema import (
    CAREFULLY,
    CLOSE_ALL,
    FAILED,
    NOW,
    connect,
    host_of,
    prepare,
    reason,
    refused,
)
from bulkfetch.ratelimit.postgres.store import Moment, R, RowTable, T, WindowStore
from bulkfetch.secret import Secret

# How long an open tries to reach a database that does not answer, in seconds.
OPEN_S = 15.0
_BEGIN = f"BEGIN; {CAREFULLY}; SET LOCAL lock_timeout = '8s'"


class _Wanted(NamedTuple):
    table: RowTable[Any]
    account: str
    change: Callable[[Any, Moment], Any]
    done: asyncio.Future[Any]


class _LockedRow(NamedTuple):
    """A row that nobody else can change: its value, and its columns as they were."""

    row: Any
    columns: tuple[Any, ...]
    moment: Moment


class WindowDatabase(WindowStore):
    """The rows in PostgreSQL; bound to the running loop, to be closed."""

    def __init__(
        self, url: str, password: Secret | None, clock: Callable[[], float], gather_s: float = 0.0
    ) -> None:
        self._url = url
        self._password = password
        self._now = clock
        self._gather_s = gather_s
        self._connection: asyncpg.Connection[Any] | None = None
        self._guard = ClockGuard()
        self._stepped = False  # and not all accounts are closed yet
        self._patience = Patience(clock)
        self._listeners: list[Callable[[WindowEvent], None]] = []
        self._queue: list[_Wanted] = []
        self._due = asyncio.Event()
        self._known: set[tuple[str, str]] = set()  # tables and accounts
        self._worker: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        url: str,
        password: Secret | None = None,
        *,
        clock: Callable[[], float] = boottime,
        patience_s: float = OPEN_S,
        gather_s: float = 0.0,
    ) -> WindowDatabase:
        """Connect, and make the tables where they are missing and may be made.

        Changes wait `gather_s` seconds for others, to be one transaction with them.
        Raises ConfigError where the database does not answer within `patience_s`, refuses the
        user, or has no tables or those of a newer version. If cancelled: nothing is left open.
        """
        database = cls(url, password, clock, gather_s)
        until = clock() + patience_s
        try:
            while True:
                try:
                    await database._connected()
                    break
                except FAILED as error:
                    if clock() >= until or not _may_pass(error):
                        raise refused(url, error) from None
                await asyncio.sleep(random.uniform(0.1, 0.5))
        except BaseException:
            database._drop()
            raise
        database._worker = asyncio.get_running_loop().create_task(database._work())
        return database

    @property
    def away_s(self) -> float:
        return self._patience.held_s

    def listen(self, on_away: Callable[[WindowEvent], None]) -> Callable[[], None]:
        self._listeners.append(on_away)
        return lambda: self._listeners.remove(on_away)

    async def run(self, table: RowTable[R], account: str, change: Callable[[R, Moment], T]) -> T:
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.append(_Wanted(table, account, change, done))
        self._due.set()
        return await done

    async def aclose(self) -> None:
        """Close the connection; nobody may be waiting for a change."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])
        if self._connection is not None:
            with suppress(*FAILED):
                await self._connection.close(timeout=1)
        self._drop()

    # --- changes ----------------------------------------------------------------------------------

    async def _work(self) -> None:
        waits = pauses()
        while True:
            await self._due.wait()
            if self._gather_s:
                await asyncio.sleep(self._gather_s)
            wanted = [one for one in self._queue if not one.done.done()]
            self._queue.clear()
            self._due.clear()
            if not wanted:
                continue
            try:
                results = await self._transact(wanted)
            except (*FAILED, ConfigError) as error:
                self._drop()
                self._tell(error)
                self._queue[:0] = wanted
                self._due.set()
                await asyncio.sleep(next(waits))
                continue
            except Exception as error:
                self._drop()
                for one in wanted:
                    if not one.done.done():
                        one.done.set_exception(error)
                continue
            waits = pauses()
            if results is None:  # the clock was set forward: all accounts are closed first
                self._queue[:0] = wanted
                self._due.set()
                continue
            self._patience.succeeded()
            for one, result in zip(wanted, results, strict=True):
                if not one.done.done():
                    one.done.set_result(result)

    async def _transact(self, wanted: list[_Wanted]) -> list[Any] | None:
        """Make changes in one transaction; None, with nothing done, where the clock has stepped."""
        connection = await self._connected()
        if self._stepped:
            await connection.execute(f"{_BEGIN}; {CLOSE_ALL}; COMMIT")
            self._stepped = False
        accounts: dict[RowTable[Any], set[str]] = {}
        for one in wanted:
            accounts.setdefault(one.table, set()).add(one.account)
        await connection.execute(_BEGIN)
        held: dict[tuple[str, str], _LockedRow] = {}
        for table in sorted(accounts, key=attrgetter("name")):  # in one order, as accounts are
            held |= await self._lock(connection, table, sorted(accounts[table]))
        if self._stepped:
            await connection.execute("ROLLBACK")
            return None
        results = []
        for one in wanted:
            row, _, moment = held[one.table.name, one.account]
            results.append(one.change(row, moment))
        for table in accounts:
            for account in accounts[table]:
                row, before, _ = held[table.name, account]
                if (columns := table.write(row)) != before:
                    await connection.execute(_write(table), account, *columns)
        await connection.execute("COMMIT")
        self._known.update(held)
        return results

    async def _lock(
        self, connection: asyncpg.Connection[Any], table: RowTable[Any], accounts: list[str]
    ) -> dict[tuple[str, str], _LockedRow]:
        """Return the rows of accounts, added where they are missing; nobody else can change them.

        Also look whether the clock has stepped.
        """
        while True:
            loop_asked, asked = asyncio.get_running_loop().time(), self._now()
            records = await connection.fetch(_lock(table), accounts)
            received = self._now()
            missing = sorted(set(accounts) - {record["account"] for record in records})
            if not missing:
                break
            # One that was there before has been deleted: its uses are not known.
            gone = any((table.name, account) in self._known for account in missing)
            await connection.execute(_add(table), missing, gone)
        self._look_at(max(record["now"] for record in records), asked, received)
        held = {}
        for record in records:
            row, moment = table.read(record), Moment(record["now"], asked, loop_asked)
            held[table.name, record["account"]] = _LockedRow(row, table.write(row), moment)
        return held

    def _look_at(self, now: float, asked: float, received: float) -> None:
        if self._guard.step_s(now, asked, received):
            self._stepped = True

    def _tell(self, error: BaseException) -> None:
        if (for_s := self._patience.due_s()) is not None:
            for listener in dict.fromkeys(self._listeners):
                listener(away(host_of(self._url), reason(error), for_s))

    # --- the connection ---------------------------------------------------------------------------

    async def _connected(self) -> asyncpg.Connection[Any]:
        if self._connection is None or self._connection.is_closed():
            connection = await connect(self._url, self._password)
            try:
                await prepare(connection)
                # Also who asks for nothing yet knows the clock, and sees it set forward.
                asked = self._now()
                self._look_at(await connection.fetchval(f"SELECT {NOW}"), asked, self._now())
            except BaseException:
                connection.terminate()
                raise
            self._connection = connection
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


@cache
def _lock(table: RowTable[Any]) -> str:
    """Return what reads rows that nobody else can change from then on, until the commit.

    The clock is read for a row that is had already: what is materialized is locked.
    """
    beside = f", {table.beside}" if table.beside else ""
    return f"""
        WITH locked AS MATERIALIZED (
            SELECT * FROM bulkfetch.{table.name} WHERE account = ANY($1)
            ORDER BY account FOR UPDATE
        )
        SELECT {NOW} AS now, locked.*{beside} FROM locked
    """


@cache
def _add(table: RowTable[Any]) -> str:
    """Return what adds rows, closed where something was there that is not known any more.

    Capped by what the account's clients need, once one has said it: nothing is known of such a row.
    """
    return f"""
        INSERT INTO bulkfetch.{table.name} (account, closed_until)
        SELECT account, CASE WHEN $2 OR changed_at > {NOW} - 86400 THEN {NOW} + 86400 END
        FROM unnest($1::text[]) AS account, bulkfetch.window_version
        ON CONFLICT DO NOTHING
    """


@cache
def _write(table: RowTable[Any]) -> str:
    """Return what writes a row's columns."""
    values = ", ".join(f"{name} = ${at}" for at, name in enumerate(table.columns, start=2))
    return f"UPDATE bulkfetch.{table.name} SET {values} WHERE account = $1"


def _may_pass(error: BaseException) -> bool:
    """Return whether an error may be over in a moment, as while a server starts."""
    if isinstance(error, asyncpg.PostgresError):
        return isinstance(
            error,
            asyncpg.CannotConnectNowError
            | asyncpg.PostgresConnectionError
            | asyncpg.AdminShutdownError
            | asyncpg.CrashShutdownError
            | asyncpg.TooManyConnectionsError
            | asyncpg.DeadlockDetectedError,
        )
    return isinstance(error, OSError | asyncio.TimeoutError)

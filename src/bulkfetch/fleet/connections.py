"""A process's connections to the fleet's database. What is asked waits while it is away."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

import asyncpg
import asyncpg.pool

from bulkfetch.clock import boottime
from bulkfetch.fleet.database import (
    STATEMENT_S,
    may_start,
    refused,
    require_tables,
    until_done,
)
from bulkfetch.ratelimit.patience import Patience
from bulkfetch.ratelimit.postgres.schema import CAREFULLY, FAILED, reason
from bulkfetch.secret import Secret

T = TypeVar("T")
Work: TypeAlias = "Callable[[asyncpg.Connection[Any]], Awaitable[T]]"

_CONNECTIONS = 2


class Connections:
    """Two at most; bound to the running loop, to be closed."""

    def __init__(self, pool: asyncpg.Pool[Any], clock: Callable[[], float] = boottime) -> None:
        """Use `open`."""
        self._pool = pool
        self._patience = Patience(clock)
        self._why = ""

    @classmethod
    async def open(
        cls, url: str, password: Secret | None, *, patience_s: float = 0.0
    ) -> Connections:
        """Connect, within `patience_s` also to a server that is away or just starts.

        Raises ConfigError: no database, wrong password, no tables, of another version. If
        cancelled: nothing is left open.
        """
        until = boottime() + patience_s
        while True:
            try:
                return cls(await _open_pool(url, password))
            except FAILED as error:
                if not may_start(error) or boottime() >= until:
                    raise refused(url, error) from None
            await asyncio.sleep(random.uniform(0.1, 0.5))

    @property
    def away_s(self) -> float:
        """Return for how long the database could not be used, 0 while it can."""
        return self._patience.held_s

    @property
    def away_because(self) -> str:
        """Return why the database could not be used when it was last asked, "" if it could."""
        return self._why if self.away_s else ""

    async def write(self, work: Work[T]) -> T:
        """Do `work` in a transaction, kept before it is told; perhaps several times, as `read`."""

        async def within(connection: asyncpg.Connection[Any]) -> T:
            async with connection.transaction():
                await connection.execute(CAREFULLY)
                return await work(connection)

        return await self.read(within)

    async def read(self, work: Work[T]) -> T:
        """Do `work`, again and again until the database has done it: it must bear that.

        Raises what no waiting mends. If cancelled: it may have been done.
        """

        async def attempt() -> T:
            async with self._pool.acquire(timeout=STATEMENT_S) as connection:
                try:
                    result = await work(connection)  # type: ignore[arg-type]  # a proxy of one
                except asyncio.CancelledError:
                    # It may be in a transaction, and to have that ended may take long.
                    connection.terminate()
                    raise
            self._patience.succeeded()
            return result

        return await until_done(attempt, self._note_away)

    async def fetch(self, statement: str, *values: object) -> list[asyncpg.Record]:
        """Return the rows that a statement gives; as `read`."""
        return await self.read(lambda connection: connection.fetch(statement, *values))

    async def aclose(self) -> None:
        """Close them; nobody may be waiting. If cancelled: they are dropped."""
        try:
            with suppress(*FAILED):
                await asyncio.wait_for(self._pool.close(), timeout=1)
        finally:
            self._pool.terminate()

    def _note_away(self, error: BaseException) -> None:
        self._why = reason(error)
        self._patience.due_s()


async def _open_pool(url: str, password: Secret | None) -> asyncpg.Pool[Any]:
    pool = asyncpg.create_pool(
        url,
        password=None if password is None else password.reveal(),
        min_size=1,
        max_size=_CONNECTIONS,
        timeout=STATEMENT_S,
        command_timeout=STATEMENT_S,
        server_settings={"application_name": "bulkfetch"},
    )
    try:
        await pool
        async with pool.acquire() as connection:
            await require_tables(connection)  # type: ignore[arg-type]  # a proxy of one
    except BaseException:
        pool.terminate()
        raise
    return pool

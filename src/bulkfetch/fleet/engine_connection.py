"""One connection to the fleet's database, which is made anew whenever it is lost."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import asyncpg

from bulkfetch.clock import boottime
from bulkfetch.fleet.database import until_done
from bulkfetch.ratelimit.postgres.schema import FAILED, connect
from bulkfetch.secret import Secret

T = TypeVar("T")


class LastingConnection:
    """Does what bears to be done again, one after the other; bound to the running loop."""

    def __init__(self, url: str, password: Secret | None) -> None:
        """Connect when there is something to do."""
        self._url = url
        self._password = password
        self._connection: asyncpg.Connection[Any] | None = None
        self._lock = asyncio.Lock()
        self._heard: list[tuple[str, Callable[[str], None]]] = []
        self._lost = False
        self._regained_at = -math.inf

    @property
    def regained_s(self) -> float:
        """Return how long ago the connection was had again after it was lost; inf: it never was."""
        return 0.0 if self._lost else boottime() - self._regained_at

    async def run(self, work: Callable[[asyncpg.Connection[Any]], Awaitable[T]]) -> T:
        """Do `work` with the connection, as often as it takes while the database is away.

        Raises asyncpg.PostgresError for what no waiting mends. If cancelled: it may have been done.
        """

        async def attempt() -> T:
            async with self._lock:
                try:
                    return await work(await self._connected())
                except FAILED:
                    self._drop()
                    raise

        return await until_done(attempt)

    async def listen(self, channel: str, on_notice: Callable[[str], None]) -> None:
        """Have what is notified on a channel told; what comes while the connection is lost is not.

        If cancelled: perhaps it is.
        """
        self._heard.append((channel, on_notice))
        await self.run(lambda connection: _listen(connection, channel, on_notice))

    async def aclose(self) -> None:
        """Close the connection; nobody may be waiting. If cancelled: it is dropped."""
        try:
            if self._connection is not None:
                with suppress(*FAILED):
                    await self._connection.close(timeout=1)
        finally:
            self._drop()

    async def _connected(self) -> asyncpg.Connection[Any]:
        if self._connection is not None and self._connection.is_closed():
            self._drop()
        if self._connection is None:
            connection = await connect(self._url, self._password)
            try:
                for channel, on_notice in self._heard:
                    await _listen(connection, channel, on_notice)
            except BaseException:
                connection.terminate()
                raise
            self._connection = connection
            if self._lost:
                self._lost, self._regained_at = False, boottime()
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection, self._lost = None, True


async def _listen(
    connection: asyncpg.Connection[Any], channel: str, on_notice: Callable[[str], None]
) -> None:
    def told(_: object, __: int, ___: str, payload: object) -> None:
        on_notice(str(payload))

    await connection.add_listener(channel, told)

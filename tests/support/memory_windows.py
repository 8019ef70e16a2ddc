"""Rows of windows in memory: what PostgreSQL does, on any clock.

A row is written and read in the form of its columns, so that nothing is kept that the table has no
column for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from bulkfetch.ratelimit.interfaces import WindowEvent
from bulkfetch.ratelimit.postgres.row import WindowRow
from bulkfetch.ratelimit.postgres.store import Change, Moment

T = TypeVar("T")

NAMES = ("token", "stamp", "client", "settled", "taken", "waiting", "throttle", "closed_until")
COLUMNS = (*NAMES, "hold_s", "lease_s")


class MemoryWindows:
    """A WindowStore whose database's clock is `ahead_s` ahead of `clock`.

    A change is made after `slow_s()`, and its result here after as long again. Where `repeat()` is
    true it is made a second time, as after a connection that broke with the first reply.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        ahead_s: float = 0.0,
        slow_s: Callable[[], float] = lambda: 0.0,
        repeat: Callable[[], bool] = lambda: False,
    ) -> None:
        self._clock = clock
        self.ahead_s = ahead_s
        self._slow_s = slow_s
        self._repeat = repeat
        self._rows: dict[str, Mapping[str, Any]] = {}
        self.generation = 0  # of every account's newest turn

    @property
    def away_s(self) -> float:
        return 0.0

    def listen(self, on_away: Callable[[WindowEvent], None]) -> Callable[[], None]:
        return lambda: None

    def row(self, account: str) -> WindowRow:
        return WindowRow.of(self._rows[account]) if account in self._rows else WindowRow()

    async def run(self, account: str, change: Change[T]) -> T:
        result = await self._once(account, change)
        return await self._once(account, change) if self._repeat() else result

    async def _once(self, account: str, change: Change[T]) -> T:
        loop = asyncio.get_running_loop()
        asked, loop_asked = self._clock(), loop.time()
        if slow_s := self._slow_s():
            await asyncio.sleep(slow_s)
        row = self.row(account)
        row.generation = self.generation
        result = change(row, Moment(self._clock() + self.ahead_s, asked, loop_asked))
        self._rows[account] = dict(zip(COLUMNS, row.columns(), strict=True))
        if slow_s := self._slow_s():
            await asyncio.sleep(slow_s)
        return result

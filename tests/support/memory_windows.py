"""Rows of windows and budgets in memory: what PostgreSQL does, on any clock.

A row is written and read in the form of its columns, so that nothing is kept that the table has no
column for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from bulkfetch.control.hosts_ledger import CONTROL_TABLE
from bulkfetch.control.usage import AccountUsage
from bulkfetch.ratelimit.interfaces import WindowEvent
from bulkfetch.ratelimit.postgres.row import WINDOW_TABLE, WindowRow
from bulkfetch.ratelimit.postgres.store import Moment, RowTable

R = TypeVar("R")
T = TypeVar("T")

# What a row is that was just added.
NEW: Mapping[str, Callable[..., Any]] = {
    WINDOW_TABLE.name: WindowRow,
    CONTROL_TABLE.name: partial(AccountUsage, hold_s=0.0),
}


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
        self._rows: dict[tuple[str, str], Mapping[str, Any]] = {}
        self.generation = 0  # of every account's newest turn

    @property
    def away_s(self) -> float:
        return 0.0

    def listen(self, on_away: Callable[[WindowEvent], None]) -> Callable[[], None]:
        return lambda: None

    def row(self, account: str) -> WindowRow:
        return self._read(WINDOW_TABLE, account)

    async def run(self, table: RowTable[R], account: str, change: Callable[[R, Moment], T]) -> T:
        result = await self._once(table, account, change)
        return await self._once(table, account, change) if self._repeat() else result

    def _read(self, table: RowTable[R], account: str) -> R:
        columns = self._rows.get((table.name, account))
        if columns is not None:
            return table.read({**columns, "generation": self.generation})
        row: R = NEW[table.name](generation=self.generation)
        return row

    async def _once(self, table: RowTable[R], account: str, change: Callable[[R, Moment], T]) -> T:
        loop = asyncio.get_running_loop()
        asked, loop_asked = self._clock(), loop.time()
        if slow_s := self._slow_s():
            await asyncio.sleep(slow_s)
        row = self._read(table, account)
        result = change(row, Moment(self._clock() + self.ahead_s, asked, loop_asked))
        self._rows[table.name, account] = dict(zip(table.columns, table.write(row), strict=True))
        if slow_s := self._slow_s():
            await asyncio.sleep(slow_s)
        return result

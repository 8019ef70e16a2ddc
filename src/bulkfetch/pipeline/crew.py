"""Tasks that carry out one order after another, and leave when none comes for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVarTuple

import anyio.abc

Ts = TypeVarTuple("Ts")

# A new task is a twentieth of what a small result costs, so it stays for the next one; but not for
# long: a lane that waits for slots needs none, and there may be a thousand lanes.
STAYS_S = 1.0


class Crew(Generic[*Ts]):
    """As many tasks as there are orders at once; how many these may be is the caller's matter."""

    def __init__(self, carry_out: Callable[[*Ts], Awaitable[None]]) -> None:
        self._carry_out = carry_out
        self._orders: asyncio.Queue[tuple[*Ts] | None] = asyncio.Queue()
        self._members = 0
        self._idle = 0
        self._timer: asyncio.TimerHandle | None = None

    def order(self, tasks: anyio.abc.TaskGroup, *order: *Ts) -> None:
        """Have an order carried out by an idle task, else by a new one in `tasks`."""
        self._orders.put_nowait(order)
        if self._idle:
            self._idle -= 1
        else:
            self._members += 1
            tasks.start_soon(self._member)

    def disband(self) -> None:
        """Say that no more orders will come: each task ends with what it is about."""
        if self._timer is not None:
            self._timer.cancel()
        self._dismiss(self._members)

    async def _member(self) -> None:
        while (order := await self._orders.get()) is not None:
            await self._carry_out(*order)
            del order  # what it holds must not stay with who is idle
            self._idle += 1
            if self._timer is None and self._members:  # none once it is disbanded
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(STAYS_S, self._dismiss_idle)

    def _dismiss_idle(self) -> None:
        self._timer = None
        count, self._idle = self._idle, 0
        self._dismiss(count)

    def _dismiss(self, count: int) -> None:
        self._members -= count
        for _ in range(count):
            self._orders.put_nowait(None)

"""The line in front of a window: first come, first served, one timer however many wait.

A `Book` knows the slots; the turnstile knows who waits. A grant is handed to the first in line
directly, so that no newcomer overtakes a woken waiter. Nothing here knows the limit.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from bulkfetch.ratelimit.interfaces import End, Permit, WindowState

S = TypeVar("S")


class Book(Protocol[S]):
    """Who holds which slot. All calls are short, synchronous, and from the loop's thread."""

    @property
    def in_flight_cap(self) -> int | None:
        """As `interfaces.RateLimiter` says."""
        ...

    def take(self, waiting: int, most: int) -> Sequence[S] | float:
        """Give 1 to `most` slots, or the seconds after which to ask again.

        inf: when something is settled. `waiting` is how many stand in line, the one who asks
        included.
        """
        ...

    def settle(self, slot: S, end: End, retry_after_s: float | None, ago_s: float) -> bool:
        """Take a slot back; say whether `take` may now answer otherwise than before.

        An answer came `ago_s` seconds ago.
        """
        ...

    def tick(self) -> float:
        """Do what is due without anybody asking; give the seconds to the next time, or inf."""
        ...

    def state(self, waiting: int) -> WindowState:
        """Say how things stand."""
        ...

    def withdraw(self) -> None:
        """Nobody waits in this process any more."""
        ...

    async def aclose(self) -> None:
        """Let go of what is held open."""
        ...


class Turnstile(Generic[S]):
    """A window over a book; see `interfaces.RateLimiter`."""

    def __init__(self, book: Book[S]) -> None:
        self._loop = asyncio.get_running_loop()
        self._book = book
        # Who waits, and for how many at most.
        self._line: OrderedDict[asyncio.Future[list[Permit]], int] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False

    async def acquire(self) -> Permit:
        """Wait for the next free slot, first come, first served.

        Raises RuntimeError once the window is closed for good. If cancelled: nothing is held.
        """
        mine = self._ask(1)
        try:
            (permit,) = await mine
        except asyncio.CancelledError:
            self._give_up(mine)
            raise
        return permit

    async def acquire_some(self, most: int) -> list[Permit]:
        """Wait as `acquire` does, then take what else is free now: 1 to `most` permits.

        If cancelled: nothing is held.
        """
        # Not one in interfaces of the other: of those who wait there may be a hundred thousand.
        mine = self._ask(most)
        try:
            return await mine
        except asyncio.CancelledError:
            self._give_up(mine)
            raise

    @property
    def in_flight_cap(self) -> int | None:
        """How many requests at once the account seems to bear, None where nothing is known."""
        return self._book.in_flight_cap

    def state(self) -> WindowState:
        """Say how things stand."""
        return self._book.state(len(self._line))

    async def aclose(self) -> None:
        """End the window; who still waits gets a RuntimeError.

        If cancelled: the window is ended all the same; slots not settled count as lost.
        """
        if self._ended:
            return
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        while self._line:
            waiter, _ = self._line.popitem(last=False)
            if not waiter.done():
                waiter.set_exception(RuntimeError("the window is closed for good"))
        await self._book.aclose()

    def _ask(self, most: int) -> asyncio.Future[list[Permit]]:
        """Take what is free, or stand in line."""
        if self._ended:
            raise RuntimeError("the window is closed for good")
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("a window belongs to the event loop it was made in")
        mine: asyncio.Future[list[Permit]] = self._loop.create_future()
        if not self._line:
            slots = self._book.take(1, most)
            self._arm(min(slots if isinstance(slots, float) else math.inf, self._book.tick()))
            if not isinstance(slots, float):
                mine.set_result(self._permits(slots))
                return mine
        self._line[mine] = most
        return mine

    def _give_up(self, mine: asyncio.Future[list[Permit]]) -> None:
        if mine in self._line:
            self._leave(mine)
        elif not mine.cancelled() and mine.exception() is None:
            for permit in mine.result():
                permit.unused()  # granted in the same step: the next one gets it

    def _serve(self) -> None:
        """Grant what can be granted now; set the timer for the rest."""
        delay_s, line = math.inf, self._line
        while (first := self._first()) is not None:
            _, most = first
            slots = self._book.take(len(line), max(most, len(line)))  # for all, one each at least
            if isinstance(slots, float):
                delay_s = slots
                break
            self._hand_out(self._permits(slots))
        self._arm(min(delay_s, self._book.tick()))

    def _hand_out(self, permits: list[Permit]) -> None:
        given = 0
        while given < len(permits) and self._line:
            # Not by `_first`: found and removed in one step, for each of a hundred thousand.
            waiter, most = self._line.popitem(last=False)
            if not waiter.done():
                waiter.set_result(permits[given : given + most])
                given += most
        if given < len(permits):  # all behind them had given up
            self._book.withdraw()
            for permit in permits[given:]:
                permit.unused()

    def _first(self) -> tuple[asyncio.Future[list[Permit]], int] | None:
        """Say who is first in line, and for how many at most; None where nobody waits."""
        while self._line:
            waiter, most = next(iter(self._line.items()))
            if not waiter.done():
                return waiter, most
            self._leave(waiter)  # cancelled, and its task has not yet run and left by itself
        return None

    def _permits(self, slots: Sequence[S]) -> list[Permit]:
        return [Permit(self._loop, self._settle, slot) for slot in slots]

    def _leave(self, waiter: asyncio.Future[list[Permit]]) -> None:
        del self._line[waiter]
        if not self._line:
            self._book.withdraw()

    def _settle(self, slot: S, end: End, retry_after_s: float | None, ago_s: float) -> None:
        if self._book.settle(slot, end, retry_after_s, ago_s) and not self._ended:
            self._serve()

    def _arm(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if delay_s != math.inf:
            self._timer = self._loop.call_later(delay_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._serve()

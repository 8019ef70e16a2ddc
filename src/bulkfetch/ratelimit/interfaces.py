"""The words of this room: what a window is asked, what it gives, what it tells."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from bulkfetch.quota import MARGIN_S, ZOHO_PERIOD_S, ZOHO_REQUESTS

S = TypeVar("S")

# How an attempt ended, as the window sees it.
End = Literal["answered", "rejected", "lost", "unused"]


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `requests` reach the server in any rolling `period_s`; all times in seconds.

    `margin_s` is added to the period: it covers servers that stamp whole seconds, and clock slew.
    `grace_s` is how much later than its end a request of unknown outcome may still arrive.
    `headers_timeout_s` is the longest that a permit's holder waits for the head of an answer; it
    is the machine window's lease. Raises ValueError for numbers that make no window.
    """

    requests: int = ZOHO_REQUESTS
    period_s: float = ZOHO_PERIOD_S
    margin_s: float = MARGIN_S
    grace_s: float = 5.0
    headers_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        seconds = (self.period_s, self.margin_s, self.grace_s, self.headers_timeout_s)
        if self.requests < 1 or not all(math.isfinite(s) and s >= 0 for s in seconds):
            raise ValueError("a window needs a request and finite seconds")
        if not self.period_s or not self.headers_timeout_s:
            raise ValueError("a window needs a period and time for an answer")

    @property
    def refill_s(self) -> float:
        """The time a slot takes to come back, from the answer of the request that used it."""
        return self.period_s + self.margin_s


class WindowState(NamedTuple):
    """A window at a glance, for progress.

    `free` slots could be taken now, `in_flight` are taken and not settled, `waiting` callers stand
    in line in this process. `next_free_s` is the time to the next free slot, 0 when one is free,
    None when that depends on an answer. `closed_s` is how long a 429 keeps the window closed.
    `capacity` of `requests` slots are in use. `in_flight_cap` is how many requests at once,
    bodies included, the account seems to bear; None where nothing speaks for a limit. `held_s` is
    how long somebody has kept the window's file from everybody else, 0 when nobody does: then
    nothing can be taken, and the rest is as it was last seen.
    """

    free: int
    in_flight: int
    waiting: int
    next_free_s: float | None
    closed_s: float
    capacity: int
    requests: int
    in_flight_cap: int | None = None
    held_s: float = 0.0


class WindowEvent(NamedTuple):
    """News of a window, in words and figures; figures that say nothing are None.

    `closed`: a 429, nothing leaves for `for_s`. `shared`: somebody else uses the account, only
    `capacity` slots are used now. `crowded`: the account bears no more than `in_flight_cap`
    requests at once. `restored`: all slots are used again. `fallback`: the machine's window cannot
    be used as it was, and why; the process's own, or a new one of the machine, is closed for
    `for_s` first. `held`: somebody keeps the window's file from everybody else, for `for_s` now.
    """

    kind: Literal["closed", "shared", "crowded", "restored", "fallback", "held"]
    message: str
    for_s: float | None = None
    capacity: int | None = None
    in_flight_cap: int | None = None


OnEvent = Callable[[WindowEvent], None]


def ignore(event: WindowEvent) -> None:
    """Take an event and do nothing with it."""


class Permit:
    """The right to send one request. Settle it with exactly one of the four methods.

    The first one counts, later ones do nothing. They are synchronous, so that they can be called
    while a cancellation is on its way. A permit that is dropped unsettled counts as lost.
    """

    __slots__ = ("_loop", "_settle", "_slot")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settle: Callable[[S, End, float | None, float], None],
        slot: S,
    ) -> None:
        self._loop = loop
        self._settle: Callable[[Any, End, float | None, float], None] | None = settle
        self._slot = slot

    def answered(self, ago_s: float = 0.0) -> None:
        """The head of an answer is here: the slot's minute starts now.

        Or it started `ago_s` seconds ago, where the answer had to be read before it was known not
        to be a refusal.
        """
        self._end("answered", ago_s=ago_s)

    def rejected(self, retry_after_s: float | None) -> None:
        """The answer is a 429, or says the same in words: the account's window closes.

        Then one probe goes before the rest.

        `retry_after_s` is what the server asked for, None where it did not; it is capped here.
        """
        self._end("rejected", retry_after_s)

    def lost(self) -> None:
        """The outcome is unknown (timeout, reset, cancelled): the request may still arrive."""
        self._end("lost")

    def unused(self) -> None:
        """Provably nothing was sent: the slot is free as it was."""
        self._end("unused")

    def _end(self, end: End, retry_after_s: float | None = None, ago_s: float = 0.0) -> None:
        settle, self._settle = self._settle, None
        if settle is not None:
            settle(self._slot, end, retry_after_s, max(0.0, ago_s))

    def __del__(self) -> None:
        # The collector may run in any thread.
        if self._settle is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settle, self._slot, "lost", None, 0.0)


class RateLimiter(Protocol):
    """The promise of ten for one account. Bound to the loop it was made in."""

    async def acquire(self) -> Permit:
        """Wait for the next free slot, first come, first served.

        Raises RuntimeError once the window is closed for good. If cancelled: nothing is held.
        """
        ...

    async def acquire_some(self, most: int) -> list[Permit]:
        """Wait as `acquire` does, then take what else is free now: 1 to `most` permits.

        For who can send several requests at once: in a window of all processes a slot is a look
        into a file, and this is one look for all. After a 429, and while other processes wait, it
        is one permit. If cancelled: nothing is held.
        """
        ...

    @property
    def in_flight_cap(self) -> int | None:
        """How many requests at once the account seems to bear, None where nothing is known.

        As of the last slot taken or settled: it costs nothing, `state` may read a file.
        """
        ...

    def state(self) -> WindowState:
        """Say how things stand."""
        ...

    async def aclose(self) -> None:
        """End the window; who still waits gets a RuntimeError.

        If cancelled: the window is ended all the same.
        """
        ...

"""The types of a limiter: its settings, state and events, and what a shared one has to do."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from bulkfetch.quota import MARGIN_S, ZOHO_PERIOD_S, ZOHO_REQUESTS

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

    @property
    def lease_s(self) -> float:
        """The time after which a request whose process is dead must be over."""
        return self.headers_timeout_s + self.grace_s

    @property
    def unknown_s(self) -> float:
        """The time after which nothing that others have sent counts any more."""
        return self.refill_s + self.grace_s


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

    def held(self, held_s: float) -> WindowState:
        """Return the window while it is kept from everybody; the same where `held_s` is 0."""
        return self._replace(free=0, next_free_s=None, held_s=held_s) if held_s else self


class WindowEvent(NamedTuple):
    """News of a window, in words and figures; figures that say nothing are None.

    `closed`: a 429, nothing leaves for `for_s`. `shared`: somebody else uses the account, only
    `capacity` slots are used now. `crowded`: the account bears no more than `in_flight_cap`
    requests at once. `restored`: all slots are used again. `fallback`: the machine's window cannot
    be used as it was, and why; the process's own, or a new one of the machine, is closed for
    `for_s` first. `held`: somebody keeps the window's file from everybody else, or its database
    cannot be used, for `for_s` now.
    """

    kind: Literal["closed", "shared", "crowded", "restored", "fallback", "held"]
    message: str
    for_s: float | None = None
    capacity: int | None = None
    in_flight_cap: int | None = None


OnEvent = Callable[[WindowEvent], None]


def ignore(event: WindowEvent) -> None:
    """Take an event and do nothing with it."""


class Unusable(Exception):
    """The shared limiter cannot be used; the text says why."""


@dataclass(slots=True, eq=False)
class Lease:
    """A shared slot that is out.

    `key` names it in the shared limiter, `in_flight` requests were out when it left, itself
    included, and `probe` says that it goes alone after a 429. Its request must not be sent later
    than `send_by`, in the shared limiter's time; inf where it does not matter.
    """

    key: int
    in_flight: int
    probe: bool
    send_by: float = math.inf


class Settlement(NamedTuple):
    """How the request of a lease ended, and when, in the event loop's time."""

    lease: Lease
    end: End
    ended_at: float
    retry_after_s: float | None


class SharedLimiter(Protocol):
    """The slots and the throttle of one account that several processes share.

    Whoever dies holding a slot loses it when its lease ends. All methods but `aclose` raise
    Unusable when the shared limiter has failed; then nothing was done.
    """

    renew_every_s: float  # how often leases must be renewed, in seconds

    @property
    def in_flight_cap(self) -> int | None:
        """Return how many requests at once the account seems to bear, None where nothing is known.

        As of the last slot taken or settled: it costs nothing, `state` may read a file.
        """
        ...

    async def acquire(self) -> Lease:
        """Wait for a slot that is this process's turn. If cancelled: nothing is held.

        Raises AccountError where there will be none for this process.
        """
        ...

    async def settle(self, settled: Sequence[Settlement]) -> None:
        """Take slots back. If cancelled: none was, and they can be settled again."""
        ...

    async def renew(self, leases: Collection[Lease]) -> None:
        """Keep slots that are out, also in a shared limiter that does not know of them yet."""
        ...

    def in_time(self, lease: Lease) -> bool:
        """Return whether the request of a lease may still be sent; else it is to be given back."""
        ...

    async def reopen(self) -> SharedLimiter:
        """Return a new one in place of this one, which has failed. Raises Unusable."""
        ...

    def state(self) -> WindowState:
        """Return the state over all processes, `waiting` apart."""
        ...

    async def aclose(self) -> None:
        """Let go of what is held open; a waiter gets a RuntimeError."""
        ...

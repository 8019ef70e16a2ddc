"""The slots of one account in this process: one-token aiolimiter buckets, re-armed at the response.

All clients of the process share them, whatever event loop and thread each lives in, and a client
that is opened when another has just been closed finds the slots used that were used. A process made
by fork begins anew.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple
from weakref import WeakKeyDictionary

from aiolimiter import AsyncLimiter

from bulkfetch.clock import boottime
from bulkfetch.ratelimit.interfaces import End, RateLimit, WindowEvent, WindowState
from bulkfetch.ratelimit.messages import throttle_news, window_state
from bulkfetch.ratelimit.throttle import Throttle

# A bucket's level is a float that drips: at the very instant of refill 1e-16 of a token may be
# missing. Asked a microsecond later it is full, whatever the loop's time.
DRIP_S = 1e-6


@dataclass(slots=True, eq=False)
class Slot:
    """A slot that is out: `in_flight` were out when it left, itself included."""

    bucket: AsyncLimiter
    loop: asyncio.AbstractEventLoop
    in_flight: int
    probe: bool
    gone_at: float  # when its request is over, should its event loop end before it is settled


class _Refill(NamedTuple):
    """A bucket that refills; `answered_at` is -inf where the server may not have taken it."""

    full_at: float
    number: int
    bucket: AsyncLimiter
    loop: asyncio.AbstractEventLoop
    answered_at: float


@dataclass(slots=True, eq=False)
class SlotUser:
    """A client that uses the slots.

    `changed` is set when they may have become free; `news` is what it has learned of 429s, to be
    told by whoever has called.
    """

    limit: RateLimit
    loop: asyncio.AbstractEventLoop
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    news: list[WindowEvent] = field(default_factory=list)


class AccountSlots:
    """The slots of one account. All times are event loops', in seconds, the same for all loops.

    Among clients with different limits the strictest holds. The throttle is for clients that share
    with no other process; where one is shared, only a closing is kept here too.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._users: list[SlotUser] = []
        self._requests = self._refill_s = 0.0
        self._out: set[Slot] = set()
        self._refilling: list[_Refill] = []
        self._full: list[tuple[AsyncLimiter, asyncio.AbstractEventLoop]] = []
        self._order = itertools.count()
        self._closed_until = -math.inf
        self._throttle: Throttle | None = None
        self._was_alone = False

    def join(self, user: SlotUser) -> None:
        """Let a client use the slots."""
        with self._lock:
            self._users.append(user)
            self._take_strictest()

    def part(self, user: SlotUser) -> None:
        """Forget a client that is closed. What it used stays used."""
        with self._lock:
            self._users.remove(user)
            if self._users:
                self._take_strictest()

    def close(self, user: SlotUser) -> None:
        """Let nothing leave for a period and the grace: what others have used is over then."""
        with self._lock:
            until = user.loop.time() + user.limit.unknown_s
            self._closed_until = max(self._closed_until, until)

    def close_once(self, user: SlotUser) -> float:
        """Close for a client that shares with no other process, unless one has done so before.

        Returns for how long the account is closed now, in seconds.
        """
        with self._lock:
            if not self._was_alone:
                self._was_alone = True
                self.close(user)
            return max(0.0, self._closed_until - user.loop.time())

    def take(self, user: SlotUser, *, alone: bool) -> Slot | float:
        """Return a slot whose bucket has its token, or the seconds after which to ask again.

        inf: when something is settled. `alone` clients obey the throttle that is kept here.
        """
        now = user.loop.time()
        with self._lock:
            if now < self._closed_until:
                return self._closed_until - now
            capacity, probe, learned = self._requests, False, self._throttle
            if alone and learned is not None:
                learned = learned.aged(user.limit, now)
                self._learn(user, learned, now)
                if wait_s := learned.wait_s(now, len(self._out)):
                    return wait_s
                # Draws the lesson of a closing first: it may leave fewer slots than there were.
                learned, probe = learned.granted(now, user.limit.lease_s)
                capacity = min(capacity, learned.capacity)
            if self._busy(user, now) >= capacity:
                return self._refilling[0].full_at - now if self._refilling else math.inf
            if alone and learned is not None:
                self._learn(user, learned, now)
            gone_at = now + user.limit.lease_s
            slot = Slot(self._bucket(user), user.loop, len(self._out) + 1, probe, gone_at)
            self._out.add(slot)
            return slot

    def settle(
        self,
        user: SlotUser,
        slot: Slot,
        end: End,
        ended_at: float,
        retry_after_s: float | None,
        *,
        alone: bool,
    ) -> None:
        """Take a slot back; its minute starts at `ended_at`, grace_s later if it is lost."""
        now, limit = user.loop.time(), user.limit
        with self._lock:
            if slot not in self._out:
                return  # its loop was taken for ended
            self._out.discard(slot)
            taken, refused = 0, end == "rejected"
            if refused:
                taken = sum(one.answered_at > now - limit.period_s for one in self._refilling)
            learned = (self._throttle or Throttle(limit.requests)).settled(
                limit,
                end,
                now,
                probe=slot.probe,
                in_flight=slot.in_flight,
                taken=taken,
                retry_after_s=retry_after_s,
            )
            if refused:
                self._closed_until = max(self._closed_until, learned.closed_until)
            if end != "unused":
                grace_s = limit.grace_s if end == "lost" else 0.0
                answered_at = ended_at if end == "answered" else -math.inf
                self._rearm(user, ended_at + grace_s, answered_at)
            if alone:
                self._learn(user, learned, now)
            self._notify(user.loop)

    def state(self, user: SlotUser, waiting: int, *, alone: bool) -> WindowState:
        """Return how things stand in this process."""
        now = user.loop.time()
        with self._lock:
            learned = self._throttle if alone else None
            learned = learned or Throttle(user.limit.requests)
            used = self._busy(user, now)
            return window_state(
                learned,
                now,
                closed_s=max(0.0, self._closed_until - now),
                capacity=min(int(self._requests), learned.capacity),
                requests=user.limit.requests,
                used=used,
                in_flight=len(self._out),
                waiting=waiting,
                refill_in_s=self._refilling[0].full_at - now if self._refilling else math.inf,
            )

    @property
    def in_flight_cap(self) -> int | None:
        """Return how many requests at once the account seems to bear, None if unknown."""
        return self._throttle.in_flight_cap if self._throttle else None

    def _take_strictest(self) -> None:
        self._requests = min(user.limit.requests for user in self._users)
        self._refill_s = max(user.limit.refill_s for user in self._users)

    def _busy(self, user: SlotUser, now: float) -> int:
        """Count the slots that cannot be taken, having put aside those that are full again."""
        while self._refilling and self._refilling[0].full_at <= now:
            refill = heapq.heappop(self._refilling)
            # That of another loop is not asked: its minute is over by the same clock.
            if refill.loop is user.loop and not refill.bucket.has_capacity():
                heapq.heappush(self._refilling, refill._replace(full_at=now + DRIP_S))
            else:
                self._full.append((refill.bucket, refill.loop))
        if len(self._out) + len(self._refilling) >= self._requests:
            for slot in [slot for slot in self._out if slot.loop.is_closed()]:
                self._out.discard(slot)  # nobody is left to settle it
                self._rearm(user, slot.gone_at, -math.inf)
        return len(self._out) + len(self._refilling)

    def _bucket(self, user: SlotUser) -> AsyncLimiter:
        """Return a full bucket that belongs to the client's event loop."""
        while self._full:
            bucket, loop = self._full.pop()
            if loop is user.loop:
                return bucket
        return AsyncLimiter(1, self._refill_s)

    def _rearm(self, user: SlotUser, at: float, answered_at: float) -> None:
        """Begin a slot's minute at `at`: a fresh bucket, filled for what is left of it."""
        now = user.loop.time()
        full_s = at + self._refill_s - now
        if full_s <= 0:
            return  # over already, as for an answer that took very long to be judged
        bucket = AsyncLimiter(1, full_s)
        # A fresh bucket never lets anybody wait, so its coroutine ends at once.
        with suppress(StopIteration):
            bucket.acquire().send(None)
        refill = _Refill(now + full_s + DRIP_S, next(self._order), bucket, user.loop, answered_at)
        heapq.heappush(self._refilling, refill)

    def _learn(self, user: SlotUser, learned: Throttle, now: float) -> None:
        before = self._throttle or Throttle(user.limit.requests)
        if learned != before:
            user.news += throttle_news(before, learned, user.limit, now)
            # Nothing to remember is the way of nearly every request.
            forgotten = learned == Throttle(user.limit.requests)
            self._throttle = None if forgotten else learned

    def _notify(self, loop: asyncio.AbstractEventLoop) -> None:
        for user in self._users:
            if user.loop is loop:
                user.changed.set()
            else:
                with suppress(RuntimeError):  # it is closed
                    user.loop.call_soon_threadsafe(user.changed.set)


class Process:
    """The accounts of one process by their keys."""

    def __init__(self) -> None:
        self._accounts: dict[str, AccountSlots] = {}

    def slots(self, account_key: str) -> AccountSlots:
        """Return this process's slots of an account."""
        return self._accounts.setdefault(account_key, AccountSlots())


# The last one is this process. Those before it are its parents', kept because freeing a lock that
# another thread of theirs held at the moment of the fork may hang.
_processes = [Process()]
os.register_at_fork(after_in_child=lambda: _processes.append(Process()))
_others: WeakKeyDictionary[asyncio.AbstractEventLoop, Process] = WeakKeyDictionary()


def this_process(clock: Callable[[], float]) -> Process:
    """Return what this process knows; with a clock of a test, what the running loop knows.

    Times of two clocks cannot be compared.
    """
    if clock in (boottime, time.monotonic):
        return _processes[-1]
    return _others.setdefault(asyncio.get_running_loop(), Process())

"""A window that shares with no other: one-token aiolimiter buckets, re-armed at the answer."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkfetch.ratelimit import throttle as throttles
from bulkfetch.ratelimit.interfaces import End, OnEvent, RateLimit, WindowState, ignore
from bulkfetch.ratelimit.throttle import NO_PROBE, Throttle
from bulkfetch.ratelimit.turnstile import Turnstile

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

# A bucket's level is a float that drips: at the very instant of refill 1e-16 of a token may be
# missing. Looked at a microsecond later it is full, whatever the loop's time.
DRIP_S = 1e-6


@dataclass(slots=True, eq=False)
class Slot:
    """A slot that is out: `in_flight` were out when it left, itself included."""

    in_flight: int
    probe: bool


class SlotLedger:
    """Slots in memory. A bucket counts from the end of its request to its refill, no longer."""

    def __init__(self, settings: RateLimit, on_event: OnEvent) -> None:
        # Late: it reads its package's metadata, a tenth of a start, and few windows are made here.
        from aiolimiter import AsyncLimiter

        self._bucket = AsyncLimiter
        self._settings = settings
        self._refill_s = settings.refill_s
        self._on_event = on_event
        self._now = asyncio.get_running_loop().time
        self._share = Throttle(settings.requests)
        # Whether nothing is to be learnt from, or remembered: the way of nearly every request.
        self._plain = True
        self._full: list[AsyncLimiter] = []  # to be used again
        # (when to look, tie-break, bucket, time of the answer or -inf if none)
        self._refilling: list[tuple[float, int, AsyncLimiter, float]] = []
        self._order = itertools.count()
        self._out = 0

    def take(self, waiting: int, most: int) -> list[Slot] | float:
        """Give free slots, `most` at most, or the seconds after which to ask again."""
        now = self._now()
        self._drip(now)
        share, probe, count = self._share, False, most
        if not self._plain:
            count = 1  # after a 429 the next one is judged anew
            self._learn(throttles.aged(share, self._settings, now), now)
            wait_s = throttles.wait_s(self._share, now, self._out)
            if wait_s:
                return wait_s
            # Draws the lesson of a closing first: it may leave fewer slots than there were.
            share, probe = throttles.granted(self._share, now, math.inf)
        free = share.capacity - len(self._refilling) - self._out
        if free <= 0:
            return self._refilling[0][0] - now if self._refilling else math.inf
        if share is not self._share:
            self._learn(share, now)
        first, self._out = self._out + 1, self._out + min(count, free)
        return [Slot(in_flight, probe) for in_flight in range(first, self._out + 1)]

    def settle(self, slot: Slot, end: End, retry_after_s: float | None, ago_s: float) -> bool:
        """Take a slot back; its minute starts now, grace_s later where the outcome is unknown.

        That of an answer started `ago_s` seconds ago.

        An answer changes nothing for those who wait, unless its bucket is the first to refill.
        """
        now = self._now()
        self._out -= 1
        first = False
        match end:
            case "answered":
                first = self._refill(now, self._refill_s - ago_s, now - ago_s)
                if self._plain and not slot.probe:
                    return first
                self._learn(throttles.answered(self._share, slot.probe), now)
            case "rejected":
                share = throttles.rejected(
                    self._share,
                    self._settings,
                    now,
                    retry_after_s=retry_after_s,
                    taken=self._taken_since(now - self._settings.period_s),
                    in_flight=slot.in_flight,
                    probe=slot.probe,
                )
                self._refill(now, self._refill_s, -math.inf)
                self._learn(share, now)
            case "lost":
                self._refill(now, self._settings.grace_s + self._refill_s, -math.inf)
            case "unused":
                pass
        if slot.probe and end in ("lost", "unused"):
            self._learn(throttles.probe_failed(self._share), now)
        bars = self._share.probe != NO_PROBE or self._share.in_flight_cap is not None
        return first or end != "answered" or slot.probe or bars

    @property
    def in_flight_cap(self) -> int | None:
        """As `interfaces.RateLimiter` says."""
        return self._share.in_flight_cap

    def tick(self) -> float:
        """Nothing is due by itself."""
        return math.inf

    def state(self, waiting: int) -> WindowState:
        """Say how things stand."""
        now = self._now()
        self._drip(now)
        share = self._share
        closed_s = max(0.0, share.closed_until - now)
        barred_s = throttles.wait_s(share, now, self._out)
        free = max(0, share.capacity - self._out - len(self._refilling))
        refill_s = 0.0 if free else math.inf
        if not free and self._refilling:
            refill_s = self._refilling[0][0] - now
        next_s = max(barred_s, refill_s)
        return WindowState(
            free=0 if barred_s else free,
            in_flight=self._out,
            waiting=waiting,
            next_free_s=None if next_s == math.inf else next_s,
            closed_s=closed_s,
            capacity=share.capacity,
            requests=self._settings.requests,
            in_flight_cap=share.in_flight_cap,
        )

    def withdraw(self) -> None:
        """Nobody else cares who waits here."""

    async def aclose(self) -> None:
        """Nothing is held open."""

    def _drip(self, now: float) -> None:
        """Drop the buckets that are full again."""
        while self._refilling and self._refilling[0][0] <= now:
            _, order, bucket, answered_at = self._refilling[0]
            if bucket.has_capacity():
                heapq.heappop(self._refilling)
                if bucket.time_period == self._refill_s:
                    self._full.append(bucket)
            else:
                look = now + DRIP_S
                heapq.heapreplace(self._refilling, (look, order, bucket, answered_at))

    def _refill(self, now: float, refill_s: float, answered_at: float) -> bool:
        """Start a slot's minute, and say whether it will be the first to end.

        A bucket cannot be re-armed, so one that is full, or new, is emptied now. A minute that is
        over already needs none: the slot is free.
        """
        if refill_s <= 0:
            return True
        if self._full and refill_s == self._refill_s:
            bucket = self._full.pop()
        else:
            bucket = self._bucket(1, refill_s)
        for _ in bucket.acquire().__await__():
            raise AssertionError("a full bucket gives its token without ever waiting")
        look = now + refill_s + DRIP_S
        entry = (look, next(self._order), bucket, answered_at)
        heapq.heappush(self._refilling, entry)
        return self._refilling[0] is entry

    def _taken_since(self, since: float) -> int:
        return sum(answered_at > since for *_, answered_at in self._refilling)

    def _learn(self, share: Throttle, now: float) -> None:
        before, self._share = self._share, share
        if before is not share:
            self._plain = share == Throttle(self._settings.requests)
            for event in throttles.news(before, share, self._settings, now):
                self._on_event(event)


class SlotLimiter(Turnstile[Slot]):
    """A window of its own, bound to the running loop: for a server that nobody else asks."""

    def __init__(self, settings: RateLimit, *, on_event: OnEvent = ignore) -> None:
        super().__init__(SlotLedger(settings, on_event))

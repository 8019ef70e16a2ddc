"""Two limiters in series, and the permits that they give: every request passes here.

The process's own slots (`slots`) are always in front of a request. Where several processes share
the account, a request first waits for its turn among them. When the shared limiter fails, the
process's own is closed until whatever others have sent is over, and goes on: with a new shared one
where there can be one, else alone.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from bulkfetch.ratelimit.interfaces import (
    End,
    Lease,
    OnEvent,
    RateLimit,
    Settlement,
    SharedLimiter,
    Unusable,
    WindowState,
    ignore,
)
from bulkfetch.ratelimit.messages import alone, renewed
from bulkfetch.ratelimit.slots import AccountSlots, Slot, SlotUser

T = TypeVar("T")

# How long aclose tries to settle what is still unsettled; the leases stand in for the rest.
LAST_WORDS_S = 2.0


class Permit:
    """The right to send one request. Settle it with exactly one of the four methods.

    The first one counts, later ones do nothing. They are synchronous, so that they can be called
    while a cancellation is on its way: the process's own slot is settled at once, the shared one a
    moment later in the background. If the process dies in between, the shared slot comes back when
    its lease ends. A permit that is dropped unsettled counts as lost.

    `on_end` is called when it is settled: how, and in how many seconds the slot is free again.
    """

    __slots__ = ("_lease", "_limiter", "_slot", "on_end")

    def __init__(self, limiter: SlotLimiter, slot: Slot, lease: Lease | None) -> None:
        self._limiter: SlotLimiter | None = limiter
        self._slot = slot
        self._lease = lease
        self.on_end: Callable[[End, float], None] | None = None

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
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            limiter.settle(self._slot, self._lease, end, retry_after_s, max(0.0, ago_s))
            if self.on_end is not None:
                self.on_end(end, limiter.back_in_s(end, ago_s))

    def __del__(self) -> None:
        # The collector may run in any thread.
        limiter, self._limiter = self._limiter, None
        if limiter is not None and not self._slot.loop.is_closed():
            self._slot.loop.call_soon_threadsafe(
                limiter.settle, self._slot, self._lease, "lost", None, 0.0
            )


class SlotLimiter:
    """The limiter of one account for one client, bound to the running loop.

    `slots` are the process's own, `shared` those of all processes, None where there are none.
    """

    def __init__(
        self,
        limit: RateLimit,
        *,
        slots: AccountSlots | None = None,
        shared: SharedLimiter | None = None,
        on_event: OnEvent = ignore,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._pid = os.getpid()
        self._limit = limit
        self._user = SlotUser(limit, self._loop)
        self._slots = AccountSlots() if slots is None else slots
        self._slots.join(self._user)
        self._shared = shared
        self._on_event = on_event
        # First come, first served: in aiolimiter a newcomer can overtake a waiter that is woken.
        self._line = asyncio.Lock()
        self._waiting = 0
        self._ended = False
        self._leases: set[Lease] = set()
        self._settled: list[Settlement] = []  # not yet by the shared limiter
        self._settling = asyncio.Lock()
        self._failure: Unusable | None = None
        self._replacing = asyncio.Lock()
        self._replaced_at = -math.inf
        self._due = asyncio.Event()
        self._keeper = self._loop.create_task(self._keep()) if shared else None

    async def acquire(self) -> Permit:
        """Wait for the next free slot, first come, first served.

        Raises RuntimeError once the limiter is closed for good, AccountError where this process may
        send nothing more. If cancelled: nothing is held.
        """
        self._check()
        self._waiting += 1
        try:
            async with self._line:
                while True:
                    self._check()
                    lease = await self._take_lease()
                    try:
                        slot = await self._take_slot(alone=lease is None)
                    except BaseException:
                        if lease is not None:
                            self._settle_lease(lease, "unused", self._loop.time())
                        raise
                    permit = Permit(self, slot, lease)
                    if lease is None or self._shared is None or self._shared.in_time(lease):
                        return permit
                    permit.unused()
        finally:
            self._waiting -= 1

    def settle(
        self, slot: Slot, lease: Lease | None, end: End, retry_after_s: float | None, ago_s: float
    ) -> None:
        """Take back what a permit held, as of `ago_s` seconds ago; see Permit."""
        ended_at = self._loop.time() - ago_s
        alone = lease is None
        self._slots.settle(self._user, slot, end, ended_at, retry_after_s, alone=alone)
        if lease is not None:
            self._settle_lease(lease, end, ended_at, retry_after_s)
        self._tell_news()

    def back_in_s(self, end: End, ago_s: float) -> float:
        """Return in how many seconds a slot is free that ended so `ago_s` seconds ago."""
        if end == "unused":
            return 0.0
        lost_s = self._limit.grace_s if end == "lost" else 0.0
        return max(0.0, self._limit.refill_s + lost_s - ago_s)

    @property
    def in_flight_cap(self) -> int | None:
        """As `SharedLimiter` says."""
        return (self._shared or self._slots).in_flight_cap

    def state(self) -> WindowState:
        """Return how things stand: the stricter of the two limiters."""
        own = self._slots.state(self._user, self._waiting, alone=self._shared is None)
        if self._shared is None or self._ended:
            return own
        try:
            shared = self._shared.state()
        except Unusable as failure:
            self._failure = failure
            self._due.set()
            self._slots.close(self._user)
            return self._slots.state(self._user, self._waiting, alone=True)
        unknown = own.next_free_s is None or shared.next_free_s is None
        return shared._replace(
            free=min(own.free, shared.free),
            in_flight=max(own.in_flight, shared.in_flight),
            waiting=self._waiting,
            next_free_s=None if unknown else max(own.next_free_s or 0, shared.next_free_s or 0),
            closed_s=max(own.closed_s, shared.closed_s),
            capacity=min(own.capacity, shared.capacity),
        )

    def close_once(self) -> float:
        """Close a process on its own for a period, unless it was before; return for how long."""
        return self._slots.close_once(self._user)

    async def aclose(self) -> None:
        """End the limiter; a waiter gets a RuntimeError.

        Slots not settled keep their leases. If cancelled: the limiter is ended all the same.
        """
        if self._ended:
            return
        self._ended = True
        self._user.changed.set()
        self._slots.part(self._user)
        try:
            with anyio.move_on_after(LAST_WORDS_S):
                await self._settle_all()
        finally:
            if self._shared is not None:
                await self._shared.aclose()
            if self._keeper is not None and not self._keeper.done():
                self._keeper.cancel()
                await asyncio.wait([self._keeper])

    def _check(self) -> None:
        if self._ended:
            raise RuntimeError("the limiter is closed for good")
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("a limiter belongs to the event loop it was made in")
        if os.getpid() != self._pid:
            raise RuntimeError("a limiter belongs to the process it was made in")

    def _tell_news(self) -> None:
        news, self._user.news = self._user.news, []
        for event in news:
            self._on_event(event)

    # --- the process's own ------------------------------------------------------------------------

    async def _take_slot(self, *, alone: bool) -> Slot:
        """Wait for a bucket that has its token, and take the token."""
        changed = self._user.changed
        while True:
            changed.clear()
            slot = self._slots.take(self._user, alone=alone)
            self._tell_news()
            if not isinstance(slot, float):
                break
            with anyio.move_on_after(slot):
                await changed.wait()
            self._check()
        try:
            await slot.bucket.acquire()
        except BaseException:
            self.settle(slot, None, "unused", None, 0.0)
            raise
        return slot

    # --- the shared one ---------------------------------------------------------------------------

    async def _take_lease(self) -> Lease | None:
        """Wait for this process's turn; None where it is alone."""
        if self._shared is None:
            return None
        await self._settle_all()  # what follows from it for this request is known then
        lease = await self._ask(lambda shared: shared.acquire())
        if lease is not None:
            self._leases.add(lease)
            if len(self._leases) == 1:
                self._due.set()
        return lease

    def _settle_lease(
        self, lease: Lease, end: End, ended_at: float, retry_after_s: float | None = None
    ) -> None:
        self._leases.discard(lease)
        self._settled.append(Settlement(lease, end, ended_at, retry_after_s))
        self._due.set()

    async def _settle_all(self) -> None:
        """Have the shared limiter take back what has ended. If cancelled: it will later."""
        async with self._settling:
            while some := list(self._settled):
                await self._ask(lambda shared, some=some: shared.settle(some))  # type: ignore[misc]
                del self._settled[: len(some)]

    async def _keep(self) -> None:
        """Settle in the background what has ended, and renew the leases of what has not."""
        renew_at = math.inf
        while (shared := self._shared) is not None:
            self._due.clear()
            if self._failure is not None:
                await self._replace(shared, self._failure)
            await self._settle_all()
            now = self._loop.time()
            if not self._leases:
                renew_at = math.inf
            elif now >= renew_at:
                await self._ask(lambda shared: shared.renew(self._leases))
                renew_at = now + shared.renew_every_s
            else:
                renew_at = min(renew_at, now + shared.renew_every_s)
            with anyio.move_on_after(renew_at - now):
                await self._due.wait()

    async def _ask(self, ask: Callable[[SharedLimiter], Awaitable[T]]) -> T | None:
        """Ask the shared limiter, or the one in its place; None where there is none any more."""
        while (shared := self._shared) is not None:
            try:
                return await ask(shared)
            except Unusable as failure:
                await self._replace(shared, failure)
        return None

    async def _replace(self, failed: SharedLimiter, failure: Unusable) -> None:
        """Go on without a shared limiter that has failed, or with a new one."""
        async with self._replacing:
            self._failure = None
            if self._shared is not failed:
                return
            self._slots.close(self._user)
            now, closed_s = self._loop.time(), self._limit.unknown_s
            fresh: SharedLimiter | None = None
            # One that fails again within a period is not replaced: then it is the disk that fails.
            if now >= self._replaced_at + closed_s:
                try:
                    fresh = await failed.reopen()
                except Unusable as unusable:
                    failure = unusable
            self._replaced_at = now
            self._shared = fresh
            await failed.aclose()
        self._on_event((renewed if fresh else alone)(str(failure), closed_s))
        await self._ask(lambda shared: shared.renew(self._leases))

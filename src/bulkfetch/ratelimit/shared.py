"""The limiter that all processes of a machine share: their requests in a small SQLite file.

A request takes a slot by writing a row stamped with the *end of its lease*; its answer rewrites the
stamp. A row fills a slot until its stamp + refill. So a process that is killed needs no one to
notice: its row says the latest time at which its request can have been counted, and the slot comes
back by itself. A living process renews its leases, however long it has to wait before it sends.
What a lease cannot cover is a process frozen for longer than that between its grant and its
sending, which then sends all the same: one request too many, if all other slots are in use.

**Between processes** a waiter row is believed until a little after the moment at which its process
means to look again, so that a dead one's soon expires. As long as others wait, a process uses no
more than its fair share of the slots (`fair_share`). With others waiting, the strictest limits
among them hold for all: otherwise one that may use five of ten would never see fewer than five
used. The clients of one process share in the same way.

Every call is one short transaction, made in the event loop: it takes some 50 µs. Nobody waits for a
lock: what finds the file busy comes again, for as long as it takes, since every way round it would
be a second window.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import sqlite3
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio

from bulkfetch.clock import boot_id, boottime
from bulkfetch.ratelimit.database import WINDOW_FILE
from bulkfetch.ratelimit.fair_share import Request, fair_share, part_of
from bulkfetch.ratelimit.interfaces import (
    Lease,
    OnEvent,
    RateLimit,
    Settlement,
    Unusable,
    WindowEvent,
    WindowState,
    ignore,
)
from bulkfetch.ratelimit.messages import renewed, throttle_news, window_state
from bulkfetch.ratelimit.patience import Patience
from bulkfetch.ratelimit.rows import Rows
from bulkfetch.ratelimit.state_file import Busy, Store, is_busy, is_damage, open_when_free
from bulkfetch.ratelimit.throttle import Throttle

T = TypeVar("T")

# How often what is past is cleared away, in seconds; besides, before anybody is told to wait.
PRUNE_S = 1.0
# How soon a process looks again that leaves a slot to another one, in seconds, at least.
_SOONEST_TURN_S = 0.005
# In how many of the last refills it counts which process was served less often.
_SERVED_REFILLS = 5


class MachineLimiter:
    """The file's rows of one account, as one client sees them; a SharedLimiter.

    `clock` gives seconds since the boot that `boot` names; both are the same in all processes.
    """

    def __init__(
        self,
        limit: RateLimit,
        account_key: str,
        state_dir: Path,
        store: Store,
        *,
        on_event: OnEvent,
        clock: Callable[[], float],
        boot: str,
    ) -> None:
        self._limit = limit
        self._key = account_key
        self._state_dir = state_dir
        self._store = store
        self._on_event = on_event
        self._now = clock
        self._boot = boot
        self._owner = secrets.randbits(62)
        self._rows = Rows(store.db, account_key, self._owner, limit)
        self._closed_until = -math.inf
        if store.renewed_at is not None:
            # Nobody knows what was used before. Not further ahead than can be, whatever is written.
            self._closed_until = min(store.renewed_at, clock()) + limit.unknown_s
        # How soon to look again: for what another process may do, and for who should come first.
        self._poll_s = min(max(limit.period_s / 60, 0.02), 1.0)
        self._turn_s = min(max(limit.period_s / 1000, _SOONEST_TURN_S), 0.05)
        # How long after the moment it announced a waiter may look again.
        self._slack_s = min(max(limit.period_s / 30, 0.1), 2.0)
        self._prune_at = -math.inf
        self._believed_until = -math.inf
        self._withdrawn = False  # nobody waits here any more; not yet written
        self.in_flight_cap: int | None = None
        self.renew_every_s = limit.lease_s / 3
        self._patience = Patience(clock)
        self._changed = asyncio.Event()
        self._error: Exception | None = None
        self._ended = False

    @classmethod
    async def open(
        cls,
        limit: RateLimit,
        account_key: str,
        state_dir: Path,
        *,
        on_event: OnEvent = ignore,
        clock: Callable[[], float] = boottime,
        boot: Callable[[], str] = boot_id,
        lost: MachineLimiter | None = None,
    ) -> MachineLimiter:
        """Open the limiter of `account_key`, an opaque name of the account that holds no secret.

        A damaged file is set aside; the `fallback` event says so, and the new one is closed for a
        period first. `lost` is one that has failed. Raises Unusable, with the reason. If cancelled:
        nothing is left open.
        """
        try:
            clock()
            this_boot = boot()
        except OSError as error:
            raise Unusable(str(error)) from error
        spent, why = (lost._store.inode, lost._reason()) if lost else (None, "")

        def use(store: Store) -> MachineLimiter:
            return cls(
                limit, account_key, state_dir, store,
                on_event=on_event, clock=clock, boot=this_boot,
            )  # fmt: skip

        opened, damage = await open_when_free(
            WINDOW_FILE, state_dir, this_boot, clock, use, lost=why, spent=spent
        )
        if damage and lost is None:
            kept = f"it was damaged: {damage}; kept as {state_dir / WINDOW_FILE.aside_name}"
            on_event(renewed(kept, max(0.0, opened._closed_until - clock())))
        return opened

    async def reopen(self) -> MachineLimiter:
        """Open the file anew, or the one in its place. Raises Unusable."""
        error = self._error
        if not isinstance(error, FileNotFoundError) and not (error and is_damage(error)):
            raise Unusable(self._reason())
        fresh = await MachineLimiter.open(
            self._limit, self._key, self._state_dir,
            on_event=self._on_event, clock=self._now, boot=lambda: self._boot, lost=self,
        )  # fmt: skip
        fresh._closed_until = max(fresh._closed_until, self._now() + self._limit.unknown_s)
        return fresh

    async def acquire(self) -> Lease:
        """Wait for a slot that is this process's turn. If cancelled: nothing is held."""
        self._withdrawn = False
        try:
            while True:
                self._changed.clear()
                lease = await self._write(self._take)
                if isinstance(lease, Lease):
                    return lease
                with anyio.move_on_after(lease):
                    await self._changed.wait()
        except asyncio.CancelledError:
            self._withdrawn = True
            with suppress(Unusable, Busy):  # the next one finds it too
                self._transact(lambda: None)
            raise

    async def settle(self, settled: Sequence[Settlement]) -> None:
        """Take slots back. If cancelled: none was, and they can be settled again."""
        # The file's clock goes on while the machine sleeps, the loop's does not.
        ahead_s = self._now() - asyncio.get_running_loop().time()
        await self._write(partial(self._settle, settled, ahead_s))
        # An answer frees nothing at once, and to ask again for it would be out of turn.
        if any(one.end != "answered" or one.lease.probe for one in settled):
            self._changed.set()

    async def renew(self, leases: Collection[Lease]) -> None:
        """Write later ends of leases, also into a file that has no row of theirs."""
        await self._write(lambda: self._renew(leases))

    def state(self) -> WindowState:
        """Return the state over all processes. Raises Unusable."""
        held_s = self._patience.held_s
        try:
            self._store.check()
            state = self._state()
        except (sqlite3.Error, OSError) as error:
            if not is_busy(error):
                raise self._failed(error) from error
            full = self._limit.requests
            return WindowState(0, 0, 0, None, 0.0, full, full, None, held_s)
        if held_s:
            return state._replace(free=0, next_free_s=None, held_s=held_s)
        return state

    async def aclose(self) -> None:
        """Withdraw, and close the file; a waiter gets a RuntimeError."""
        if self._ended:
            return
        self._withdrawn = True
        with suppress(Unusable, Busy):
            self._transact(lambda: None)
        self._ended = True
        self._changed.set()
        self._store.db.close()

    # --- around a transaction ---------------------------------------------------------------------

    async def _write(self, body: Callable[[], T]) -> T:
        """Do `body` as soon as the file is free."""
        while True:
            try:
                return self._transact(body)
            except Busy:
                await asyncio.sleep(self._patience.again_s)

    def _transact(self, body: Callable[[], T]) -> T:
        """Do `body` in one transaction.

        Raises Busy where another process holds the file, Unusable where the file has failed.
        """
        if self._ended:
            raise RuntimeError("the limiter is closed for good")
        self._news: list[WindowEvent] = []
        db = self._store.db
        try:
            self._store.check()
            try:
                db.execute("BEGIN IMMEDIATE")
                if self._withdrawn:
                    self._rows.withdraw()
                result = body()
                db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    db.rollback()
                raise
        except (sqlite3.Error, OSError) as error:
            if not is_busy(error):
                raise self._failed(error) from error
            if (held := self._patience.busy(self._store.path)) is not None:
                self._on_event(held)
            raise Busy from error
        self._patience.succeeded()
        if self._withdrawn:
            self._withdrawn, self._believed_until = False, -math.inf
        for event in self._news:
            self._on_event(event)
        return result

    def _failed(self, error: Exception) -> Unusable:
        self._error = error
        return Unusable(f"{self._store.path}: {self._reason()}")

    def _reason(self) -> str:
        error = self._error
        return (isinstance(error, OSError) and error.strerror) or str(error) or repr(error)

    # --- inside a transaction ---------------------------------------------------------------------

    def _take(self) -> Lease | float:
        """Take a slot, or return the seconds after which to ask again."""
        now = self._now()
        # Where nothing is free it may be for a stamp that is to be pruned.
        for prune in (now >= self._prune_at, True):
            if prune:
                self._rows.prune(now)
                self._prune_at = now + PRUNE_S
            taken = self._look(now)
            if prune or isinstance(taken, Lease):
                break
        return taken

    def _look(self, now: float) -> Lease | float:
        throttle, filled, in_flight, since, others = self._rows.snapshot(now)
        throttle = self._learn(throttle, throttle.aged(self._limit, now), now)
        requests, refill_s = self._limit.requests, self._limit.refill_s
        sent: list[Request] = []
        if others:
            requests = min([requests, *(other.requests for other in others)])
            refill_s = max([refill_s, *(other.refill_s for other in others)])
            sent = self._rows.requests(now - refill_s)
            filled = len(sent)
        closed_s = max(throttle.closed_until, self._closed_until) - now
        wait_s = max(throttle.wait_s(now, in_flight), closed_s)
        if wait_s > 0:
            return self._wait(now, since, min(wait_s, max(self._poll_s, closed_s)))
        # Draws the lesson of a closing first: it may leave fewer slots than there were.
        after, probe = throttle.granted(now, self._limit.lease_s)
        limit = min(after.capacity, requests)
        if filled >= limit:
            sent = sent or self._rows.requests(now - refill_s)
            wait_s = sent[limit - 1].at + refill_s - now
            early = any(not request.settled for request in sent)  # one may come back unused
            return self._wait(now, since, min(wait_s, self._poll_s) if early else wait_s)
        if others:
            served = self._rows.served(now - _SERVED_REFILLS * refill_s)
            if not fair_share(self._owner, since, limit, sent, others, served):
                own = [request for request in sent if request.owner == self._owner]
                wait_s = self._turn_s
                if len(own) >= (part := part_of(limit, others)):
                    until_own_s = own[part - 1].at + refill_s - now
                    wait_s = max(wait_s, min(self._slack_s / 4, until_own_s))
                return self._wait(now, since, wait_s)
        self._learn(throttle, after, now)
        lease = Lease(self._rows.lease(now), in_flight + 1, probe)
        # Believed a moment longer: who is served one by one still waits in between. Written anew
        # where somebody may look at it.
        if others or now + self._slack_s / 2 > self._believed_until:
            self._announce(now, now + self._slack_s)
        return lease

    def _wait(self, now: float, since: float, wait_s: float) -> float:
        self._announce(since, now + wait_s + self._slack_s)
        return wait_s

    def _announce(self, since: float, until: float) -> None:
        self._rows.announce(since, until)
        self._believed_until = until

    def _settle(self, settled: Sequence[Settlement], ahead_s: float) -> None:
        now = self._now()
        throttle = self._rows.throttle()
        for lease, end, ended_at, retry_after_s in settled:
            at = min(ended_at + ahead_s, now)
            refused = end == "rejected"
            after = throttle.settled(
                self._limit,
                end,
                at,
                probe=lease.probe,
                in_flight=lease.in_flight,
                taken=self._rows.taken(at - self._limit.period_s) if refused else 0,
                retry_after_s=retry_after_s,
            )
            if end == "unused":
                self._rows.unused(lease.key)
            else:
                grace_s = self._limit.grace_s if end == "lost" else 0.0
                self._rows.settled(lease.key, at + grace_s, taken=end == "answered")
            throttle = self._learn(throttle, after, now)

    def _renew(self, leases: Collection[Lease]) -> None:
        until = self._now() + self._limit.lease_s
        self._rows.renew([lease.key for lease in leases], until)
        if any(lease.probe for lease in leases):
            self._rows.save(self._rows.throttle()._replace(probe_until=until))

    def _learn(self, before: Throttle, after: Throttle, now: float) -> Throttle:
        self.in_flight_cap = after.in_flight_cap
        if after != before:
            self._rows.save(after)
            self._news += throttle_news(before, after, self._limit, now)
        return after

    # --- outside one ------------------------------------------------------------------------------

    def _state(self) -> WindowState:
        now, full, refill_s = self._now(), self._limit.requests, self._limit.refill_s
        throttle = self._rows.throttle().aged(self._limit, now)
        sent = self._rows.requests(now - refill_s)
        in_flight = sum(not request.settled for request in sent if request.at > now)
        capacity = min(throttle.capacity, full)
        refill_in_s = math.inf
        if len(sent) >= capacity and (oldest := sent[capacity - 1]).settled:
            refill_in_s = oldest.at + refill_s - now
        return window_state(
            throttle,
            now,
            closed_s=max(0.0, throttle.closed_until - now, self._closed_until - now),
            capacity=capacity,
            requests=full,
            used=len(sent),
            in_flight=in_flight,
            waiting=0,
            refill_in_s=refill_in_s,
        )

"""The limiter that all processes of a machine share: their requests in a small SQLite file.

What a process may take and writes is decided in `grants`. A process that is killed needs no one to
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
import sqlite3
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import anyio

from bulkfetch.clock import boot_id, boottime
from bulkfetch.ratelimit.grants import Grants, Rhythm, frees_at_once
from bulkfetch.ratelimit.interfaces import (
    Lease,
    OnEvent,
    RateLimit,
    Settlement,
    SharedLimiter,
    Unusable,
    WindowState,
    ignore,
)
from bulkfetch.ratelimit.messages import renewed
from bulkfetch.ratelimit.patience import Patience
from bulkfetch.ratelimit.rows import WINDOW_FILE, SqliteRows
from bulkfetch.ratelimit.state_file import (
    Busy,
    Store,
    is_busy,
    is_damage,
    open_when_free,
    reason,
)

T = TypeVar("T")

# How soon a process looks again that leaves a slot to another one, in seconds, at least.
_SOONEST_TURN_S = 0.005


class MachineLimiter(SharedLimiter):
    """The file's rows of one account, as one client sees them.

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
        self._rows = SqliteRows(store.db, account_key, limit)
        rhythm = Rhythm(
            poll_s=min(max(limit.period_s / 60, 0.02), 1.0),
            turn_s=min(max(limit.period_s / 1000, _SOONEST_TURN_S), 0.05),
            slack_s=min(max(limit.period_s / 30, 0.1), 2.0),
        )
        self._grants = Grants(limit, rhythm)
        if store.renewed_at is not None:
            # Nobody knows what was used before. Not further ahead than can be, whatever is written.
            self._grants.closed_until = min(store.renewed_at, clock()) + limit.unknown_s
        self._withdrawn = False  # nobody waits here any more; not yet written
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
        lost: str = "",
        spent: int | None = None,
    ) -> MachineLimiter:
        """Open the limiter of `account_key`, an opaque name of the account that holds no secret.

        A damaged file is set aside; the `fallback` event says so, and the new one is closed for a
        period first. `lost` and `spent` as `open_file` says, of one that has failed. Raises
        Unusable, with the reason. If cancelled: nothing is left open.
        """
        try:
            clock()
            this_boot = boot()
        except OSError as error:
            raise Unusable(str(error)) from error

        def use(store: Store) -> MachineLimiter:
            return cls(
                limit, account_key, state_dir, store,
                on_event=on_event, clock=clock, boot=this_boot,
            )  # fmt: skip

        opened, damage = await open_when_free(
            WINDOW_FILE, state_dir, this_boot, clock, use, lost=lost, spent=spent
        )
        if damage and not lost:
            kept = f"it was damaged: {damage}; kept as {state_dir / WINDOW_FILE.aside_name}"
            on_event(renewed(kept, max(0.0, opened._grants.closed_until - clock())))
        return opened

    async def reopen(self) -> MachineLimiter:
        error = self._error
        assert error is not None, "only one that has failed is opened anew"
        if not (isinstance(error, FileNotFoundError) or is_damage(error)):
            raise Unusable(reason(error))
        fresh = await MachineLimiter.open(
            self._limit, self._key, self._state_dir,
            on_event=self._on_event, clock=self._now, boot=lambda: self._boot,
            lost=reason(error), spent=self._store.inode,
        )  # fmt: skip
        closed_until = self._now() + self._limit.unknown_s
        fresh._grants.closed_until = max(fresh._grants.closed_until, closed_until)
        return fresh

    @property
    def in_flight_cap(self) -> int | None:
        return self._grants.in_flight_cap

    async def acquire(self) -> Lease:
        self._withdrawn = False
        try:
            while True:
                self._changed.clear()
                lease = await self._write(lambda: self._grants.take(self._rows, self._now()))
                if isinstance(lease, Lease):
                    return lease
                with anyio.move_on_after(lease):
                    await self._changed.wait()
        except asyncio.CancelledError:
            self._withdraw()
            raise

    async def settle(self, settled: Sequence[Settlement]) -> None:
        # The file's clock goes on while the machine sleeps, the loop's does not.
        ahead_s = self._now() - asyncio.get_running_loop().time()
        await self._write(lambda: self._grants.settle(self._rows, settled, self._now(), ahead_s))
        if frees_at_once(settled):
            self._changed.set()

    async def renew(self, leases: Collection[Lease]) -> None:
        await self._write(
            lambda: self._grants.renew(self._rows, leases, self._now() + self._limit.lease_s)
        )

    def in_time(self, lease: Lease) -> bool:
        return True  # a living process renews its leases, however long it waits to send

    def state(self) -> WindowState:
        held_s = self._patience.held_s
        try:
            self._store.check()
            state = self._grants.state(self._rows, self._now())
        except (sqlite3.Error, OSError) as error:
            if not is_busy(error):
                raise self._failed(error) from error
            full = self._limit.requests
            return WindowState(0, 0, 0, None, 0.0, full, full, None, held_s)
        return state.held(held_s)

    async def aclose(self) -> None:
        if self._ended:
            return
        self._withdraw()
        self._ended = True
        self._changed.set()
        self._store.db.close()

    # --- around a transaction ---------------------------------------------------------------------

    def _withdraw(self) -> None:
        """Write that nobody waits here any more, now or with the next transaction."""
        self._withdrawn = True
        with suppress(Unusable, Busy):
            self._transact(lambda: None)

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
        self._grants.news = []
        db = self._store.db
        try:
            self._store.check()
            try:
                db.execute("BEGIN IMMEDIATE")
                if self._withdrawn:
                    self._grants.withdraw(self._rows)
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
        self._withdrawn = False
        for event in self._grants.news:
            self._on_event(event)
        return result

    def _failed(self, error: Exception) -> Unusable:
        self._error = error
        return Unusable(f"{self._store.path}: {reason(error)}")

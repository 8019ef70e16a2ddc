"""What one client asks of an account's row; a SharedLimiter. See the package for the proof."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import anyio

from bulkfetch.clock import boottime
from bulkfetch.errors import Superseded
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
from bulkfetch.ratelimit.limiter import SlotLimiter
from bulkfetch.ratelimit.postgres.row import WINDOW_TABLE, ClientRow, WindowRow
from bulkfetch.ratelimit.postgres.store import Moment, T, WindowStore
from bulkfetch.ratelimit.slots import this_process

# A slot that arrives later than this after it was asked for is given back, in seconds.
LATE_S = 5.0
# How long closing may take for what is still to be said; leases and beliefs expire by themselves.
_LAST_WORDS_S = 1.0


async def open_database_limiter(
    limit: RateLimit,
    account: str,
    account_key: str,
    store: WindowStore,
    *,
    generation: int | None = None,
    on_event: OnEvent = ignore,
    clock: Callable[[], float] = boottime,
) -> SlotLimiter:
    """Open the process's limiter, with the one of all hosts behind it.

    `account` is what all hosts call it, `account_key` what this process calls it; `generation` as
    `DatabaseLimiter` says. If cancelled: nothing is left open.
    """
    shared = DatabaseLimiter(
        limit, account, store, generation=generation, on_event=on_event, clock=clock
    )
    try:
        await shared.look()
    except BaseException:
        await shared.aclose()
        raise
    slots = this_process(clock).slots(account_key)
    return SlotLimiter(limit, slots=slots, shared=shared, on_event=on_event)


class DatabaseLimiter(SharedLimiter):
    """The row of `account` as one client sees it; bound to the running loop.

    `generation` is that of the turn of a fleet for which slots are taken: once the row has another
    one there are none. None: it does not matter. `clock` measures ages and must go on while the
    machine sleeps.
    """

    def __init__(
        self,
        limit: RateLimit,
        account: str,
        store: WindowStore,
        *,
        generation: int | None = None,
        on_event: OnEvent = ignore,
        clock: Callable[[], float] = boottime,
    ) -> None:
        # The lease begins when the slot is asked for, not when it is had.
        self._limit = replace(limit, headers_timeout_s=limit.headers_timeout_s + LATE_S)
        self._account = account
        self._store = store
        self._generation = generation
        self._on_event = on_event
        self._now = clock
        self._loop = asyncio.get_running_loop()
        self._owner = secrets.randbits(62)
        rhythm = Rhythm(
            poll_s=min(max(limit.period_s / 60, 0.05), 1.0),
            turn_s=min(max(limit.period_s / 300, 0.02), 0.2),
            slack_s=min(max(limit.period_s / 20, 0.2), 3.0),
        )
        self._grants = Grants(self._limit, rhythm)
        self._changed = asyncio.Event()
        self._ended = False
        # The row as last seen, and how far the database's clock is ahead of the loop's.
        self._seen = WindowRow()
        self._ahead_s = 0.0
        self._errands: set[asyncio.Task[Any]] = set()
        self._deafen = store.listen(on_event)
        self.renew_every_s = self._limit.lease_s / 3

    async def look(self) -> None:
        """Read the row, so that `state` knows it. If cancelled: nothing is held."""
        await self._change(lambda rows, moment: None)

    @property
    def in_flight_cap(self) -> int | None:
        return self._grants.in_flight_cap

    async def acquire(self) -> Lease:
        """Wait for a slot that is this client's turn. If cancelled: nothing is held.

        Raises Superseded where the account has a newer turn than this one.
        """
        while not self._ended:
            self._changed.clear()
            asking = self._errand(self._change(self._take))
            try:
                taken = await asyncio.shield(asking)
            except asyncio.CancelledError:
                asking.add_done_callback(self._take_back)
                raise
            if isinstance(taken, Lease):
                if self.in_time(taken):
                    return taken
                await self._give_back(taken)
                continue
            if taken is None:
                raise Superseded(f"another worker of the fleet has the account {self._account} now")
            try:
                with anyio.move_on_after(taken):
                    await self._changed.wait()
            except asyncio.CancelledError:
                self._errand(self._change(lambda rows, moment: self._grants.withdraw(rows)))
                raise
        raise RuntimeError("the limiter is closed for good")

    async def settle(self, settled: Sequence[Settlement]) -> None:
        def change(rows: ClientRow, moment: Moment) -> None:
            fresh = [one for one in settled if not rows.is_settled(one.lease.key)]
            self._grants.settle(rows, fresh, moment.now, moment.now - moment.loop_asked)

        await self._change(change)
        if frees_at_once(settled):
            self._changed.set()

    async def renew(self, leases: Collection[Lease]) -> None:
        leases = list(leases)

        def change(rows: ClientRow, moment: Moment) -> float:
            self._grants.renew(rows, leases, moment.now + self._limit.lease_s)
            return moment.asked + LATE_S

        send_by = await self._change(change)
        for lease in leases:
            lease.send_by = send_by

    def in_time(self, lease: Lease) -> bool:
        return self._now() <= lease.send_by

    async def reopen(self) -> SharedLimiter:
        """Raise Unusable: a limiter that waits for its database never has to be replaced."""
        raise Unusable("the window's database was given up")

    def state(self) -> WindowState:
        """Return the state over all hosts, as of the last look at the row."""
        rows = ClientRow(self._seen, self._owner, self._limit)
        state = self._grants.state(rows, self._loop.time() + self._ahead_s)
        return state.held(self._store.away_s)

    async def aclose(self) -> None:
        """Withdraw, and end; a waiter gets a RuntimeError. The store stays open."""
        if self._ended:
            return
        self._ended = True
        self._changed.set()
        try:
            with anyio.move_on_after(_LAST_WORDS_S):
                await self._change(lambda rows, moment: self._grants.withdraw(rows))
                while self._errands:
                    await asyncio.wait(self._errands)
        finally:
            self._deafen()
            for errand in self._errands:
                errand.cancel()

    # --- around a change --------------------------------------------------------------------------

    async def _change(self, body: Callable[[ClientRow, Moment], T]) -> T:
        """Do `body` on the row, and tell what there is to tell once it is kept."""

        def change(row: WindowRow, moment: Moment) -> T:
            self._grants.news = []
            result = body(ClientRow(row, self._owner, self._limit), moment)
            self._seen, self._ahead_s = row, moment.now - moment.loop_asked
            return result

        result = await self._store.run(WINDOW_TABLE, self._account, change)
        news, self._grants.news = self._grants.news, []
        for event in news:
            self._on_event(event)
        return result

    def _take(self, rows: ClientRow, moment: Moment) -> Lease | float | None:
        """Take a slot, or return the seconds after which to ask again; None: never again."""
        if self._generation not in (None, rows.generation):
            self._grants.withdraw(rows)
            return None
        taken = self._grants.take(rows, moment.now)
        if isinstance(taken, Lease):
            taken.send_by = moment.asked + LATE_S
        return taken

    async def _give_back(self, lease: Lease) -> None:
        await self.settle([Settlement(lease, "unused", self._loop.time(), None)])

    def _take_back(self, asking: asyncio.Future[Lease | float | None]) -> None:
        """Give back what nobody waits for any more."""
        if asking.cancelled() or asking.exception() is not None:
            return
        taken = asking.result()
        if isinstance(taken, Lease):
            self._errand(self._give_back(taken))
        elif taken is not None:
            self._errand(self._change(lambda rows, moment: self._grants.withdraw(rows)))

    def _errand(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start what goes on although whoever asked for it may not wait for it."""
        task = self._loop.create_task(coroutine)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
        return task

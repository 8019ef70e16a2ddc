"""The window of all processes of a machine: uses in a small SQLite file.

A request takes a slot by writing a use stamped with the *end of its lease*; its answer rewrites the
stamp. A use fills a slot until its stamp + refill. So a holder that is killed needs no one to
notice: its use says the latest time at which its request can have been counted, and the slot comes
back by itself. A living holder renews its leases, however long it has to wait before it sends.
What a lease cannot cover is a process frozen for longer than that between its grant and its
sending, which then sends all the same: one request too many, if all other slots are in use.

**Between processes.** Who waits holds a ticket, believed until a little after the moment at which
its holder means to look again, so that a dead one's soon expires. As long as others wait, a
process uses no more than its fair part of the slots, and leaves one for each that has waited
longer. With others waiting, the strictest settings among them hold for all: otherwise one that
may use five of ten would never see fewer than five used.

**Within a process** the windows of several clients share in the same way. Where there is no file
they share one in memory (`ours`), and what one has used in another place counts for all.

Every call is one short transaction (`transactions`). Nobody waits for a lock: what finds the file
busy comes again, for as long as it takes, since every way round it would be a second window.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from bulkfetch.ratelimit import throttle as throttles
from bulkfetch.ratelimit.database import Store, is_busy
from bulkfetch.ratelimit.fair_share import Request, fair_share
from bulkfetch.ratelimit.interfaces import End, OnEvent, WindowState
from bulkfetch.ratelimit.limiter import Slot
from bulkfetch.ratelimit.rows import MOST_ROWS
from bulkfetch.ratelimit.stores import Stores
from bulkfetch.ratelimit.throttle import Throttle
from bulkfetch.ratelimit.transactions import Transactions

# How often what is past is cleared away, in seconds; besides, before anybody is told to wait.
PRUNE_S = 1.0
# How long the end of a request may wait to be written together with the beginning of the next:
# half of the transactions of who asks often. Its stamp is of its own time, so no slot comes later
# for this process; for another one by no more than it waits at least between two looks.
TOGETHER_S = SOONEST_TURN_S = 0.005
# How long aclose tries to write what is still unwritten; the leases stand in for the rest.
LAST_WORDS_S = 2.0
LAST_TRY_S = 0.01


@dataclass(slots=True, eq=False)
class Lease(Slot):
    """A slot that is out, and the row that says so."""

    use: int


class SharedLedger(Transactions):
    """A book (see `turnstile.Book`) that all processes of the machine share.

    When the file fails or disappears, a new one takes its place, or where there can be none the
    store that all windows of this process share; closed for a full period first.
    """

    def __init__(self, stores: Stores, store: Store, on_event: OnEvent) -> None:
        super().__init__(stores, store, on_event)
        period_s = stores.settings.period_s
        # How soon to look again: for what another process may do, and for who should come first.
        self._poll_s = min(max(period_s / 60, 0.02), 1.0)
        self._turn_s = min(max(period_s / 1000, SOONEST_TURN_S), 0.05)
        # How long after the moment it announced a ticket's holder may look again.
        self._slack_s = min(max(period_s / 30, 0.1), 2.0)
        self._out: set[Lease] = set()
        self._answered: list[tuple[Lease, float]] = []  # not yet written: the slot, and when
        self._write_at = math.inf
        self._answers = 0  # written in this transaction, and not yet in the share
        self._renew_at = math.inf
        self._prune_at = -math.inf
        self._believed_until = -math.inf
        self._in_flight_cap: int | None = None

    # --- the book --------------------------------------------------------------------------------

    def take(self, waiting: int, most: int) -> Sequence[Slot] | float:
        """Give free slots, `most` at most, or the seconds after which to ask again."""
        taken = self._do(partial(self._take, most), self._taken)
        return self._patience.again_s if taken is None else taken

    def settle(self, slot: Slot, end: End, retry_after_s: float | None, ago_s: float) -> bool:
        """Take a slot back, as of now (an answer: of `ago_s` ago) even where the file is busy."""
        assert isinstance(slot, Lease), "given out here"
        now = self._now()
        with self._ours.lock:
            self._out.discard(slot)
            if end == "unused":
                self._ours.drop(self._store.place, slot.use)
            else:
                self._note(slot, Request(self._stamp(end, now, ago_s), self._owner, 1))
        if end == "answered" and not slot.probe:
            self._answered.append((slot, now - ago_s))
            self._write_at = min(self._write_at, now + TOGETHER_S)
            return len(self._answered) == 1  # behind the first, all are written with it
        # Others may go on, or must not.
        self._write(partial(self._settle, slot, end, retry_after_s, now, ago_s))
        return True

    def tick(self) -> float:
        """Renew leases and write what is unwritten; give the seconds to the next time."""
        if not self._out:
            self._renew_at = math.inf
        elif self._now() >= self._renew_at:
            self._renew_at = self._now() + self._lease_s / 3
            until = self._now() + self._lease_s
            with self._ours.lock:
                for lease in self._out:
                    self._note(lease, Request(until, self._owner, 0))
            self._write(self._renew)
        if self._now() >= self._write_at:
            self._do(None)
            if self._is_behind:
                return self._patience.again_s
        return max(0.0, min(self._renew_at, self._write_at) - self._now())

    def withdraw(self) -> None:
        """Nobody waits in this process any more."""
        self._believed_until = -math.inf
        self._write(lambda: self._rows.withdraw())

    @property
    def in_flight_cap(self) -> int | None:
        """As `interfaces.RateLimiter` says."""
        return self._in_flight_cap

    def state(self, waiting: int) -> WindowState:
        """Say how things stand, over all processes of the machine."""
        if self._is_behind or self._lost is not None:
            self._do(None)  # which may show the file to have failed
        held_s = self._patience.held_s
        for _ in range(2):
            try:
                with self._ours.lock, self._store.lock:
                    if self._lost is not None or self._ended:
                        break
                    state = self._state(waiting)
            except sqlite3.Error as error:
                if is_busy(error) or self._store.path is None:
                    break
                self._lost = error
                self._do(None)  # which puts another in its place
            else:
                if held_s:
                    state = state._replace(free=0, next_free_s=None, held_s=held_s)
                return state
        full = self._settings.requests
        return WindowState(0, len(self._out), waiting, None, 0.0, full, full, None, held_s)

    async def aclose(self) -> None:
        """Write what is unwritten, give up the ticket, close the file.

        Slots still out keep their leases. If cancelled: the file is closed all the same.
        """
        try:
            self.withdraw()
            for _ in range(int(LAST_WORDS_S / LAST_TRY_S)):
                if not self._is_behind:
                    break
                await asyncio.sleep(LAST_TRY_S)
                self._do(None)
        finally:
            self._ended = True
            self._written()
            self._store.close()

    # --- around a transaction --------------------------------------------------------------------

    @property
    def _is_behind(self) -> bool:
        """Whether the file does not yet know everything."""
        return bool(self._answered or self._unwritten)

    def _first(self) -> None:
        self._rows.settled([(slot.use, at) for slot, at in self._answered], taken=True)
        self._answers = len(self._answered)

    def _last(self) -> None:
        if self._answers:
            self._answers_taken_in(self._rows.share(), self._now())

    def _written(self) -> None:
        super()._written()
        self._answered.clear()
        self._write_at = math.inf

    def _moved(self, numbers: dict[int, int]) -> None:
        for slot in (*self._out, *(slot for slot, _ in self._answered)):
            slot.use = numbers.get(slot.use, slot.use)
        self._prune_at = self._believed_until = -math.inf

    def _write(self, write: Callable[[], None]) -> None:
        """Do `write` now, or as soon as the file is free."""
        self._unwritten.append(write)
        self._write_at = -math.inf
        self._do(None)

    def _stamp(self, end: End, now: float, ago_s: float) -> float:
        """Say when, at the latest, a request that has ended now was counted."""
        return now + self._settings.grace_s if end == "lost" else now - ago_s

    def _note(self, lease: Lease, use: Request) -> None:
        self._ours.put(self._store.place, lease.use, use, self._now())

    def _taken(self, taken: list[Lease] | float) -> None:
        """Keep account of what was given out."""
        if isinstance(taken, float):
            return
        until = self._now() + self._lease_s
        self._out.update(taken)
        for lease in taken:
            self._note(lease, Request(until, self._owner, 0))
        self._renew_at = min(self._renew_at, self._now() + self._lease_s / 3)

    # --- inside a transaction --------------------------------------------------------------------

    def _take(self, most: int) -> list[Lease] | float:
        now = self._now()
        pruned = now >= self._prune_at
        if pruned:
            self._prune(now)
        taken = self._look(now, most)
        if isinstance(taken, float) and not pruned:
            # It may be for a stamp that was to be pruned that nothing is free.
            self._prune(now)
            taken = self._look(now, most)
        return taken

    def _prune(self, now: float) -> None:
        self._rows.prune(now)
        self._prune_at = now + PRUNE_S

    def _look(self, now: float, most: int) -> list[Lease] | float:
        share, filled, in_flight, since, others = self._rows.standing(now)
        share = self._answers_taken_in(share, now)
        share = self._learn(share, throttles.aged(share, self._settings, now), now)
        requests, refill_s = self._settings.requests, self._settings.refill_s
        if others:
            requests = min([requests, *(other.requests for other in others)])
            refill_s = max([refill_s, *(other.refill_s for other in others)])
        uses: list[Request] = []
        elsewhere = self._ours.elsewhere(self._store.place, now - refill_s)
        if others or elsewhere:
            uses = self._uses(now - refill_s, elsewhere)
            filled = len(uses)
            in_flight += sum(not use.settled and use.at > now for use in elsewhere)
        closed_s = max(share.closed_until, self._ours.closed_until) - now
        wait_s = max(throttles.wait_s(share, now, in_flight), closed_s)
        if wait_s > 0:
            return self._wait(now, since, min(wait_s, max(self._poll_s, closed_s)))
        # Draws the lesson of a closing first: it may leave fewer slots than there were.
        after, probe = throttles.granted(share, now, self._lease_s)
        limit = min(after.capacity, requests)
        if filled >= limit:
            uses = uses or self._uses(now - refill_s, elsewhere)
            oldest = uses[limit - 1]
            wait_s = oldest.at + refill_s - now
            early = any(not use.settled for use in uses)  # one may come back unused
            return self._wait(now, since, min(wait_s, self._poll_s) if early else wait_s)
        if others and not fair_share(self._owner, since, limit, uses, others):
            part_used = sum(use.owner == self._owner for use in uses) * (len(others) + 1) >= limit
            return self._wait(now, since, self._slack_s / 4 if part_used else self._turn_s)
        self._learn(share, after, now)
        # One by one where others wait, or an account has refused: the next one is judged anew.
        alone = probe or others or throttles.restrained(after, self._settings)
        count = 1 if alone else min(most, limit - filled, MOST_ROWS)
        leases = [
            Lease(in_flight=in_flight + number, probe=probe, use=use)
            for number, use in enumerate(self._rows.lease(now, count), 1)
        ]
        # Believed a moment longer: who is served one by one still waits in between. Written anew
        # where somebody may look at it.
        if others or now + self._slack_s / 2 > self._believed_until:
            self._announce(now, now + self._slack_s)
        return leases

    def _uses(self, since: float, elsewhere: Sequence[Request]) -> list[Request]:
        """Give all uses that fill a slot, the newest first."""
        uses = self._rows.uses(since)
        if elsewhere:
            uses = sorted((*uses, *elsewhere), key=lambda use: use.at, reverse=True)
        return uses

    def _wait(self, now: float, since: float, wait_s: float) -> float:
        self._announce(since, now + wait_s + self._slack_s)
        return wait_s

    def _announce(self, since: float, until: float) -> None:
        self._rows.ticket(since, until)
        self._believed_until = until

    def _settle(
        self, lease: Lease, end: End, retry_after_s: float | None, now: float, ago_s: float
    ) -> None:
        share = self._answers_taken_in(self._rows.share(), now)
        if end == "rejected":
            after = throttles.rejected(
                share,
                self._settings,
                now,
                retry_after_s=retry_after_s,
                taken=self._rows.taken(now - self._settings.period_s),
                in_flight=lease.in_flight,
                probe=lease.probe,
            )
            self._ours.closed_until = max(self._ours.closed_until, after.closed_until)
        elif end == "answered":
            after = throttles.answered(share, probe=True)
        else:
            after = throttles.probe_failed(share) if lease.probe else share
        if end == "unused":
            self._rows.unused(lease.use)
        else:
            at = self._stamp(end, now, ago_s)
            self._rows.settled([(lease.use, at)], taken=end == "answered")
        self._learn(share, after, now)

    def _answers_taken_in(self, share: Throttle, now: float) -> Throttle:
        """Have the share, as just read, learn from the answers written in this transaction."""
        after = share
        for _ in range(self._answers):
            after = throttles.answered(after, probe=False)
        self._answers = 0
        return self._learn(share, after, now)

    def _renew(self) -> None:
        until = self._now() + self._lease_s
        self._rows.renew([lease.use for lease in self._out], until)
        if any(lease.probe for lease in self._out):
            share = self._rows.share()
            self._rows.save(share._replace(probe_until=until))

    def _learn(self, before: Throttle, after: Throttle, now: float) -> Throttle:
        self._in_flight_cap = after.in_flight_cap
        if after != before:
            self._rows.save(after)
            self._news += throttles.news(before, after, self._settings, now)
        return after

    # --- outside one -----------------------------------------------------------------------------

    def _state(self, waiting: int) -> WindowState:
        now = self._now()
        full = self._settings.requests
        refill_s = self._settings.refill_s
        share = throttles.aged(self._rows.share(), self._settings, now)
        uses = self._uses(now - refill_s, self._ours.elsewhere(self._store.place, now - refill_s))
        in_flight = sum(not use.settled for use in uses if use.at > now)
        limit = min(share.capacity, full)
        closed_s = max(0.0, max(share.closed_until, self._ours.closed_until) - now)
        barred_s = max(throttles.wait_s(share, now, in_flight), closed_s)
        free = max(0, limit - len(uses))
        next_s = barred_s
        if not free:
            oldest = uses[limit - 1]
            next_s = max(barred_s, oldest.at + refill_s - now if oldest.settled else math.inf)
        return WindowState(
            free=0 if barred_s else free,
            in_flight=in_flight,
            waiting=waiting,
            next_free_s=None if next_s == math.inf else next_s,
            closed_s=closed_s,
            capacity=limit,
            requests=full,
            in_flight_cap=share.in_flight_cap,
        )

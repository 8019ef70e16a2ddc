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

Every call is one short transaction. Nobody waits for a lock: what finds the file busy comes again.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from bulkfetch.window import share as shares
from bulkfetch.window.database import is_busy
from bulkfetch.window.rows import MOST_ROWS, Rows
from bulkfetch.window.share import Share
from bulkfetch.window.slots import Slot, SlotBook
from bulkfetch.window.terms import End, OnEvent, WindowEvent, WindowSettings, WindowState
from bulkfetch.window.turns import Use, may_take

T = TypeVar("T")

# How soon to come again when another process holds the file: a transaction takes some 50 µs.
BUSY_S = 0.002
# How often what is past is cleared away, in seconds; besides, before anybody is told to wait.
HEAL_S = 1.0
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


class Ledger:
    """A book (see `turnstile.Book`) that all processes of the machine share.

    When the file fails or disappears, a book of the process's own takes over, closed for a full
    period first, and says so.
    """

    def __init__(
        self,
        settings: WindowSettings,
        account_key: str,
        path: Path,
        db: sqlite3.Connection,
        clock: Callable[[], float],
        on_event: OnEvent,
    ) -> None:
        self._settings = settings
        self._path = path
        self._inode = path.stat().st_ino
        self._db = db
        self._now = clock
        self._on_event = on_event
        self._pid = os.getpid()
        self._owner = random.SystemRandom().getrandbits(62)
        self._lease_s = settings.headers_timeout_s + settings.grace_s
        # How soon to look again: for what another process may do, and for who should come first.
        self._poll_s = min(max(settings.period_s / 60, 0.02), 1.0)
        self._turn_s = min(max(settings.period_s / 1000, SOONEST_TURN_S), 0.05)
        # How long after the moment it announced a ticket's holder may look again.
        self._slack_s = min(max(settings.period_s / 30, 0.1), 2.0)
        self._out: set[Lease] = set()
        self._answered: list[tuple[int, float]] = []  # not yet written: the use, and when
        self._unwritten: list[Callable[[], None]] = []
        self._write_at = math.inf
        self._answers = 0  # written in this transaction, and not yet in the share
        self._news: list[WindowEvent] = []
        self._renew_at = math.inf
        self._heal_at = -math.inf
        self._believed_until = -math.inf
        self._in_flight_cap: int | None = None
        self._own: SlotBook | None = None
        self._ended = False
        self._rows = Rows(db, account_key, self._owner, settings, self._lease_s)

    # --- the book --------------------------------------------------------------------------------

    def take(self, waiting: int, most: int) -> Sequence[Slot] | float:
        """Give free slots, `most` at most, or the seconds after which to ask again."""
        taken = self._do(partial(self._take, most))
        if self._own is not None:
            return self._own.take(waiting, most)
        if taken is None:
            return self._again_s()
        if not isinstance(taken, float):
            self._out.update(taken)
            self._renew_at = min(self._renew_at, self._now() + self._lease_s / 3)
        return taken

    def settle(self, slot: Slot, end: End, retry_after_s: float | None, ago_s: float) -> bool:
        """Take a slot back, as of now (an answer: of `ago_s` ago) even where the file is busy."""
        if isinstance(slot, Lease):
            self._out.discard(slot)
            if self._own is None:
                now = self._now()
                if end == "answered" and not slot.probe:
                    self._answered.append((slot.use, now - ago_s))
                    self._write_at = min(self._write_at, now + TOGETHER_S)
                    return len(self._answered) == 1  # behind the first, all are written with it
                # Others may go on, or must not.
                self._write(partial(self._settle, slot, end, retry_after_s, now, ago_s))
                return True  # where that showed the file to have failed, `_own` knows enough
        return self._own is None or self._own.settle(slot, end, retry_after_s, ago_s)

    def upkeep(self) -> float:
        """Renew leases and write what is unwritten; give the seconds to the next time."""
        if self._own is not None:
            return math.inf
        if not self._out:
            self._renew_at = math.inf
        elif self._now() >= self._renew_at:
            self._renew_at = self._now() + self._lease_s / 3
            self._write(self._renew)
        if self._now() >= self._write_at:
            self._do(None)
            if self._is_behind:
                return self._again_s()
        return max(0.0, min(self._renew_at, self._write_at) - self._now())

    def leave(self) -> None:
        """Nobody waits in this process any more."""
        self._believed_until = -math.inf
        self._write(self._rows.drop_ticket)

    @property
    def in_flight_cap(self) -> int | None:
        """As `terms.Window` says."""
        return self._in_flight_cap if self._own is None else self._own.in_flight_cap

    def state(self, waiting: int) -> WindowState:
        """Say how things stand, over all processes of the machine."""
        if self._is_behind:
            self._do(None)  # which may show the file to have failed
        if self._own is None:
            try:
                return self._state(waiting)
            except sqlite3.Error as error:
                if not is_busy(error):
                    self._fail(str(error))
        if self._own is not None:
            return self._own.state(waiting)
        full = self._settings.requests
        return WindowState(0, len(self._out), waiting, None, 0.0, full, full)

    async def aclose(self) -> None:
        """Write what is unwritten, give up the ticket, close the file.

        Slots still out keep their leases. If cancelled: the file is closed all the same.
        """
        try:
            self.leave()
            for _ in range(int(LAST_WORDS_S / LAST_TRY_S)):
                if not self._is_behind:
                    break
                await asyncio.sleep(LAST_TRY_S)
                self._do(None)
        finally:
            self._ended = True
            self._all_written()
            self._db.close()

    # --- transactions ----------------------------------------------------------------------------

    def _do(self, body: Callable[[], T] | None) -> T | None:
        """Write what is unwritten, then do `body`, in one transaction.

        None when nothing was done: the file is busy, or has failed and `_own` has taken over.
        """
        if os.getpid() != self._pid:
            raise RuntimeError("a window belongs to the process it was opened in")
        if self._own is not None or self._ended:
            return None
        result: T | None = None
        told: list[WindowEvent] = []
        self._news = told
        try:
            if os.stat(self._path).st_ino != self._inode:
                raise FileNotFoundError
            self._db.execute("BEGIN IMMEDIATE")
            self._rows.settled(self._answered, taken=True)
            self._answers = len(self._answered)
            for write in self._unwritten:
                write()
            if body is not None:
                result = body()
            if self._answers:
                self._answers_taken_in(self._rows.share(), self._now())
            self._db.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            with suppress(sqlite3.Error):
                self._db.rollback()
            if not (isinstance(error, sqlite3.Error) and is_busy(error)):
                self._fail("it was removed" if isinstance(error, OSError) else str(error))
            return None
        except BaseException:
            self._db.rollback()
            raise
        self._all_written()
        for event in told:
            self._on_event(event)
        return result

    @property
    def _is_behind(self) -> bool:
        """Whether the file does not yet know everything."""
        return bool(self._answered or self._unwritten)

    def _all_written(self) -> None:
        self._answered.clear()
        self._unwritten.clear()
        self._write_at = math.inf

    def _write(self, write: Callable[[], None]) -> None:
        """Do `write` now, or as soon as the file is free."""
        self._unwritten.append(write)
        self._write_at = -math.inf
        self._do(None)

    def _fail(self, why: str) -> None:
        """Go on with a book of the process's own, as one that knows nothing of the others."""
        for_s = self._settings.refill_s + self._settings.grace_s
        self._own = SlotBook(self._settings, self._on_event, for_s, in_flight=len(self._out))
        self._all_written()
        self._on_event(fallback(f"{self._path}: {why}", for_s))

    def _again_s(self) -> float:
        return BUSY_S * (0.5 + random.random())

    # --- inside a transaction --------------------------------------------------------------------

    def _take(self, most: int) -> list[Lease] | float:
        now = self._now()
        healed = now >= self._heal_at
        if healed:
            self._heal(now)
        taken = self._look(now, most)
        if isinstance(taken, float) and not healed:
            # It may be for a stamp that was to be healed that nothing is free.
            self._heal(now)
            taken = self._look(now, most)
        return taken

    def _heal(self, now: float) -> None:
        self._rows.heal(now)
        self._heal_at = now + HEAL_S

    def _look(self, now: float, most: int) -> list[Lease] | float:
        share, filled, in_flight, since, others = self._rows.standing(now)
        share = self._answers_taken_in(share, now)
        share = self._learn(share, shares.aged(share, self._settings, now), now)
        requests, refill_s = self._settings.requests, self._settings.refill_s
        uses: list[Use] = []
        if others:
            requests = min([requests, *(other.requests for other in others)])
            refill_s = max([refill_s, *(other.refill_s for other in others)])
            uses = self._rows.uses(now - refill_s)
            filled = len(uses)
        wait_s = shares.wait_s(share, now, in_flight)
        if wait_s:
            wait_s = min(wait_s, max(self._poll_s, share.closed_until - now))
            return self._wait(now, since, wait_s)
        # Draws the lesson of a closing first: it may leave fewer slots than there were.
        after, probe = shares.granted(share, now, self._lease_s)
        limit = min(after.capacity, requests)
        if filled >= limit:
            uses = uses or self._rows.uses(now - refill_s)
            oldest = uses[limit - 1]
            wait_s = oldest.at + refill_s - now
            early = any(not use.settled for use in uses)  # one may come back unused
            return self._wait(now, since, min(wait_s, self._poll_s) if early else wait_s)
        if others and not may_take(self._owner, since, limit, uses, others):
            part_used = sum(use.owner == self._owner for use in uses) * (len(others) + 1) >= limit
            return self._wait(now, since, self._slack_s / 4 if part_used else self._turn_s)
        self._learn(share, after, now)
        # One by one where others wait, or an account has refused: the next one is judged anew.
        alone = probe or others or shares.restrained(after, self._settings)
        count = 1 if alone else min(most, limit - filled, MOST_ROWS)
        leases = [
            Lease(in_flight=in_flight + number, probe=probe, use=use)
            for number, use in enumerate(self._rows.lease(now, count), 1)
        ]
        # Believed a moment longer: who is served one by one still waits in between. Written anew
        # where somebody may look at it.
        if others or now + self._slack_s / 2 > self._believed_until:
            self._ticket(now, now + self._slack_s)
        return leases

    def _wait(self, now: float, since: float, wait_s: float) -> float:
        self._ticket(since, now + wait_s + self._slack_s)
        return wait_s

    def _ticket(self, since: float, until: float) -> None:
        self._rows.ticket(since, until)
        self._believed_until = until

    def _settle(
        self, lease: Lease, end: End, retry_after_s: float | None, now: float, ago_s: float
    ) -> None:
        share = self._answers_taken_in(self._rows.share(), now)
        if end == "rejected":
            after = shares.rejected(
                share,
                self._settings,
                now,
                retry_after_s=retry_after_s,
                taken=self._rows.taken(now - self._settings.period_s),
                in_flight=lease.in_flight,
                probe=lease.probe,
            )
        elif end == "answered":
            after = shares.answered(share, probe=True)
        else:
            after = shares.probe_failed(share) if lease.probe else share
        if end == "unused":
            self._rows.unused(lease.use)
        else:
            at = now + self._settings.grace_s if end == "lost" else now - ago_s
            self._rows.settled([(lease.use, at)], taken=end == "answered")
        self._learn(share, after, now)

    def _answers_taken_in(self, share: Share, now: float) -> Share:
        """Have the share, as just read, learn from the answers written in this transaction."""
        after = share
        for _ in range(self._answers):
            after = shares.answered(after, probe=False)
        self._answers = 0
        return self._learn(share, after, now)

    def _renew(self) -> None:
        until = self._now() + self._lease_s
        self._rows.renew([lease.use for lease in self._out], until)
        if any(lease.probe for lease in self._out):
            share = self._rows.share()
            self._rows.keep(share._replace(probe_until=until))

    def _learn(self, before: Share, after: Share, now: float) -> Share:
        self._in_flight_cap = after.in_flight_cap
        if after != before:
            self._rows.keep(after)
            self._news += shares.news(before, after, self._settings, now)
        return after

    # --- outside one -----------------------------------------------------------------------------

    def _state(self, waiting: int) -> WindowState:
        now = self._now()
        full = self._settings.requests
        refill_s = self._settings.refill_s
        share = shares.aged(self._rows.share(), self._settings, now)
        uses = self._rows.uses(now - refill_s)
        in_flight = sum(not use.settled for use in uses if use.at > now)
        limit = min(share.capacity, full)
        barred_s = shares.wait_s(share, now, in_flight)
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
            closed_s=max(0.0, share.closed_until - now),
            capacity=limit,
            requests=full,
            in_flight_cap=share.in_flight_cap,
        )


def fallback(why: str, for_s: float) -> WindowEvent:
    """Say that the machine's window cannot be used."""
    text = (
        f"the machine's window cannot be used ({why}); this process keeps the limit for itself, "
        f"after waiting {for_s:.0f} s: run no other one for this account"
    )
    return WindowEvent("fallback", text, for_s=for_s)

"""What one client may take of a shared account, and writes there; the same for every store.

No await, no clock, no statement: it reads the rows of an account, decides and writes them. Its
caller sees to it that nobody else changes them in the meantime, and that what was written is kept
before anything is sent.

A request takes a slot by writing a use stamped with the *end of its lease*; its answer rewrites the
stamp. A use fills a slot until its stamp + refill. A client that waits is believed until a little
after the moment at which it means to ask again, so that one that has died is soon forgotten.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Collection, Sequence
from typing import NamedTuple

from bulkfetch.ratelimit.account_rows import AccountRows
from bulkfetch.ratelimit.fair_share import Request, fair_share, part_of
from bulkfetch.ratelimit.interfaces import Lease, RateLimit, Settlement, WindowEvent, WindowState
from bulkfetch.ratelimit.messages import throttle_news, window_state
from bulkfetch.ratelimit.throttle import Throttle

# How often what is past is cleared away, in seconds; besides, before anybody is told to wait.
PRUNE_S = 1.0
# In how many of the last refills it counts which client was served less often.
SERVED_REFILLS = 5


class Rhythm(NamedTuple):
    """How soon a client that waits asks again, in seconds.

    `poll_s`: where another client may give a slot back early. `turn_s`: where it is another one's
    turn. `slack_s`: how much later than announced it may ask.
    """

    poll_s: float
    turn_s: float
    slack_s: float


def frees_at_once(settled: Sequence[Settlement]) -> bool:
    """Return whether these may have freed a slot now, so that a waiter should ask again.

    An answer frees nothing at once, and to ask again for it would be out of turn.
    """
    return any(one.end != "answered" or one.lease.probe for one in settled)


class Grants:
    """One client's view of an account; `now` is always the store's time, in seconds.

    Nothing leaves before `closed_until`. `news` is what there is to tell once all is kept.
    """

    def __init__(self, limit: RateLimit, rhythm: Rhythm) -> None:
        self._limit = limit
        self._rhythm = rhythm
        self._prune_at = -math.inf
        self._believed_until = -math.inf
        self.closed_until = -math.inf
        self.in_flight_cap: int | None = None
        self.news: list[WindowEvent] = []

    def take(self, rows: AccountRows, now: float) -> Lease | float:
        """Take a slot, or return the seconds after which to ask again."""
        if now < self._prune_at and isinstance(taken := self._look(rows, now), Lease):
            return taken
        # Where nothing is free it may be for a stamp that is to be pruned.
        rows.prune(now)
        self._prune_at = now + PRUNE_S
        return self._look(rows, now)

    def settle(
        self, rows: AccountRows, settled: Sequence[Settlement], now: float, ahead_s: float
    ) -> None:
        """Write how requests ended; the store's clock is `ahead_s` ahead of the event loop's."""
        throttle = rows.throttle()
        for lease, end, ended_at, retry_after_s in settled:
            at = min(ended_at + ahead_s, now)
            refused = end == "rejected"
            after = throttle.settled(
                self._limit,
                end,
                at,
                probe=lease.probe,
                in_flight=lease.in_flight,
                taken=rows.taken(at - self._limit.period_s) if refused else 0,
                retry_after_s=retry_after_s,
            )
            if end == "unused":
                rows.unused(lease.key)
            else:
                grace_s = self._limit.grace_s if end == "lost" else 0.0
                rows.settled(lease.key, at + grace_s, taken=end == "answered")
            throttle = self._learn(rows, throttle, after, now)

    def renew(self, rows: AccountRows, leases: Collection[Lease], until: float) -> None:
        """Write a later end of leases, anew where they are not known."""
        rows.renew([lease.key for lease in leases], until)
        if any(lease.probe for lease in leases):
            rows.save(rows.throttle()._replace(probe_until=until))

    def withdraw(self, rows: AccountRows) -> None:
        """Write that this client does not wait any more."""
        rows.withdraw()
        self._believed_until = -math.inf

    def state(self, rows: AccountRows, now: float) -> WindowState:
        """Return the state over all clients, `waiting` apart. Writes nothing."""
        full, refill_s = self._limit.requests, self._limit.refill_s
        snapshot = rows.snapshot(now)
        throttle = snapshot.throttle.aged(self._limit, now)
        sent = rows.requests(now - refill_s)
        in_flight = sum(not request.settled for request in sent if request.at > now)
        capacity = min(throttle.capacity, full)
        refill_in_s = math.inf
        if len(sent) >= capacity and (oldest := sent[capacity - 1]).settled:
            refill_in_s = oldest.at + refill_s - now
        closed_until = max(throttle.closed_until, self.closed_until, snapshot.closed_until)
        return window_state(
            throttle,
            now,
            closed_s=max(0.0, closed_until - now),
            capacity=capacity,
            requests=full,
            used=len(sent),
            in_flight=in_flight,
            waiting=0,
            refill_in_s=refill_in_s,
        )

    def _look(self, rows: AccountRows, now: float) -> Lease | float:
        """Take a slot if the account is open, one is free, and it is this client's turn."""
        throttle, filled, in_flight, since, others, closed_until = rows.snapshot(now)
        throttle = self._learn(rows, throttle, throttle.aged(self._limit, now), now)
        requests, refill_s = self._limit.requests, self._limit.refill_s
        sent: list[Request] = []
        if others:
            requests = min([requests, *(other.requests for other in others)])
            refill_s = max([refill_s, *(other.refill_s for other in others)])
            sent = rows.requests(now - refill_s)
            filled = len(sent)
        rhythm = self._rhythm
        closed_s = max(throttle.closed_until, self.closed_until, closed_until) - now
        wait_s = max(throttle.wait_s(now, in_flight), closed_s)
        if wait_s > 0:
            return self._wait(rows, now, since, min(wait_s, max(rhythm.poll_s, closed_s)))
        # Draws the lesson of a closing first: it may leave fewer slots than there were.
        after, probe = throttle.granted(now, self._limit.lease_s)
        limit = min(after.capacity, requests)
        if filled >= limit:
            sent = sent or rows.requests(now - refill_s)
            wait_s = sent[limit - 1].at + refill_s - now
            early = any(not request.settled for request in sent)  # one may come back unused
            return self._wait(rows, now, since, min(wait_s, rhythm.poll_s) if early else wait_s)
        if others:
            served = rows.served(now - SERVED_REFILLS * refill_s)
            if not fair_share(rows.owner, since, limit, sent, others, served):
                own = [request for request in sent if request.owner == rows.owner]
                wait_s = rhythm.turn_s
                if len(own) >= (part := part_of(limit, others)):
                    until_own_s = own[part - 1].at + refill_s - now
                    wait_s = max(wait_s, min(rhythm.slack_s / 4, until_own_s))
                return self._wait(rows, now, since, wait_s)
        self._learn(rows, throttle, after, now)
        key = secrets.randbits(62)  # no other request has it, in whichever store
        rows.renew([key], now + self._limit.lease_s)
        # A client that takes one slot after another counts as waiting in between. That is written
        # again only where another client may read it.
        if others or now + rhythm.slack_s / 2 > self._believed_until:
            self._announce(rows, now, now + rhythm.slack_s)
        return Lease(key, in_flight + 1, probe)

    def _wait(self, rows: AccountRows, now: float, since: float, wait_s: float) -> float:
        self._announce(rows, since, now + wait_s + self._rhythm.slack_s)
        return wait_s

    def _announce(self, rows: AccountRows, since: float, until: float) -> None:
        rows.announce(since, until)
        self._believed_until = until

    def _learn(self, rows: AccountRows, before: Throttle, after: Throttle, now: float) -> Throttle:
        self.in_flight_cap = after.in_flight_cap
        if after != before:
            rows.save(after)
            self.news += throttle_news(before, after, self._limit, now)
        return after

"""What was used of an account's budget, and how a call changes it. Values only.

A ledger reads the usage as a whole, makes a change and keeps what has changed; nobody else changes
it in between. A change that was perhaps kept already may be made again, and comes to the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from bulkfetch.control.allowance import (
    DAY_S,
    GRACE_S,
    REFILL_S,
    SPAN_S,
    Allowance,
    Asking,
    ControlLimits,
    CountedCall,
    Usage,
    WaitingCall,
    allow,
)
from bulkfetch.control.calls import CREDITS, Kind

# After so long all is over that was under way unknown to anybody, its lease apart; in seconds.
QUIET_S = REFILL_S + GRACE_S
# No lease and no pause is longer than this, in seconds: what looks so is of a wrong clock.
FAR_AHEAD_S = 3600.0
# How long after the moment it announced a waiting process is believed, in seconds.
_SLACK_S = 2.0


class ChangeTime(NamedTuple):
    """When a ledger makes a change: `now` for minutes and places, `wall` for days, in seconds.

    `asked` is what the ledger's own clock, which measures ages, read before it had the usage.
    """

    now: float
    wall: float
    asked: float

    def of(self, reading: float) -> float:
        """Return what `now` was when the ledger's own clock read so; rather later, never earlier.

        What passed until the usage was had counts as nothing.
        """
        return min(self.now - (self.asked - reading), self.now)


class Settled(NamedTuple):
    """How a call ended. `remaining` is what the service said with its answer.

    `unused`: nothing was sent. `refused`: a 429, the account pauses for `pause_s`. `lost`: it may
    still be counted a little later.
    """

    end: str
    pause_s: float = 0.0
    remaining: int | None = None


class Caller(NamedTuple):
    """Who asks: its number, which nobody else has, its figures, and how long its calls may take.

    `generation` is that of the turn of a fleet for which it asks, None where it does not matter.
    """

    owner: int
    limits: ControlLimits
    lease_s: float
    generation: int | None = None


@dataclass(slots=True)
class AccountUsage(Usage):
    """The usage of one account, with its changes.

    `hold_s`: nothing that has begun counts for longer. `generation` is that of the fleet's newest
    turn, 0 where there was none; it is written elsewhere.
    """

    hold_s: float = FAR_AHEAD_S
    generation: int = 0

    def copy(self) -> AccountUsage:
        """Return the same usage, which later changes of this one leave as it is."""
        calls, waiting, spent = self.calls.copy(), self.waiting.copy(), self.spent.copy()
        return replace(self, calls=calls, waiting=waiting, spent=spent)

    def take(
        self, caller: Caller, number: int, kind: Kind, since: float, time: ChangeTime
    ) -> Allowance:
        """Begin a call where it may leave now, with its lease; else note that the caller waits.

        `since` is when the caller began to wait, by its ledger's clock. Whoever asks for a number
        again has not sent its call, whatever came of the first time.
        """
        self.hold_s = max(self.hold_s, caller.lease_s + QUIET_S)
        self._prune(time)
        self.withdraw(caller.owner, number, kind)
        if caller.generation not in (None, self.generation):
            return Allowance(math.inf, "superseded")
        me = Asking(time.of(since), caller.owner, kind)
        allowance = allow(me, caller.limits, self, time.now, time.wall)
        if allowance.for_s:
            until = time.now + allowance.for_s + _SLACK_S
            self.waiting[me.owner, kind] = WaitingCall(me.since, until)
        else:
            span = _span(time.wall)
            ends_at = time.now + caller.lease_s
            self.calls[number] = CountedCall(kind, ends_at, me.owner, False, span)
            self._spend(span, CREDITS[kind])
        return allowance

    def withdraw(self, owner: int, number: int, kind: Kind) -> None:
        """Forget a call that was not sent, and that it waits."""
        self.waiting.pop((owner, kind), None)
        self._take_back(number)

    def settle(
        self, owner: int, number: int, kind: Kind, settled: Settled, ended: float, time: ChangeTime
    ) -> None:
        """Write how a call ended, and when by its ledger's clock."""
        if settled.end == "unused":
            self._take_back(number)
            return
        at = time.of(ended)
        wall = time.wall - (time.now - at)
        call = self.calls.get(number)
        if call is None:  # forgotten, since its lease was over long ago
            call = CountedCall(kind, at, owner, True, _span(wall))
        elif settled.end == "refused" and not call.settled:
            self._spend(call.span, -CREDITS[kind])
        grace_s = GRACE_S if settled.end == "lost" else 0.0
        self.calls[number] = call._replace(at=at + grace_s, settled=True)
        if settled.end == "refused":
            self.paused_until = max(self.paused_until, at + settled.pause_s)
        # An answer that does not say comes while more than half are left; a 429 may not say either.
        if settled.remaining is not None or settled.end == "answered":
            self._remain(settled.remaining, wall, time.wall)

    def credits_spent(self, time: ChangeTime) -> None:
        """Write that the service has shown that no credits remain."""
        self._remain(0, time.wall, time.wall)

    def _remain(self, remaining: int | None, said_at: float, wall: float) -> None:
        """Write what the service said of the credits that remain, unless it has said so since."""
        if self.remaining_at <= said_at or self.remaining_at > wall + SPAN_S:  # a clock was ahead
            self.remaining, self.remaining_at = remaining, said_at

    def _take_back(self, number: int) -> None:
        """Forget a call that was not sent, and what it would have cost."""
        call = self.calls.get(number)
        if call is not None and not call.settled:
            del self.calls[number]
            self._spend(call.span, -CREDITS[call.kind])

    def _spend(self, span: float, credits: int) -> None:
        self.spent[span] = max(0, self.spent.get(span, 0) + credits)

    def _prune(self, time: ChangeTime) -> None:
        """Forget what counts no more; bring back what is further ahead than it can be.

        That is of a clock which has gone back, or of a file that somebody has written in.
        """
        now, wall = time.now, time.wall
        for number, call in list(self.calls.items()):
            latest = now + (GRACE_S if call.settled else self.hold_s)
            if call.at <= now - REFILL_S:
                del self.calls[number]
            elif call.at > latest:
                self.calls[number] = call._replace(at=latest)
        for key, waiting in list(self.waiting.items()):
            if waiting.since > now or not now <= waiting.until <= now + FAR_AHEAD_S:
                del self.waiting[key]
        for start, credits in list(self.spent.items()):
            if start + SPAN_S + DAY_S <= wall:
                del self.spent[start]
            elif start > wall + SPAN_S:  # spent by a clock that was ahead
                del self.spent[start]
                self._spend(_span(wall), credits)
        if self.paused_until > now + FAR_AHEAD_S + REFILL_S:
            self.paused_until = now
        self.closed_until = min(self.closed_until, now + self.hold_s)


def _span(wall: float) -> float:
    return wall // SPAN_S * SPAN_S

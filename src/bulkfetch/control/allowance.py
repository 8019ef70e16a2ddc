"""Whether a control call may leave now, from what all processes have done. Values in, values out.

Three things bound a call. **Places**: so many calls are under way at once, whatever their kind.
**Minutes**: so many creates, and so many polls, reach the server in any 60 s; as in the window a
call counts from before it leaves until a minute after its answer, so that no delay can crowd them.
**Credits**: so many are spent in any 24 hours, and creates stop where the service says that few
remain. What passes within minutes is waited for; credits are not, and their end is told.

Times of places and minutes are seconds since boot, which nobody can set, or those of the database
that several hosts share. Days are of wall time, since they outlast a boot; a clock that is set
makes a day longer or shorter, and no minute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Literal, NamedTuple

from bulkfetch.control.calls import CREDITS, Kind

# A call is out of a minute's count so long after its answer; `GRACE_S` later where none came.
REFILL_S = 61.0
GRACE_S = 5.0
DAY_S = 86_400.0
# What was spent is kept by spans of this length; one goes when all of it is a day old.
SPAN_S = 300.0
# So long is believed what the service last said of the credits that remain. Once half are used it
# says so with every answer; where nothing is asked any more, the next call finds out.
BELIEF_S = 1800.0
# How soon to look again where it is another process's turn, or one may give its place back.
TURN_S = 0.1
LOOK_S = 0.5
# 429s of a control call and of a result within this time are for what both share: the credits.
TOGETHER_S = 60.0

Why = Literal[
    "", "turn", "place", "minute", "closed", "pause", "ceiling", "reserve", "spent", "superseded"
]


@dataclass(frozen=True, slots=True)
class ControlLimits:
    """The figures of [account.control]; `credits_per_day` None: no ceiling of our own."""

    concurrency: int = 2
    creates_per_minute: int = 5
    polls_per_minute: int = 30
    credits_per_day: int | None = None
    credits_reserve: int = 2_000

    def per_minute(self, kind: str) -> int | None:
        """Return how many calls of a kind may reach the server in a minute; None: any number."""
        return {"create": self.creates_per_minute, "status": self.polls_per_minute}.get(kind)

    def pace(self, kind: str) -> str:
        """Return the setting of a kind's minute with its figure; "" where any number may leave."""
        setting = {"create": "creates_per_minute", "status": "polls_per_minute"}.get(kind)
        return f"{setting} ({self.per_minute(kind)})" if setting else ""


class CountedCall(NamedTuple):
    """A call of the client `owner`; `span` is the beginning of the span that has its credits.

    `at` is when the server had counted it at the latest: once it is settled the time of its answer,
    until then the end of its lease.
    """

    kind: Kind
    at: float
    owner: int
    settled: bool
    span: float


class WaitingCall(NamedTuple):
    """Since when a client waits with its next call of a kind, and until when that is believed."""

    since: float
    until: float


@dataclass(slots=True)
class Usage:
    """What all processes have used of an account's budget, as far as is known.

    `calls` are by number, those that wait by owner and kind, the credits `spent` by the beginning
    of their span of wall time. Nothing leaves before `paused_until`, which a 429 has asked for, and
    `closed_until`, since earlier calls are not known. `remaining` is what the service said of the
    day's credits at `remaining_at`.
    """

    calls: dict[int, CountedCall] = field(default_factory=dict)
    waiting: dict[tuple[int, Kind], WaitingCall] = field(default_factory=dict)
    spent: dict[float, int] = field(default_factory=dict)
    paused_until: float = 0.0
    remaining: int | None = None
    remaining_at: float = 0.0
    closed_until: float = 0.0


class Asking(NamedTuple):
    """A client that asks for a call of a kind, and since when; earlier ones come first."""

    since: float
    owner: int
    kind: Kind


class Allowance(NamedTuple):
    """How long a call must not leave, 0 for not at all, and why."""

    for_s: float = 0.0
    why: Why = ""


def allow(me: Asking, limits: ControlLimits, usage: Usage, now: float, wall: float) -> Allowance:
    """Return whether a call may leave now."""
    for allowance in (
        _credits(me.kind, limits, usage, wall),
        Allowance(max(0.0, usage.closed_until - now), "closed"),
        Allowance(max(0.0, usage.paused_until - now), "pause"),
        _minute(me, limits, usage, now),
        _place(me, limits, usage, now),
    ):
        if allowance.for_s > 0:
            return allowance
    return Allowance()


def credits_exhausted(control_429_at: float | None, window_429_at: float | None) -> bool:
    """Return whether two 429s, of a control call and of a result, mean that credits are spent.

    Each keeps to a pace of its own, so both refused within a minute are refused for what they
    share. Times are of one clock; None: there was none.
    """
    if control_429_at is None or window_429_at is None:
        return False
    return abs(control_429_at - window_429_at) <= TOGETHER_S


def spent_in_day(spent: Mapping[float, int], wall: float) -> int:
    """Return the credits spent in the last 24 hours, those of a clock that was ahead included."""
    return sum(credits for start, credits in spent.items() if start + SPAN_S + DAY_S > wall)


def _credits(kind: Kind, limits: ControlLimits, usage: Usage, wall: float) -> Allowance:
    told_s = usage.remaining_at + BELIEF_S - wall
    # A time to come is of a clock that was ahead.
    if usage.remaining is not None and 0 < told_s <= BELIEF_S:
        if usage.remaining <= 0:
            return Allowance(told_s, "spent")
        if kind == "create" and usage.remaining < limits.credits_reserve:
            return Allowance(told_s, "reserve")
    # What has been created is asked for all the same: else its 50 credits were for nothing.
    if limits.credits_per_day is None or kind == "status":
        return Allowance()
    too_many = spent_in_day(usage.spent, wall) + CREDITS[kind] - limits.credits_per_day
    if too_many <= 0:
        return Allowance()
    for start, credits in sorted(usage.spent.items()):
        back_s = min(start + SPAN_S + DAY_S - wall, DAY_S + SPAN_S)
        if back_s > 0:
            too_many -= credits
            if too_many <= 0:
                return Allowance(back_s, "ceiling")
    return Allowance(DAY_S, "ceiling")  # less than one call takes


def _minute(me: Asking, limits: ControlLimits, usage: Usage, now: float) -> Allowance:
    if wait_s := _full_for_s(me.kind, limits, usage, now):
        return Allowance(wait_s, "minute")
    if (limit := limits.per_minute(me.kind)) is None:
        return Allowance()
    first = [other for other in _before(me, usage) if other.kind == me.kind]
    room = limit - len(_counting(me.kind, usage, now))
    return Allowance() if room > len(first) else Allowance(TURN_S, "turn")


def _place(me: Asking, limits: ControlLimits, usage: Usage, now: float) -> Allowance:
    under_way = [call for call in usage.calls.values() if not call.settled and call.at > now]
    free = limits.concurrency - len(under_way)
    if free <= 0:
        return Allowance(LOOK_S, "place")
    # Whoever waits for a minute or for credits keeps nobody from a place.
    able = [
        other for other in _before(me, usage) if not _full_for_s(other.kind, limits, usage, now)
    ]
    return Allowance() if free > len(able) else Allowance(TURN_S, "turn")


def _before(me: Asking, usage: Usage) -> list[Asking]:
    """Return the other clients' calls that come before mine."""
    waiting = (Asking(one.since, owner, kind) for (owner, kind), one in usage.waiting.items())
    return [other for other in waiting if other < me and other.owner != me.owner]


def _counting(kind: Kind, usage: Usage, now: float) -> list[CountedCall]:
    """Return the calls of a kind that count in its minute, the oldest first."""
    since = now - REFILL_S
    found = [call for call in usage.calls.values() if call.kind == kind and call.at > since]
    return sorted(found, key=attrgetter("at"))


def _full_for_s(kind: Kind, limits: ControlLimits, usage: Usage, now: float) -> float:
    """Return how long the minute of a kind has no room, as far as is known now; 0 if it has."""
    limit, counting = limits.per_minute(kind), _counting(kind, usage, now)
    if limit is None or len(counting) < limit:
        return 0.0
    wait_s = max(0.0, counting[-limit].at + REFILL_S - now)
    # One under way may end sooner than its lease, or come to nothing.
    return wait_s if all(call.settled for call in counting) else min(wait_s, LOOK_S)

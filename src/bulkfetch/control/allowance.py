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

import math
from collections.abc import Sequence
from dataclasses import dataclass
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
# A 429 of both doors within this time is not for the pace of either: the credits are spent.
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
    """A call. `at`: when the server had counted it at the latest, of one under way by its lease."""

    kind: str
    at: float
    settled: bool


class InLine(NamedTuple):
    """A process whose next call of a kind waits, and since when."""

    since: float
    owner: int
    kind: str


class Span(NamedTuple):
    """What was spent in a span of wall time that began at `start`."""

    start: float
    credits: int


class Books(NamedTuple):
    """What is known of an account. `remaining` is what the service said at `remaining_at`.

    `closed_until` is when all is known again that still counts.
    """

    calls: Sequence[CountedCall] = ()
    others: Sequence[InLine] = ()
    paused_until: float = -math.inf
    remaining: int | None = None
    remaining_at: float = -math.inf
    spent: Sequence[Span] = ()
    closed_until: float = -math.inf


class Allowance(NamedTuple):
    """How long a call must not leave, 0 for not at all, and why."""

    for_s: float = 0.0
    why: Why = ""


def allow(
    kind: Kind, limits: ControlLimits, books: Books, me: InLine, now: float, wall: float
) -> Allowance:
    """Return whether a call, in line as `me`, may leave now."""
    for allowance in (
        _credits(kind, limits, books, wall),
        Allowance(max(0.0, books.closed_until - now), "closed"),
        Allowance(max(0.0, books.paused_until - now), "pause"),
        _minute(kind, limits, books, me, now),
        _place(limits, books, me, now),
    ):
        if allowance.for_s > 0:
            return allowance
    return Allowance()


def credits_exhausted(control_429_at: float | None, window_429_at: float | None) -> bool:
    """Return whether two 429s, of a control call and of a result, mean that credits are spent.

    Each door keeps to its own pace, so both refused within a minute are refused for what they
    share. Times are of one clock; None: there was none.
    """
    if control_429_at is None or window_429_at is None:
        return False
    return abs(control_429_at - window_429_at) <= TOGETHER_S


def spent_in_day(spans: Sequence[Span], wall: float) -> int:
    """Return the credits spent in the last 24 hours, those of a clock that was ahead included."""
    return sum(span.credits for span in spans if span.start + SPAN_S + DAY_S > wall)


def _credits(kind: Kind, limits: ControlLimits, books: Books, wall: float) -> Allowance:
    told_s = books.remaining_at + BELIEF_S - wall
    # A time to come is of a clock that was ahead.
    if books.remaining is not None and 0 < told_s <= BELIEF_S:
        if books.remaining <= 0:
            return Allowance(told_s, "spent")
        if kind == "create" and books.remaining < limits.credits_reserve:
            return Allowance(told_s, "reserve")
    # What has been created is asked for all the same: else its 50 credits were for nothing.
    if limits.credits_per_day is None or kind == "status":
        return Allowance()
    too_many = spent_in_day(books.spent, wall) + CREDITS[kind] - limits.credits_per_day
    if too_many <= 0:
        return Allowance()
    for span in sorted(books.spent):
        back_s = min(span.start + SPAN_S + DAY_S - wall, DAY_S + SPAN_S)
        if back_s > 0:
            too_many -= span.credits
            if too_many <= 0:
                return Allowance(back_s, "ceiling")
    return Allowance(DAY_S, "ceiling")  # less than one call takes


def _minute(kind: str, limits: ControlLimits, books: Books, me: InLine, now: float) -> Allowance:
    wait_s = _full_for_s(kind, limits, books, now)
    if wait_s > 0:
        return Allowance(wait_s, "minute")
    room, others = _room(kind, limits, books, now), _before(me, books)
    if room <= sum(other.kind == kind for other in others):
        return Allowance(TURN_S, "turn")
    return Allowance()


def _full_for_s(kind: str, limits: ControlLimits, books: Books, now: float) -> float:
    """Return how long the minute of a kind has no room, as far as is known now."""
    limit = limits.per_minute(kind)
    counting = sorted(
        (call for call in books.calls if call.kind == kind and call.at > now - REFILL_S),
        key=lambda call: -call.at,
    )
    if limit is None or len(counting) < limit:
        return 0.0
    wait_s = counting[limit - 1].at + REFILL_S - now
    # One under way may end sooner than its lease, or come to nothing.
    return wait_s if all(call.settled for call in counting) else min(wait_s, LOOK_S)


def _room(kind: str, limits: ControlLimits, books: Books, now: float) -> float:
    limit = limits.per_minute(kind)
    if limit is None:
        return math.inf
    return limit - sum(call.kind == kind and call.at > now - REFILL_S for call in books.calls)


def _before(me: InLine, books: Books) -> list[InLine]:
    return [other for other in books.others if other < me and other.owner != me.owner]


def _place(limits: ControlLimits, books: Books, me: InLine, now: float) -> Allowance:
    free = limits.concurrency - sum(not call.settled and call.at > now for call in books.calls)
    if free <= 0:
        return Allowance(LOOK_S, "place")
    # Whoever waits for a minute or for credits keeps nobody from a place.
    able = [
        other for other in _before(me, books) if not _full_for_s(other.kind, limits, books, now)
    ]
    return Allowance() if free > len(able) else Allowance(TURN_S, "turn")

"""Whether a call may leave, as a function of what is known: no clock, no file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkfetch.control.allowance import (
    BELIEF_S,
    DAY_S,
    REFILL_S,
    SPAN_S,
    Asking,
    ControlLimits,
    CountedCall,
    Usage,
    WaitingCall,
    allow,
    credits_exhausted,
    spent_in_day,
)
from bulkfetch.control.calls import CREDITS, Kind

LIMITS = ControlLimits(concurrency=2, creates_per_minute=3, polls_per_minute=5)
KINDS: list[Kind] = ["create", "status", "read", "deleted"]
NOW, WALL = 10_000.0, 1_800_000_000.0


def me(kind: Kind = "create") -> Asking:
    return Asking(NOW, 7, kind)


def done(kind: Kind, ago_s: float) -> CountedCall:
    return CountedCall(kind, NOW - ago_s, 1, True, WALL)


def under_way(kind: Kind) -> CountedCall:
    return CountedCall(kind, NOW + 300, 1, False, WALL)


def dead(kind: Kind) -> CountedCall:
    return CountedCall(kind, NOW - 1, 1, False, WALL)


def used(calls: Sequence[CountedCall], *others: Asking) -> Usage:
    """Return a usage of these calls, for which these others wait."""
    waiting = {(one.owner, one.kind): WaitingCall(one.since, math.inf) for one in others}
    return Usage(dict(enumerate(calls)), waiting)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(KINDS),
            st.floats(0, 20),  # since the one before
            st.floats(0.01, 40),  # until its answer
            st.floats(0, 1),  # when the server counts it, between the two
        ),
        max_size=60,
    ),
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(1, 9),
)
def test_no_minute_and_no_moment_is_ever_crowded(
    wishes: list[tuple[Kind, float, float, float]], places: int, creates: int, polls: int
) -> None:
    """Whatever comes when and takes how long: what the server counts keeps to every figure."""
    limits = ControlLimits(places, creates, polls)
    ends: list[tuple[Kind, float, float, float]] = []  # kind, began, counted, ended
    now = NOW
    for kind, after_s, takes_s, share in wishes:
        now += after_s
        while True:
            usage = used(
                [
                    CountedCall(kind_, end if end <= now else began + 300, 1, end <= now, WALL)
                    for kind_, began, _, end in ends
                    if began <= now
                ]
            )
            for_s = allow(Asking(now, 1, kind), limits, usage, now, WALL).for_s
            if not for_s:
                break
            now += for_s
        ends.append((kind, now, now + share * takes_s, now + takes_s))
    for kind, most in (("create", creates), ("status", polls)):
        counted = sorted(at for kind_, _, at, _ in ends if kind_ == kind)
        gaps = zip(counted, counted[most:], strict=False)
        assert all(later - earlier >= 60 for earlier, later in gaps)
    for _, began, _, _ in ends:
        assert sum(b <= began < e for _, b, _, e in ends) <= places


def test_each_bound_is_told_by_its_name() -> None:
    """A minute that is full, places that are taken, a pause, another one's turn."""
    full = used([done("create", 1), done("create", 20), done("create", 60.5)])
    minute = allow(me(), LIMITS, full, NOW, WALL)
    assert minute.why == "minute"
    assert minute.for_s == pytest.approx(0.5)
    assert allow(me("status"), LIMITS, full, NOW, WALL).for_s == 0
    taken = used([under_way("read"), under_way("status")])
    assert allow(me(), LIMITS, taken, NOW, WALL).why == "place"
    paused = Usage(paused_until=NOW + 9)
    assert allow(me("status"), LIMITS, paused, NOW, WALL) == (9, "pause")
    before = used([under_way("read")], Asking(NOW - 1, 8, "status"))
    assert allow(me(), LIMITS, before, NOW, WALL).why == "turn"
    after = used([under_way("read")], Asking(NOW + 1, 8, "status"))
    assert allow(me(), LIMITS, after, NOW, WALL).for_s == 0


def test_who_waits_for_a_minute_keeps_no_place() -> None:
    """A create that cannot leave yet does not hold up the polls behind it."""
    full = [done("create", 1)] * 3
    usage = used([*full, under_way("read")], Asking(NOW - 9, 8, "create"))
    assert allow(me("status"), LIMITS, usage, NOW, WALL).for_s == 0


def test_a_call_of_a_dead_process_gives_its_place_back() -> None:
    """Once its lease is over it fills no place any more; its minute begins there."""
    over = used([dead("create"), dead("status")])
    assert allow(me("read"), LIMITS, over, NOW, WALL).for_s == 0
    three = used([dead("create")] * 3)
    assert 0 < allow(me(), LIMITS, three, NOW, WALL).for_s <= REFILL_S - 1


# --- credits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_leaves_while_no_credits_remain(kind: Kind) -> None:
    """As long as that is believed; then one call finds out."""
    usage = Usage(remaining=0, remaining_at=WALL)
    assert allow(me(kind), LIMITS, usage, NOW, WALL) == (BELIEF_S, "spent")
    later = WALL + BELIEF_S - 1
    assert allow(me(kind), LIMITS, usage, NOW, later) == (1, "spent")
    assert allow(me(kind), LIMITS, usage, NOW, WALL + BELIEF_S).for_s == 0


def test_the_reserve_is_for_creates_alone() -> None:
    """While fewer remain than it, nothing is created; at it, and without it, is."""
    few = Usage(remaining=1_999, remaining_at=WALL)
    assert allow(me(), LIMITS, few, NOW, WALL).why == "reserve"
    assert allow(me("status"), LIMITS, few, NOW, WALL).for_s == 0
    enough = replace(few, remaining=2_000)
    assert allow(me(), LIMITS, enough, NOW, WALL).for_s == 0
    none = ControlLimits(credits_reserve=0)
    assert allow(me(), none, replace(few, remaining=1), NOW, WALL).for_s == 0


def test_what_a_clock_that_was_ahead_has_seen_is_not_believed() -> None:
    """Else a clock set back by a year would bar creates for a year."""
    ahead = Usage(remaining=0, remaining_at=WALL + 1e7)
    assert allow(me(), LIMITS, ahead, NOW, WALL).for_s == 0


def test_at_the_ceiling_nothing_new_begins() -> None:
    """It says when enough is a day old; what was created before is still asked for."""
    limits = ControlLimits(credits_per_day=120)
    usage = Usage(spent={WALL - 3000: 50, WALL - 600: 25})
    found = allow(me(), limits, usage, NOW, WALL)
    assert found == (DAY_S + SPAN_S - 3000, "ceiling")
    assert allow(me("status"), limits, usage, NOW, WALL).for_s == 0
    assert allow(me("read"), limits, usage, NOW, WALL).for_s == 0
    assert allow(me(), limits, usage, NOW, WALL + found.for_s).for_s == 0
    tiny = ControlLimits(credits_per_day=40)
    assert allow(me(), tiny, Usage(), NOW, WALL) == (DAY_S, "ceiling")


@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.floats(0, 20_000)), max_size=200),
    st.integers(50, 600),
)
def test_no_day_sees_more_than_the_ceiling(wishes: list[tuple[Kind, float]], ceiling: int) -> None:
    """In any 24 hours creates, metadata and deletions spend no more than was allowed."""
    limits = ControlLimits(credits_per_day=ceiling)
    spent: list[tuple[float, int]] = []
    now = WALL
    for kind, after_s in wishes:
        now += after_s
        spans = Counter[float]()
        for at, credits in spent:
            spans[at // SPAN_S * SPAN_S] += credits
        found = allow(me(kind), limits, Usage(spent=spans), NOW, now)
        if kind != "status" and not found.for_s:
            spent.append((now, CREDITS[kind]))
        if found.why == "ceiling":
            gone = allow(me(kind), limits, Usage(spent=spans), NOW, now + found.for_s)
            assert not gone.for_s
    for start, _ in spent:
        assert sum(credits for at, credits in spent if start <= at < start + DAY_S) <= ceiling


def test_what_was_spent_is_forgotten_after_a_day() -> None:
    """Not before; and what a clock has stamped in the future counts."""
    spans = {WALL: 5, WALL + 1e6: 7}
    assert spent_in_day(spans, WALL + DAY_S) == 12
    assert spent_in_day(spans, WALL + DAY_S + SPAN_S) == 7


@pytest.mark.parametrize(
    ("control", "window", "spent"),
    [
        (None, None, False),
        (5.0, None, False),
        (None, 5.0, False),
        (5.0, 65.0, True),
        (65.0, 5.0, True),
        (5.0, 65.1, False),
        (-math.inf, 5.0, False),
    ],
)
def test_two_429s_within_a_minute_mean_credits(
    control: float | None, window: float | None, spent: bool
) -> None:
    """In either order, and only then."""
    assert credits_exhausted(control, window) is spent

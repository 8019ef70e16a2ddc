"""When pages are asked for."""

from __future__ import annotations

import pytest
from benchmarks.polling import NIGHTS, WAYS, play, table

from bulkfetch.exports.polling import (
    LONGEST_S,
    PLENTY,
    REMEMBERED,
    PollTimer,
    PreparationTimes,
    due,
    next_due_at,
)

EVEN = 0.5  # the chance that changes no time


def steps(timer: PollTimer, count: int) -> list[float]:
    """Return the waits before so many questions, each asked when it was due."""
    found, last = [], timer.created_at
    for _ in range(count):
        found.append(round(timer.next_at - last, 6))
        last = timer.next_at
        timer = timer.asked(last, EVEN)
    return found


def test_an_unknown_module_is_asked_for_soon_and_then_ever_more_seldom() -> None:
    """The first question comes after 2 s, each wait is half as long again, up to a minute."""
    assert steps(PollTimer.start(100.0, None, EVEN, now=100.0), 5) == [2.0, 3.0, 4.5, 6.75, 10.125]
    assert steps(PollTimer.start(100.0, None, EVEN, now=100.0), 20)[-1] == LONGEST_S


def test_a_known_module_is_asked_for_around_its_median() -> None:
    """The first question comes at 0.8 of the median, the second at it, then growing waits."""
    assert steps(PollTimer.start(0.0, 100.0, EVEN, now=0.0), 4) == [80.0, 20.0, 30.0, 45.0]
    assert steps(PollTimer.start(0.0, 1000.0, EVEN, now=0.0), 3) == [800.0, 60.0, 60.0]
    assert steps(PollTimer.start(0.0, 1.0, EVEN, now=0.0), 3) == [0.8, 2.0, 3.0]


@pytest.mark.parametrize(("chance", "factor"), [(0.0, 0.9), (1.0, 1.1)])
def test_chance_moves_a_question_by_a_tenth(chance: float, factor: float) -> None:
    """Waits are a tenth shorter or longer, so that many pages are not asked for at once."""
    timer = PollTimer.start(10.0, 50.0, chance, now=10.0)
    assert timer.next_at == pytest.approx(10 + factor * 40)
    assert timer.asked(60.0, chance).next_at == pytest.approx(60 + factor * 10)


def test_a_page_of_an_earlier_run_is_asked_for_at_once() -> None:
    """What was created long ago is due, and its waits are as if it had been asked for since."""
    for age_s, wait_s in ((90.0, 30.0), (5_000.0, LONGEST_S)):
        timer = PollTimer.start(0.0, 60.0, EVEN, now=age_s)
        assert due({"old": timer}, ready=0, now=age_s) == ["old"]
        assert timer.asked(age_s, EVEN).next_at == age_s + wait_s


def test_the_oldest_page_is_asked_for_first() -> None:
    """Of the pages that are due, the one created first leads, whichever was due first."""
    timers = {
        "young": PollTimer(20.0, 21.0, 3.0),
        "old": PollTimer(0.0, 25.0, 3.0),
        "later": PollTimer(5.0, 31.0, 3.0),
    }
    assert due(timers, ready=0, now=30.0) == ["old", "young"]
    assert next_due_at(timers, ready=0) == 21.0
    assert next_due_at({}, ready=0) is None


def test_nobody_asks_while_plenty_wait_for_slots_but_chains_that_must_go_on() -> None:
    """With 20 prepared results, only pages that must go on are asked for; with 19, all."""
    timers = {
        "rests": PollTimer(0.0, 1.0, 3.0),
        "goes on": PollTimer(5.0, 6.0, 3.0, must_go_on=True),
    }
    assert due(timers, ready=PLENTY - 1, now=9.0) == ["rests", "goes on"]
    assert due(timers, ready=PLENTY, now=9.0) == ["goes on"]
    assert next_due_at(timers, ready=PLENTY) == 6.0
    assert next_due_at({"rests": timers["rests"]}, ready=PLENTY) is None


def test_the_last_few_pages_are_remembered() -> None:
    """The median is that of the last nine; a clock that was set back counts as no time."""
    times = PreparationTimes()
    assert times.median_s is None
    for took_s in range(100):
        times = times.after(float(took_s))
    assert len(times.seconds) == REMEMBERED
    assert times.median_s == 95.0
    assert PreparationTimes(times.seconds[:1]).median_s == 91.0
    assert PreparationTimes().after(-5.0).median_s == 0.0


@pytest.mark.parametrize("median_s", [10.0, 60.0, 300.0])
def test_ours_asks_less_than_fixed_intervals_and_is_less_late_than_doubling(
    median_s: float,
) -> None:
    """In the model: fewer questions than every 5 s, at most half the delay of doubling."""
    ours, fixed, doubling = (play(way, median_s) for way in WAYS.values())
    assert ours.polls < fixed.polls
    assert ours.polls < doubling.polls
    assert ours.delay_s < doubling.delay_s / 2
    assert ours.polls < 3.5


def test_the_model_says_the_same_everywhere() -> None:
    """Two calls print one table, with all three ways."""
    assert table(nights=2) == table(nights=2)
    assert all(name in table(nights=2) for name in WAYS)
    assert NIGHTS > 2

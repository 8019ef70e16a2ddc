from hypothesis import given
from hypothesis import strategies as st

from bulkfetch.observe.eta import Pace, end_left_s, start_s, starts_within, time_left_s


def test_schedule() -> None:
    """The eleventh request leaves one period after the first, the twenty-first two."""
    assert [start_s(n, 10, 61.0) for n in (0, 9, 10, 19, 20)] == [0, 0, 61, 61, 122]


def test_nothing_left() -> None:
    """With nothing to start nothing is left, whatever the window."""
    assert time_left_s(0, 5, 10.0, []) == 0.0


def test_no_window_yet() -> None:
    """Before there is a window nothing can be said."""
    assert time_left_s(5, 0, 0.0, []) is None


def test_window_binds() -> None:
    """With no slot free, what is left waits for the next slot and full periods after it."""
    pace = Pace(requests=10, free=0, next_free_s=43.0, period_s=61.0)
    assert time_left_s(10, 10, 18.0, [pace]) == 43.0
    assert time_left_s(15, 10, 18.0, [pace]) == 43.0 + 61.0


def test_pace_binds() -> None:
    """With slots free and jobs waiting, the run itself is what is waited for."""
    pace = Pace(requests=1000, free=500, next_free_s=0.0, period_s=61.0)
    assert time_left_s(900, 100, 10.0, [pace]) == 90.0


def test_accounts_side_by_side() -> None:
    """Accounts work at the same time: two take half as long as one."""
    pace = Pace(requests=10, free=0, next_free_s=1.0, period_s=60.0)
    assert time_left_s(40, 0, 1.0, [pace]) == 181.0
    assert time_left_s(40, 0, 1.0, [pace, pace]) == 61.0


@given(st.integers(0, 10_000), st.integers(1, 50), st.integers(0, 50))
def test_more_jobs_take_no_less(to_start: int, requests: int, free: int) -> None:
    """One more job never shortens the schedule."""
    pace = Pace(requests, min(free, requests), 1.0, 61.0)
    less, more = (time_left_s(count, 0, 1.0, [pace]) for count in (to_start, to_start + 1))
    assert less is not None
    assert more is not None
    assert 0 <= less <= more


def test_until_the_last_file() -> None:
    """What is left ends with the last file, not with its request: the usual time is added."""
    assert end_left_s(5, 43.0, 7.0, 2.0) == 50.0
    assert end_left_s(5, None, 7.0, 2.0) is None


def test_after_the_last_start() -> None:
    """With nothing more to start, what is left of the usual time is left, and never less than 0."""
    assert end_left_s(0, 0.0, 7.0, 2.0) == 5.0
    assert end_left_s(0, 0.0, 7.0, 30.0) == 0.0
    assert end_left_s(0, None, 7.0, 2.0) == 5.0


def test_starts_within_a_day() -> None:
    """Ten at once and ten with every period begun; the one at the very end still counts."""
    assert starts_within(86_400.0, 10, 61.0) == 14_170
    assert starts_within(86_400.0, 10, 60.0) == 14_410
    assert starts_within(60.9, 10, 61.0) == 10
    assert starts_within(61.0, 10, 61.0) == 20

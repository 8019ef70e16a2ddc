from hypothesis import given
from hypothesis import strategies as st

from bulkfetch.observe.outlook import Pace, start_s, time_left_s


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

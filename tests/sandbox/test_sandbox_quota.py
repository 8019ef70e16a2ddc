"""The server's side of the limit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bulkfetch.sandbox import SandboxOptions
from bulkfetch.sandbox.quota import Quota, worst_in

GAPS = st.lists(st.floats(0, 30, allow_nan=False), max_size=60)


def admitted(quota: Quota, times: list[float]) -> list[float]:
    """Return those of `times` at which a request was admitted."""
    return [now for now in times if quota.arrive(now).admitted]


def test_ten_are_admitted_and_the_eleventh_locks_everybody_out_for_a_minute() -> None:
    """Ten at once pass; the eleventh and all in the minute after it are refused; then ten pass."""
    quota = Quota(SandboxOptions())
    assert len(admitted(quota, [0.0] * 10)) == 10
    refused = quota.arrive(59.9)
    assert not refused.admitted
    assert refused.wait_s == 60.0
    assert admitted(quota, [60.1, 119.8]) == []
    assert admitted(quota, [119.9] * 12) == [119.9] * 10


def test_without_a_lock_out_only_the_surplus_is_refused() -> None:
    """lockout_s=0: a request is admitted as soon as the oldest is a period old."""
    quota = Quota(SandboxOptions(requests=2, lockout_s=0))
    assert admitted(quota, [0.0, 10.0, 59.9, 60.0, 69.9, 70.0]) == [0.0, 10.0, 60.0, 70.0]


def test_a_refused_request_can_begin_the_lock_out_anew() -> None:
    """reject_prolongs: asking in the lock-out makes it longer, so that an eager client starves."""
    eager = [float(n) for n in range(0, 600, 30)]
    options = SandboxOptions(requests=1, reject_prolongs=True)
    assert admitted(Quota(options), eager) == [0.0]
    assert admitted(Quota(SandboxOptions(requests=1)), eager) == [0.0, 90.0, 180.0, 270.0, 360.0,
                                                                  450.0, 540.0]  # fmt: skip


def test_a_fixed_window_begins_anew_at_every_multiple_of_the_period() -> None:
    """Two at the end of one minute and two at the start of the next are all admitted."""
    quota = Quota(SandboxOptions(requests=2, window="fixed"))
    times = [58.0, 59.0, 60.0, 61.0]
    assert admitted(quota, times) == times
    assert quota.arrive(62.0).wait_s == 60.0


def test_a_server_of_whole_seconds_counts_both_ends() -> None:
    """A request 60.9 s after another is refused: both stamps are whole and the ends count."""
    options = SandboxOptions(requests=1, whole_seconds=True, lockout_s=0)
    assert admitted(Quota(options), [0.9, 60.9, 61.0]) == [0.9, 61.0]


@given(GAPS, st.integers(1, 5))
def test_a_rolling_window_never_admits_more_than_its_number(gaps: list[float], most: int) -> None:
    """Whatever arrives when, no interval of a period holds more than `requests` admitted."""
    times, now = [], 0.0
    for gap in gaps:
        now += gap
        times.append(now)
    quota = Quota(SandboxOptions(requests=most, lockout_s=0))
    assert worst_in(admitted(quota, times), 60.0) <= most


@given(st.lists(st.floats(0, 300, allow_nan=False), max_size=40))
def test_the_worst_interval_is_found(times: list[float]) -> None:
    """worst_in agrees with looking at the interval that begins with each stamp."""
    ordered = sorted(times)
    slow = max((sum(t <= u and u - t < 60.0 for u in ordered) for t in ordered), default=0)
    assert worst_in(times, 60.0) == slow

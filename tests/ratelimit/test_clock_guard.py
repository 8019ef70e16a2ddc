"""The guard against a database's clock that is set forward."""

from __future__ import annotations

import pytest

from bulkfetch.ratelimit.postgres.clock_guard import ClockGuard


def test_a_step_forward_is_seen_once() -> None:
    """The reply after the step tells it; from then on the new time counts."""
    guard = ClockGuard()
    assert guard.step_s(1000.0, 10.0, 10.1) == 0
    assert guard.step_s(1001.0, 11.0, 11.1) == 0
    assert guard.step_s(1062.0, 12.0, 12.1) == pytest.approx(59.9, abs=0.05)
    assert guard.step_s(1063.0, 13.0, 13.1) == 0


def test_a_slow_reply_hides_no_step_for_longer_than_itself() -> None:
    """What a reply of 4 s could hide the next quick one tells."""
    guard = ClockGuard()
    assert guard.step_s(1000.0, 10.0, 10.1) == 0
    assert guard.step_s(1008.0, 14.0, 18.0) == 0  # 1004 to 1008, were it right: 4 s are hidden
    assert guard.step_s(1012.9, 19.0, 19.1) == pytest.approx(3.8, abs=0.05)


def test_clocks_that_drift_or_go_back_are_no_step() -> None:
    """A tenth of a per mille for a day is no step forward, nor is an hour back."""
    guard = ClockGuard()
    for minute in range(1440):
        assert guard.step_s(5000 + 60.006 * minute, 60.0 * minute, 60.0 * minute + 0.01) == 0
    assert guard.step_s(5000 + 60.006 * 1440 - 3600, 86_400.0, 86_400.01) == 0
    assert guard.step_s(5000 + 60.006 * 1440, 86_400.1, 86_400.11) > 3599

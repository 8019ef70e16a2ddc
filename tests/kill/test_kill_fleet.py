"""Three runs of one account; the long form is `python -m tests.kill --fleet-s 300`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.kill_fleet import Fleet
from tests.support.kill_scene import OPTIONS, service

pytestmark = pytest.mark.slow


def test_three_runs_killed_and_started_again_keep_one_window(tmp_path: Path) -> None:
    """Whoever is killed and started again: at most ten in any window, no list is lost."""
    window = "requests = 10\nperiod_s = 0.3\nmargin_s = 0.02\n"
    options = replace(OPTIONS, period_s=0.3, lockout_s=0.3, latency_s=(0.0, 0.005))
    with (
        service(tmp_path, options) as server,
        Fleet(tmp_path, server, window, jobs=30, seed=3) as fleet,
    ):
        fleet.kill(3, (0.1, 0.8))
        figures = fleet.finish()
    assert figures.kills == 3

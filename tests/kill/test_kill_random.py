"""SIGKILL at any instant; the long form is `python -m tests.kill`."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.kill_harness import campaign
from tests.support.kill_scene import service

pytestmark = pytest.mark.slow


def test_nothing_is_lost_or_fetched_twice_whenever_a_run_is_killed(tmp_path: Path) -> None:
    """Runs killed at random: files whole, what was at home never asked again, ten in a window."""
    with service(tmp_path) as server:
        figures = campaign(tmp_path, server, kills=3, seed=1, jobs=(20, 30))
    assert figures.kills == 3

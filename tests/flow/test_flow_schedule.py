"""When requests leave in whole runs, seen at the server, on a virtual clock."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.flow_clock import run_flow
from tests.support.flows import ids, small, watch


@pytest.mark.parametrize("machine", [False, True], ids=["process", "machine"])
def test_25_jobs(tmp_path: Path, machine: bool) -> None:
    """25 jobs at the true ten a minute: ten at once, ten 61 s later, five at 122 s; no 429."""
    state_dir = tmp_path / "state" if machine else None
    seen = run_flow(watch(small(), ids(25), tmp_path / "out", state_dir=state_dir))
    assert seen.seconds() == [0.0] * 10 + [61.0] * 10 + [122.0] * 5
    assert {arrival.status for arrival in seen.arrivals} == {200}
    assert seen.worst == 10
    assert seen.report.done == 25
    assert seen.report.ok
    assert seen.report.requests == 25

"""A fleet on hosts of its own, whose lines fail: by hand, as root, for two minutes or an hour.

The hour: `BULKFETCH_LONG=1 BULKFETCH_LONG_S=3600 python -m pytest -s` and this file's name.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.fleet_net import NetChaos, disturb
from tests.support.net_hosts import missing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(0),
    pytest.mark.skipif("BULKFETCH_LONG" not in os.environ, reason="BULKFETCH_LONG=1 is not set"),
    pytest.mark.skipif(bool(missing()), reason=f"network namespaces need {missing()}"),
]
_DURATION_S = float(os.environ.get("BULKFETCH_LONG_S", "120"))
_SEED = int(os.environ.get("BULKFETCH_SEED", "0"))


def test_a_fleet_whose_hosts_lose_their_lines_loses_nothing(tmp_path: Path) -> None:
    """Nor overruns a window, nor asks twice but for what a disturbance has cost."""
    figures = disturb(NetChaos(_DURATION_S, seed=_SEED), tmp_path)
    print(figures)
    assert figures.repeats[""] == 0, figures

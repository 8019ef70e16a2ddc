"""Real sockets, a server in a thread of its own, real time on a scaled window."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from tests.support.flows import ids, settings_for, small

import bulkfetch.access
from bulkfetch import fetch
from bulkfetch.ratelimit import RateLimit, SlotLimiter, open_limiter
from bulkfetch.sandbox import FaultRule, SandboxThread

pytestmark = pytest.mark.slow

PERIOD_S = 0.5


async def open_scaled(settings: RateLimit, *arguments: Any, **more: Any) -> SlotLimiter:
    """Open a window whose grace for lost requests is scaled as its period is."""
    return await open_limiter(replace(settings, grace_s=0.05), *arguments, **more)


def test_dropped_connections(tmp_path: Path) -> None:
    """15 % of the connections dropped before an answer: at most ten requests in any period."""
    rule = FaultRule(0.15, ("reset_before_head", "close_before_head"))
    with SandboxThread(small(period_s=PERIOD_S, rules=(rule,))) as server:
        made = settings_for(
            server.url,
            tmp_path / "out",
            window={"period_s": PERIOD_S, "margin_s": 0.01},
            state_dir=tmp_path / "state",
        )
        with patch.object(bulkfetch.access, "open_limiter", open_scaled):
            report = asyncio.run(fetch(ids(40), made))
        arrivals = server.sandbox.results()
        assert server.worst_in() <= 10
    dropped = [arrival for arrival in arrivals if arrival.fault]
    assert dropped
    assert 429 not in [arrival.status for arrival in arrivals]
    assert len(arrivals) == report.requests == 40 + len(dropped)
    assert report.done == 40

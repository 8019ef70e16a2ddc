"""When requests leave in whole runs, seen at the server, on a virtual clock."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from tests.support.flow_clock import run_flow
from tests.support.flows import account_specs, ids, small, watch
from tests.support.zips import Item, pack

from bulkfetch import Job, Outcome
from bulkfetch.archive import Extracted, extract, suffixes
from bulkfetch.pipeline import dispatch, outcomes
from bulkfetch.sandbox import FaultRule, JobSpec, Sandbox

TINY = JobSpec(content=pack(Item(data=b"Id\n1\n")))


@pytest.mark.slow
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


def test_second_run(tmp_path: Path) -> None:
    """A run that follows another at once finds the machine's window as that one left it."""

    async def both() -> list[float]:
        async with Sandbox(small()) as sandbox:
            for first in (1, 11):
                out = tmp_path / f"out{first}"
                await watch(sandbox, ids(10, first), out, state_dir=tmp_path / "state")
            times = [arrival.at_s for arrival in sandbox.results()]
        return [round(time - times[0], 1) for time in times]

    assert run_flow(both()) == [0.0] * 10 + [61.0] * 10


def test_several_accounts(tmp_path: Path) -> None:
    """Accounts have windows of their own: a full one, or one refused, holds up nobody else."""
    names = ("one", "two", "three")
    jobs = [
        Job(f"{number}{job_id}", account)
        for job_id in ids(12)
        for number, account in enumerate(names, 1)
    ]
    options = small(accounts=account_specs(*names), foreigners={"three": 20})
    plain: dict[str, dict[str, Any]] = {name: {} for name in names}
    seen = run_flow(watch(options, jobs, tmp_path / "out", accounts=plain))
    for name in ("one", "two"):
        assert seen.seconds(name) == [0.0] * 10 + [61.0] * 2
    assert 429 in [each.status for each in seen.arrivals if each.account == "three"]
    assert seen.report.done == 36


@pytest.mark.slow
def test_retries(tmp_path: Path) -> None:
    """With a third of the requests failing in all manners, the window holds and all come home."""
    rule = FaultRule(
        0.35,
        (
            "INTERNAL_ERROR",
            "reset_before_head",
            "close_in_body",
            "close_before_head",
            "zip_bit_flip",
        ),
        attempts=1,
    )
    seen = run_flow(watch(small(rules=(rule,)), ids(40), tmp_path / "out"))
    assert seen.report.done == 40
    assert seen.worst <= 10
    assert {arrival.status for arrival in seen.arrivals} <= {200, 500, None}
    faults = Counter(arrival.fault for arrival in seen.arrivals if arrival.fault)
    assert len(faults) == 5
    assert len(seen.arrivals) == seen.report.requests == 40 + faults.total()
    assert sum(outcome.attempts for outcome in seen.outcomes) == len(seen.arrivals)


def test_lost_requests_cost_their_grace(tmp_path: Path) -> None:
    """A slot whose request had no answer comes back five seconds later than the others."""
    options = small(faults={ids(1)[0]: ("reset_before_head",)})
    seen = run_flow(watch(options, ids(1), tmp_path / "out", window={"requests": 1}))
    assert seen.seconds() == [0.0, 66.0]
    assert seen.report.done == 1


def test_refetches(tmp_path: Path) -> None:
    """A damaged archive is fetched once more, in its turn within the window."""
    hurt = ids(3)
    options = small(faults=dict.fromkeys(hurt, ("zip_bit_flip",)))
    seen = run_flow(watch(options, ids(10), tmp_path / "out"))
    assert seen.seconds() == [0.0] * 10 + [61.0] * 3
    assert sorted(str(arrival.job_id) for arrival in seen.arrivals[10:]) == hurt
    assert seen.report.done == 10


@pytest.mark.slow
def test_latencies(tmp_path: Path) -> None:
    """However long answers take, no more than ten arrive in any minute, and none is refused."""
    options = small(latency_s=(0.0, 25.0))
    seen = run_flow(watch(options, ids(60), tmp_path / "out"))
    assert seen.worst <= 10
    assert {arrival.status for arrival in seen.arrivals} == {200}
    assert seen.seconds()[-1] < 60 * 61 / 10 + 6 * 25


def test_concurrency(tmp_path: Path) -> None:
    """No more requests at once than told, though the window would let more go."""
    options = small(latency_s=(5.0, 5.0), concurrency=3)
    seen = run_flow(watch(options, ids(7), tmp_path / "out", window={"concurrency": 3}))
    assert seen.seconds() == [0.0] * 3 + [5.0] * 3 + [10.0]
    assert seen.report.ok


@pytest.mark.slow
@pytest.mark.parametrize(("seats", "second"), [(10, 90), (30, 61)])
def test_bodies_of_more_than_a_minute(tmp_path: Path, seats: int, second: int) -> None:
    """Slow bodies hold their seats, not their slots: with seats enough the window sets the pace."""
    jobs = ids(20)
    size = len(TINY.content or b"")
    options = small(jobs=dict.fromkeys(jobs, TINY), bandwidth_bytes_per_s=size / 90)
    seen = run_flow(
        watch(
            options,
            jobs,
            tmp_path / "out",
            window={"concurrency": seats},
            limits={"min_bytes_per_s": 0},
        )
    )
    assert [round(time) for time in seen.seconds()] == [0] * 10 + [second] * 10
    assert seen.report.ok


@pytest.mark.slow
def test_slow_readers(tmp_path: Path) -> None:
    """Who reads the outcomes slowly holds up the requests: memory and disk do not fill."""
    server: list[Sandbox] = []
    asked: list[int] = []

    async def reading(outcome: Outcome) -> None:
        if len(asked) < 2:
            await asyncio.sleep(3600)
            asked.append(len(server[0].results()))

    with (
        patch.object(outcomes, "WAITING_OUTCOMES", 4),
        patch.object(dispatch, "LIVE_JOBS", 10),
        patch.object(dispatch, "TAKE_JOBS", 1),
    ):
        seen = run_flow(
            watch(
                small(requests=1000),
                ids(60),
                tmp_path / "out",
                prepare=server.append,
                reading=reading,
                window={"requests": 1000, "concurrency": 3},
            )
        )
    assert seen.report.done == 60
    # One is being read, four are told, ten are live.
    assert asked == [15, 16]


@pytest.mark.slow
def test_staging_limit(tmp_path: Path) -> None:
    """While staging is full no request starts but the one that was about to."""
    server: list[Sandbox] = []
    asked: list[int] = []
    never = threading.Event()

    def unpack(*arguments: Any, **options: Any) -> Extracted:
        # In a thread: whatever the loop is going to do meanwhile, it has the time to.
        never.wait(0.05)
        asked.append(len(server[0].results()))
        return extract(*arguments, **options)

    with patch.object(suffixes, "extract", unpack):
        seen = run_flow(
            watch(
                small(),
                ids(8),
                tmp_path / "out",
                prepare=server.append,
                window={"concurrency": 1},
                limits={"staging_bytes": 1, "threads": 1},
            )
        )
    assert all(count <= published + 2 for published, count in enumerate(asked))
    assert seen.report.ok


@pytest.mark.slow
def test_shared_account(tmp_path: Path) -> None:
    """Beside somebody who takes half of the limit, a run backs off, tells so, and comes home."""
    options = small(foreigners={"default": 5}, accounts=account_specs("default"))
    seen = run_flow(watch(options, ids(40), tmp_path / "out"))
    assert seen.report.done == 40
    refused = [arrival for arrival in seen.arrivals if arrival.status == 429]
    assert 0 < len(refused) <= 12
    assert {"window_closed", "window_shared"} <= seen.kinds()
    assert all(outcome.attempts <= 6 for outcome in seen.outcomes)


def test_refused_once(tmp_path: Path) -> None:
    """After a 429 nothing leaves for a minute, then one probe goes alone, then the rest."""
    jobs = ids(9)
    # The one before it lingers, so that no seat is free in the instant in which it is refused.
    faults = {jobs[3]: ("stall_in_body:0.5",), jobs[4]: ("limit_429",)}
    options = small(faults=faults, latency_s=(1.0, 1.0))
    seen = run_flow(watch(options, jobs, tmp_path / "out", window={"concurrency": 3}))
    times = seen.seconds()
    assert times[:6] == [0.0] * 3 + [1.0] * 3
    # The probe is the refused one. It left as the second of two: perhaps the account bears but one
    # at once, so the others go one by one.
    assert times[6:] == [63.0, 64.0, 65.0, 66.0]
    assert [arrival.job_id for arrival in seen.arrivals[6:]] == [jobs[4], *jobs[6:]]
    assert seen.report.done == 9

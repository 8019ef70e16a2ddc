"""How runs end before their list does: stopped, refused, out of disk, beside each other."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest
from tests.support.flow_clock import run_flow
from tests.support.flows import (
    Seen,
    account_specs,
    ids,
    loop_windows,
    read,
    settings_for,
    small,
    staged,
    watch,
)

from bulkfetch import Client, Job, Outcome, Report, RunError, Settings
from bulkfetch.archive import suffixes
from bulkfetch.destination import folder
from bulkfetch.pipeline import publish
from bulkfetch.sandbox import AccountSpec, Sandbox


def test_stopped(tmp_path: Path) -> None:
    """A stop lets what is under way come in, answers for the rest, and the next run goes on."""
    jobs = ids(25)

    async def both() -> tuple[Seen, Seen]:
        async with Sandbox(small(latency_s=(3.0, 3.0))) as sandbox:
            with loop_windows():
                made = settings_for(sandbox.url, tmp_path / "out")
                async with Client(made) as client:
                    run = client.fetch(jobs)
                    asyncio.get_running_loop().call_later(1.0, run.stop)
                    first = Seen([outcome async for outcome in run])
                    first.report = run.report
            first.arrivals = sandbox.results()
            await asyncio.sleep(61)
            return first, await watch(sandbox, jobs, tmp_path / "out")

    first, second = run_flow(both())
    assert sorted(first.by_id()) == jobs
    statuses = [outcome.status for outcome in first.outcomes]
    assert statuses == ["done"] * 10 + ["pending"] * 15
    assert first.report.interrupted
    assert (first.report.done, first.report.pending) == (10, 15)
    assert first.report.elapsed_s == pytest.approx(3.0, abs=0.1)
    assert len(first.arrivals) == 10
    assert second.report.done == len(second.arrivals) == 15
    assert second.report.skipped == 10


@pytest.mark.slow
def test_stopped_in_long_bodies(tmp_path: Path) -> None:
    """What has not come in eight seconds after a stop is dropped, and nothing of it is left."""

    async def main() -> tuple[list[Outcome], Report]:
        jobs = ids(3)
        with loop_windows():
            async with Sandbox(small(faults={jobs[0]: ("stall_in_body",)})) as sandbox:
                made = settings_for(sandbox.url, tmp_path / "out")
                async with Client(made) as client:
                    run = client.fetch(jobs)
                    asyncio.get_running_loop().call_later(1.0, run.stop)
                    return [outcome async for outcome in run], run.report

    outcomes, report = run_flow(main())
    assert [outcome.status for outcome in outcomes] == ["done", "done", "pending"]
    assert outcomes[-1].error is None
    assert report.elapsed_s == pytest.approx(9.0, abs=0.1)
    assert staged(tmp_path / "out") == []


def test_ended_account(tmp_path: Path) -> None:
    """A refused account ends, its jobs are pending with the reason; the other goes on."""
    good, bad = ids(15), ids(15, 100)
    specs = account_specs("good") | {
        "bad": AccountSpec(access_tokens=("1000.token-of-bad",), error="OAUTH_SCOPE_MISMATCH")
    }
    jobs = [Job(job, "good") for job in good] + [Job(job, "bad") for job in bad]
    plain: dict[str, dict[str, Any]] = {"good": {}, "bad": {}}
    seen = run_flow(watch(small(accounts=specs), jobs, tmp_path / "out", accounts=plain))
    told = seen.by_id()
    assert {told[job].status for job in good} == {"done"}
    for job in bad:
        error = told[job].error
        assert error is not None
        assert (told[job].status, error.code) == ("pending", "OAUTH_SCOPE_MISMATCH")
    assert seen.report.aborted is not None
    assert seen.report.aborted.code == "OAUTH_SCOPE_MISMATCH"
    assert (seen.report.done, seen.report.pending) == (15, 15)
    assert len([each for each in seen.arrivals if each.account == "bad"]) <= 10


def test_no_server(tmp_path: Path) -> None:
    """Where nobody listens the account ends after some time; jobs are pending, no try is spent."""

    async def main() -> tuple[list[Outcome], Report]:
        async with Sandbox(small()) as sandbox:
            url = sandbox.url
        with loop_windows() as windows:
            async with Client(settings_for(url, tmp_path / "out")) as client:
                run = client.fetch(ids(5))
                outcomes = [outcome async for outcome in run]
                assert windows[0].state().free == 10
                return outcomes, run.report

    outcomes, report = run_flow(main())
    assert {outcome.status for outcome in outcomes} == {"pending"}
    assert {outcome.attempts for outcome in outcomes} == {0}
    assert report.aborted is not None
    assert report.aborted.code == "UNREACHABLE"
    assert report.requests == 0


@pytest.mark.parametrize(
    ("room", "step"),
    [
        (suffixes, "extract"),
        (publish, "fsync_file"),
        (publish, "fsync_dir"),
        (folder, "fsync_file"),
        (folder, "rename_into_place"),
        (folder, "fsync_dir"),
    ],
)
def test_full_disk(tmp_path: Path, room: ModuleType, step: str) -> None:
    """A full disk aborts the run, all is answered for, and what came whole is not asked again."""
    jobs = ids(4)

    def full(*arguments: Any, **more: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def aborted(sandbox: Sandbox) -> tuple[list[Outcome], Report]:
        outcomes: list[Outcome] = []
        with loop_windows(), patch.object(room, step, full):
            async with Client(settings_for(sandbox.url, tmp_path / "out")) as client:
                run = client.fetch(jobs)
                with pytest.raises(RunError) as raised:
                    await read(run, outcomes)
                assert raised.value.code == "DISK_FULL"
                return outcomes, run.report

    async def both() -> tuple[list[Outcome], Report, Seen]:
        async with Sandbox(small()) as sandbox:
            outcomes, report = await aborted(sandbox)
            await asyncio.sleep(100)
            whole = sum(name.endswith(".zip") for name in staged(tmp_path / "out"))
            seen = await watch(sandbox, jobs, tmp_path / "out")
            assert len(seen.arrivals) <= len(jobs) - whole
            return outcomes, report, seen

    outcomes, report, seen = run_flow(both())
    assert {outcome.status for outcome in outcomes} == {"pending"}
    assert sorted(outcome.job_id for outcome in outcomes) == jobs
    assert report.aborted is not None
    assert report.aborted.code == "DISK_FULL"
    assert seen.report.done == 4
    assert staged(tmp_path / "out") == []
    assert "salvaged" in seen.kinds()


def test_one_folder_for_two(tmp_path: Path) -> None:
    """A second client in a folder is turned away, and the first is not disturbed."""

    async def main() -> Report:
        with loop_windows():
            async with Sandbox(small()) as sandbox:
                made = settings_for(sandbox.url, tmp_path / "out")
                async with Client(made) as client:
                    run = client.fetch(ids(12))
                    async for _ in run:
                        with pytest.raises(RunError) as refused:
                            async with Client(made):
                                pass
                        assert refused.value.code == "LOCKED"
                    return run.report

    assert run_flow(main()).done == 12


@pytest.mark.slow
def test_side_by_side(tmp_path: Path) -> None:
    """Two clients that share an account share the machine's window and never pass ten."""

    async def one(settings: Settings, jobs: list[str]) -> Report:
        async with Client(settings) as client:
            run = client.fetch(jobs)
            async for _ in run:
                pass
            return run.report

    async def main() -> tuple[list[Report], int, list[float]]:
        with loop_windows():
            async with Sandbox(small()) as sandbox:
                reports = await asyncio.gather(
                    *(
                        one(
                            settings_for(
                                sandbox.url, tmp_path / name, state_dir=tmp_path / "state"
                            ),
                            ids(15, first),
                        )
                        for name, first in (("a", 1), ("b", 51))
                    )
                )
                times = [arrival.at_s for arrival in sandbox.results()]
                return reports, sandbox.worst_in(), [time - times[0] for time in times]

    reports, worst, times = run_flow(main())
    assert [report.done for report in reports] == [15, 15]
    assert worst == 10
    # Processes look for freed slots in turns, some seconds apart: not much later than alone.
    assert times[-1] < 130

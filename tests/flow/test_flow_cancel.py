"""A run is cancelled in each of its steps, and what is left is looked at."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import threading
import time
from collections.abc import Collection
from pathlib import Path

import pytest
from tests.support.flow_clock import flow_loop, run_flow
from tests.support.flows import csv_job, ids, loop_windows, settings_for, small, staged
from tests.support.zips import STORED, Item, pack

import bulkfetch
from bulkfetch import Client, Settings, fetch
from bulkfetch.ratelimit import SlotLimiter
from bulkfetch.sandbox import JobSpec, Sandbox, SandboxOptions

PACKAGE = os.path.join(os.path.dirname(bulkfetch.__file__), "")
JOBS = ids(6)
LARGE = pack(Item(data=random.Random(0).randbytes(3 << 20), method=STORED))
# All the ways a job can go: at once, after a retry, after a second fetch, to failure.
OPTIONS = small(
    requests=1000,
    faults={JOBS[1]: ("reset_before_head",), JOBS[2]: ("zip_bit_flip",)},
    jobs={JOBS[3]: csv_job(error="NO_PERMISSION"), JOBS[4]: JobSpec(content=LARGE)},
)
# 1 by hand, when a room has changed; what is coarse here still moves with every change of the code.
STRIDE = int(os.environ.get("BULKFETCH_CANCEL_STRIDE", "13"))
WINDOW = {"requests": 4, "period_s": 10.0, "margin_s": 0.0, "concurrency": 3}


def open_descriptors() -> set[str]:
    """Name what the process holds open, apart from what only its tests do."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/self/fd/{name}"))
    return {name for name in found if not name.startswith(("/dev/", "/proc/"))}


def own_threads(but: Collection[threading.Thread]) -> set[str]:
    """Name the threads that a run starts; those that end by themselves have the time to.

    `but` are those of others, who may leave some on purpose.
    """
    ours = {"bulkfetch-journal", "AnyIO worker thread"}
    for _ in range(500):
        alive = {thread.name for thread in threading.enumerate() if thread not in but} & ours
        if not alive:
            break
        time.sleep(0.01)
    return alive


def is_ours(task: asyncio.Task[object]) -> bool:
    """Return whether a task runs code of the package, whose folder's own name says nothing."""
    return task.get_name().startswith("bulkfetch") or PACKAGE in repr(task)


async def until_cancelled(settings: Settings, step: int) -> bool:
    """Run the list, cancelled after `step` rounds of the loop; False if it ended before."""
    loop = flow_loop()
    task = asyncio.ensure_future(fetch(JOBS, settings))
    loop.at_step[loop.steps + step] = task.cancel
    try:
        await task
    except asyncio.CancelledError:
        return True
    finally:
        loop.at_step.clear()
    return False


def look(sandbox: Sandbox, out: Path, windows: list[SlotLimiter]) -> None:
    """See that nothing is half done, nothing held, nothing under way."""
    for path in out.glob("*.csv"):
        assert path.read_bytes() == sandbox.file_of(path.stem)
    assert all(window.state().in_flight == 0 for window in windows)
    assert all(window.state().waiting == 0 for window in windows)
    if (out / ".bulkfetch").exists():
        assert not [name for name in staged(out) if name.endswith(".out")]


async def scene(folder: Path, options: SandboxOptions, step: int) -> bool:
    """Cancel a run in one of its steps, look, and let a second run finish."""
    out = folder / "out"
    async with Sandbox(options) as sandbox:
        made = settings_for(sandbox.url, out, window=WINDOW)
        with loop_windows() as windows:
            cancelled = await until_cancelled(made, step)
            look(sandbox, out, windows)
        handlers = {task for task in asyncio.all_tasks() if "sandbox" in repr(task.get_coro())}
        left = asyncio.all_tasks() - handlers - {asyncio.current_task()}
        assert not [task for task in left if is_ours(task)], left
        whole = {name for name in staged(out) if name.endswith(".zip")} if out.exists() else set()
        before = len(sandbox.results())
        with loop_windows():
            report = await fetch(JOBS, made)
        assert (report.done + report.skipped, report.failed) == (5, 1)
        again = {arrival.job_id for arrival in sandbox.results()[before:]}
        # A ZIP that was complete is not fetched again, unless it was the damaged one.
        spared = {name.removeprefix("default.").removesuffix(".zip") for name in whole}
        assert not again & (spared - {JOBS[2]})
        look(sandbox, out, windows)
        assert staged(out) == []
    return cancelled


@pytest.mark.slow
@pytest.mark.parametrize("phase", range(3))
def test_each_step(tmp_path: Path, phase: int) -> None:
    """Cancelled in any step: nothing half done, no slot, task, thread or file held; it goes on."""
    before, others = open_descriptors(), threading.enumerate()
    step, tried = 1 + phase * STRIDE // 3, 0
    while run_flow(scene(tmp_path / str(step), OPTIONS, step)):
        step += STRIDE
        tried += 1
        assert own_threads(others) == set()
    assert tried > 10
    assert open_descriptors() <= before


def test_entering(tmp_path: Path) -> None:
    """Cancelled while it enters or leaves, a client holds nothing any more."""

    async def main() -> None:
        with loop_windows():
            async with Sandbox(small()) as sandbox:
                made = settings_for(sandbox.url, tmp_path / "out")

                async def enter() -> None:
                    async with Client(made) as client:
                        client.fetch(JOBS)

                for step in range(1, 40):
                    loop = flow_loop()
                    task = asyncio.ensure_future(enter())
                    loop.at_step[loop.steps + step] = task.cancel
                    await asyncio.wait([task])
                    loop.at_step.clear()
                    assert task.cancelled() or task.exception() is None
                report = await fetch(JOBS, made)
                assert report.ok

    run_flow(main())


def test_a_reader_that_is_cancelled(tmp_path: Path) -> None:
    """Cancelling one who waits for the next outcome loses none, and the run goes on."""

    async def main() -> None:
        loop = flow_loop()
        async with Sandbox(small()) as sandbox:
            made = settings_for(sandbox.url, tmp_path / "out")
            async with Client(made) as client:
                run = client.fetch(ids(25))
                told: list[str] = []
                with contextlib.suppress(StopAsyncIteration):
                    while True:
                        waiting = asyncio.ensure_future(anext(run))
                        loop.at_step[loop.steps + 2 + len(told) % 3] = waiting.cancel
                        with contextlib.suppress(asyncio.CancelledError):
                            told.append((await waiting).job_id)
                assert sorted(told) == ids(25)
                assert run.report.ok

    with loop_windows():
        run_flow(main())


def test_an_outcome_in_the_instant_of_a_cancellation(tmp_path: Path) -> None:
    """An outcome that is told in the instant in which its reader is cancelled is not lost."""

    async def main() -> None:
        with loop_windows():
            async with Sandbox(small()) as sandbox:
                made = settings_for(sandbox.url, tmp_path / "out")
                async with Client(made) as client:
                    run = client.fetch(["malformed", ids(1)[0]])
                    waiting = asyncio.ensure_future(anext(run))
                    while not (run.progress().counts.failed or waiting.done()):
                        await asyncio.sleep(0)
                    waiting.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await waiting
                    told = [] if waiting.cancelled() else [waiting.result()]
                    told += [outcome async for outcome in run]
                    assert [outcome.status for outcome in told] == ["failed", "done"]

    run_flow(main())

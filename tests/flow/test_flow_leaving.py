"""Readers who leave a run early: the client is free, nothing more is asked, nothing is lost."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path

import pytest
from tests.support.flow_clock import run_flow
from tests.support.flows import ids, loop_windows, settings_for, small

from bulkfetch import Client
from bulkfetch.sandbox import Sandbox

# More than may wait to be read, so that those who end jobs are held up.
MANY = ids(600)
FIRST = MANY[:60]
NEXT = ids(3, 90_000)
FAST = {"requests": 10_000, "period_s": 1.0, "margin_s": 0.0, "concurrency": 8}


@contextmanager
def no_collector() -> Iterator[None]:
    """Do without the collector of cycles, which comes when it likes."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def by_break(client: Client) -> None:
    async for _ in client.fetch(MANY):
        break


async def by_break_out_of_a_variable(client: Client) -> None:
    run = client.fetch(MANY)
    async for _ in run:
        break


async def by_exception(client: Client) -> None:
    with suppress(LookupError):
        async for _ in client.fetch(MANY):
            raise LookupError


async def by_cancellation(client: Client) -> None:
    async def handler() -> None:
        async for _ in client.fetch(MANY):
            reading.set()
            await asyncio.sleep(1e6)

    reading = asyncio.Event()
    task = asyncio.create_task(handler())
    await reading.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def by_cancellation_while_it_waits(client: Client) -> None:
    async def handler() -> None:
        async for _ in client.fetch(MANY):
            reading.set()

    reading = asyncio.Event()
    task = asyncio.create_task(handler())
    await reading.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.1)  # asyncio holds the exception, and so its frames, until then


async def by_cancellation_of_a_task_that_is_kept(client: Client) -> None:
    async def handler() -> None:
        async for _ in client.fetch(MANY):
            reading.set()

    global kept
    reading = asyncio.Event()
    kept = task = asyncio.create_task(handler())
    await reading.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0.1)


async def by_cancellation_that_is_kept(client: Client) -> None:
    """What is kept holds the frames, and these the run."""

    async def handler() -> None:
        run = client.fetch(MANY)
        async for _ in run:
            reading.set()
            await asyncio.sleep(1e6)

    global kept
    reading = asyncio.Event()
    task = asyncio.create_task(handler())
    await reading.wait()
    task.cancel()
    kept = (task, await asyncio.gather(task, return_exceptions=True))


async def by_failure_that_is_kept(client: Client) -> None:
    async def handler() -> None:
        run = client.fetch(MANY)
        async for _ in run:
            raise LookupError

    global kept
    task = asyncio.create_task(handler())
    kept = (task, await asyncio.gather(task, return_exceptions=True))


async def by_dropping_a_generator(client: Client) -> None:
    async def told() -> AsyncIterator[str]:
        async for outcome in client.fetch(MANY):
            yield outcome.job_id

    async for _ in told():
        break
    await asyncio.sleep(0.1)  # asyncio closes it, in a task of its own


async def by_closing_a_generator(client: Client) -> None:
    async def told() -> AsyncIterator[str]:
        async for outcome in client.fetch(MANY):
            yield outcome.job_id

    async with aclosing(told()) as source:  # type: ignore[type-var]
        await anext(source)


async def by_never_reading(client: Client) -> None:
    client.fetch(MANY)


async def by_time_out(client: Client) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            async for _ in client.fetch(MANY):
                await asyncio.sleep(0.3)


async def by_aclose(client: Client) -> None:
    global kept
    kept = run = client.fetch(MANY)
    async for _ in run:
        break
    await run.aclose()
    assert run.ended
    assert run.report.interrupted
    assert [outcome async for outcome in run] == []
    await run.aclose()


async def by_async_with(client: Client) -> None:
    global kept
    with suppress(LookupError):
        async with client.fetch(MANY) as run:
            kept = run
            async for _ in run:
                raise LookupError
    assert run.ended


kept: object = None
WAYS = [
    by_break,
    by_break_out_of_a_variable,
    by_exception,
    by_cancellation,
    by_cancellation_while_it_waits,
    by_cancellation_of_a_task_that_is_kept,
    by_cancellation_that_is_kept,
    by_failure_that_is_kept,
    by_dropping_a_generator,
    by_closing_a_generator,
    by_never_reading,
    by_time_out,
    by_aclose,
    by_async_with,
]


@pytest.mark.slow
@pytest.mark.parametrize("stalled", [False, True], ids=["flowing", "stalled"])
@pytest.mark.parametrize("leave", WAYS, ids=lambda leave: leave.__name__)
def test_leaving_early(
    tmp_path: Path, leave: Callable[[Client], Awaitable[None]], stalled: bool
) -> None:
    """The next list is taken and done within a second, and nothing is asked for the one before."""
    # As many as may be in flight, behind the first ones.
    slow = MANY[4:12] if stalled else []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        faults = dict.fromkeys(slow, ("stall_before_head",))
        async with Sandbox(small(requests=10_000, period_s=1.0, faults=faults)) as sandbox:
            made = settings_for(sandbox.url, tmp_path / "out", window=FAST)
            async with Client(made) as client:
                await leave(client)
                left_at = loop.time()
                told = [outcome.status async for outcome in client.fetch(NEXT)]
                assert told == ["done"] * 3
                assert loop.time() < left_at + 1.0
                asked = len(sandbox.results())
                assert asked < len(MANY)
                await asyncio.sleep(100)
                assert len(sandbox.results()) == asked
                if stalled:
                    return
                # What was done and never read is in the journal.
                came = {each.job_id for each in sandbox.results() if each.whole}
                again = [outcome async for outcome in client.fetch(FIRST)]
                assert sorted(outcome.job_id for outcome in again) == FIRST
                assert {outcome.status for outcome in again} == {"done"}
                assert {outcome.job_id for outcome in again if outcome.skipped} <= came

    with loop_windows(), no_collector():
        run_flow(main())


@pytest.mark.slow
def test_leaving_when_nobody_could_go_on(tmp_path: Path) -> None:
    """A reader who leaves after those who end jobs have waited for him frees them all."""

    async def main() -> None:
        async with Sandbox(small(requests=10_000, period_s=1.0)) as sandbox:
            made = settings_for(sandbox.url, tmp_path / "out", window=FAST)
            async with Client(made) as client:
                async for _ in client.fetch(MANY):
                    await asyncio.sleep(1000)
                    asked = len(sandbox.results())
                    assert 256 < asked < len(MANY)
                    break
                assert [each.status async for each in client.fetch(NEXT)] == ["done"] * 3
                assert len(sandbox.results()) == asked + 3

    with loop_windows(), no_collector():
        run_flow(main())


@pytest.mark.slow
def test_a_run_that_is_kept_may_be_read_on(tmp_path: Path) -> None:
    """Who breaks out and keeps the run loses nothing; till it ends, another list is refused."""

    async def main() -> None:
        async with Sandbox(small(requests=10_000, period_s=1.0)) as sandbox:
            made = settings_for(sandbox.url, tmp_path / "out", window=FAST)
            async with Client(made) as client:
                run = client.fetch(MANY)
                async for _ in run:
                    break
                await asyncio.sleep(1000)
                with pytest.raises(RuntimeError, match=r"another list.*aclose"):
                    client.fetch(NEXT)
                assert len([outcome async for outcome in run]) == len(MANY) - 1
                assert run.report.ok
                assert run.so_far() == run.report
                assert [each.status async for each in client.fetch(NEXT)] == ["done"] * 3

    with loop_windows():
        run_flow(main())


@pytest.mark.slow
def test_nothing_of_ours_holds_a_run(tmp_path: Path) -> None:
    """A run is garbage as soon as its last reader is gone, without the collector's help."""

    async def main() -> None:
        async with Sandbox(small(requests=10_000, period_s=1.0)) as sandbox:
            made = settings_for(sandbox.url, tmp_path / "out", window=FAST)
            async with Client(made) as client:
                run = client.fetch(MANY)
                held = weakref.ref(run)
                await anext(run)
                waiting = asyncio.ensure_future(anext(run))
                await waiting
                run.progress()
                del run, waiting
                assert held() is None

    with loop_windows(), no_collector():
        run_flow(main())


def test_closing_while_another_reads(tmp_path: Path) -> None:
    """Whoever waits for an outcome of a run that is closed comes to its end."""

    async def main() -> None:
        faults = dict.fromkeys(MANY[:1], ("stall_before_head",))
        async with Sandbox(small(faults=faults)) as sandbox:
            made = settings_for(sandbox.url, tmp_path / "out")
            async with Client(made) as client:
                run = client.fetch(MANY[:1])
                waiting = asyncio.ensure_future(anext(run, None))
                await asyncio.sleep(1)
                closing = asyncio.ensure_future(run.aclose())
                await asyncio.sleep(0.1)
                closing.cancel()  # who waits for the end does not hold it up
                assert await waiting is None
                await run.aclose()
                assert run.report.pending == 1
                assert run.report.aborted is None

    with loop_windows():
        run_flow(main())


def test_leaving_the_client_with_runs_behind_it(tmp_path: Path) -> None:
    """A client can be left while one run ends and the next one waits for that."""

    async def main() -> None:
        faults = dict.fromkeys(MANY[:9], ("stall_before_head",))
        async with Sandbox(small(faults=faults)) as sandbox:
            async with Client(settings_for(sandbox.url, tmp_path / "out")) as client:
                for _ in range(3):
                    client.fetch(MANY)
                    await asyncio.sleep(0.01)
                run = client.fetch(MANY)
                await asyncio.sleep(0.01)
            assert {outcome.status async for outcome in run} <= {"done"}
            left = {task.get_name() for task in asyncio.all_tasks()}
            assert "bulkfetch run" not in left

    with loop_windows():
        run_flow(main())

"""A worker on a virtual clock: which job goes when, how others wait, and when it ends."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from unittest.mock import patch

import anyio
import pytest
from tests.support.account_workers import ZIP_BYTES, Answer, Scene
from tests.support.virtual_clock import run_virtual

from bulkfetch.errors import (
    ConnectFailed,
    DiskFull,
    InvalidToken,
    NoPermission,
    ScopeMismatch,
    ServerError,
    TooManyRequests,
    Truncated,
)
from bulkfetch.pipeline import dispatch
from bulkfetch.pipeline.health import GROWTH_BYTES


def play(folder: Path, *jobs: str, **how: object) -> Scene:
    """Run a worker over `jobs` to its end, and give what came of it."""

    async def main() -> Scene:
        scene = Scene(folder, jobs, **how)  # type: ignore[arg-type]
        await scene.worker.run()
        assert scene.limiter.state().in_flight == 0
        return scene

    return run_virtual(main())


def many(count: int) -> list[str]:
    """Give so many ids."""
    return [str(number) for number in range(1, count + 1)]


def test_in_order(tmp_path: Path) -> None:
    """First tries go in the order of the list, at the pace of the window."""
    scene = play(tmp_path, *many(25))
    assert [job for _, job in scene.downloader.asked] == many(25)
    assert [at for at, _ in scene.downloader.asked] == [0.0] * 10 + [61.0] * 10 + [122.0] * 5
    assert sorted(scene.done) == sorted(many(25))
    assert scene.worker.dispatcher.requests == 25


def test_connections(tmp_path: Path) -> None:
    """No more requests at once than there are connections."""
    jobs = many(9)
    slow = {job: [Answer(after_s=5.0)] for job in jobs}
    scene = play(tmp_path, *jobs, connections=4, script=slow)
    assert scene.downloader.most == 4
    assert [at for at, _ in scene.downloader.asked] == [0.0] * 4 + [5.0] * 4 + [10.0]


def test_no_task_idles_for_want_of_slots(tmp_path: Path) -> None:
    """A worker that waits for its limiter keeps no task: there may be a thousand workers."""

    async def main() -> int:
        scene = Scene(tmp_path, many(40), connections=10)
        worker = asyncio.create_task(scene.worker.run())
        await asyncio.sleep(90)
        assert len(scene.downloader.asked) == 20
        idle = asyncio.all_tasks() - {worker, asyncio.current_task()}
        await worker
        assert sorted(scene.done) == sorted(many(40))
        return len(idle)

    assert run_virtual(main()) == 0


def test_retries_hold_nothing(tmp_path: Path) -> None:
    """While a job waits to be tried again, it holds neither slot nor connection."""
    script = {"1": [Answer(ServerError("oops"))] * 3}
    scene = play(tmp_path, *many(4), connections=1, requests=100, script=script)
    assert scene.times("1") == [0.0, 1.0, 3.0, 7.0]
    assert [at for at, job in scene.downloader.asked if job != "1"] == [0.0] * 3


def test_retries_and_first_tries_in_turn(tmp_path: Path) -> None:
    """When both wait for slots, retries and first tries are taken in turn."""
    script = {str(job): [Answer(ServerError("oops"))] for job in range(1, 6)}
    scene = play(tmp_path, *many(30), requests=5, script=script)
    second = [job for at, job in scene.downloader.asked if at == 61.0]
    third = [job for at, job in scene.downloader.asked if at == 122.0]
    for wave in (second, third):
        assert 2 <= sum(int(job) <= 5 for job in wave) <= 3


def test_tries(tmp_path: Path) -> None:
    """A job is failed when its tries are used up, and each of its requests is noted."""
    scene = play(tmp_path, "1", tries=3, script={"1": [Answer(ServerError("oops"))] * 9})
    assert scene.journal.failures == [("1", "INTERNAL_ERROR")]
    assert len(scene.downloader.asked) == 3
    assert scene.journal.noted == {"1": 3}


def test_growth_resets_tries(tmp_path: Path) -> None:
    """Tries begin anew when a broken body has got further than ever, not when it comes again."""
    grows = [Answer(Truncated("cut"), left=GROWTH_BYTES * size) for size in range(1, 7)]
    scene = play(tmp_path / "a", "1", tries=2, script={"1": grows})
    assert scene.journal.failures == []
    assert len(scene.downloader.asked) == 7

    stays = [Answer(Truncated("cut"), left=GROWTH_BYTES)] * 9
    scene = play(tmp_path / "b", "1", tries=2, script={"1": stays})
    assert scene.journal.failures == [("1", "TRUNCATED")]
    assert len(scene.downloader.asked) == 2


def test_429_costs_no_try(tmp_path: Path) -> None:
    """A 429 closes the window and costs its job no try, however often it comes."""
    script = {"2": [Answer(TooManyRequests("no"))] * 7}
    scene = play(tmp_path, *many(3), tries=1, connections=1, script=script)
    assert scene.journal.failures == []
    assert sorted(scene.done) == many(3)
    assert scene.times("2") == [61.0 * turn for turn in range(8)]
    assert len(scene.times("3")) == 1


def test_permanent(tmp_path: Path) -> None:
    """What is no use to repeat fails at once, and leaves no file."""
    scene = play(tmp_path, *many(2), script={"1": [Answer(NoPermission("no"))]})
    assert scene.journal.failures == [("1", "NO_PERMISSION")]
    assert scene.done == ["2"]
    assert not os.path.exists(scene.layout.part(Scene.entry("1").job))


def test_no_connection(tmp_path: Path) -> None:
    """Failed connections hold the whole account, cost neither slot nor try, and end it at last."""
    jobs = many(20)
    down = {job: [Answer(ConnectFailed("refused"))] * 99 for job in jobs}
    scene = play(tmp_path, *jobs, tries=1, script=down)
    assert scene.worker.ended is not None
    assert scene.worker.ended.code == "UNREACHABLE"
    assert scene.journal.failures == []
    assert scene.worker.dispatcher.requests == 0
    assert scene.limiter.state().free == 10
    # Side by side ones count as one: eight rounds, with 1 + 2 + 4 + 8 + 16 + 32 + 60 s between.
    assert scene.downloader.asked[-1][0] == 123.0
    assert len(scene.downloader.asked) <= 8 * 10


def test_back_in_time(tmp_path: Path) -> None:
    """A connection that comes back in time costs no job anything."""
    down = {"1": [Answer(ConnectFailed("refused"))] * 5}
    scene = play(tmp_path, "1", tries=1, script=down)
    assert scene.done == ["1"]
    assert scene.times("1") == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0]


def test_ended_account(tmp_path: Path) -> None:
    """A refused account starts nothing more, and lets come in what is under way."""
    script = {"1": [Answer(ScopeMismatch("no"), 1.0)], "2": [Answer(after_s=9.0)]}
    scene = play(tmp_path, *many(30), connections=2, script=script)
    assert scene.worker.ended is not None
    assert scene.worker.ended.code == "OAUTH_SCOPE_MISMATCH"
    assert [job for _, job in scene.downloader.asked] == ["1", "2"]
    assert scene.done == ["2"]
    followed = {"attempt_started", "account_ended", "done"}
    kinds = [event.kind for event in scene.events if event.kind in followed]
    assert kinds == ["attempt_started", "attempt_started", "account_ended", "done"]


def test_refused_token(tmp_path: Path) -> None:
    """A refused token is renewed and the job repeated at once; refused again, the account ends."""
    scene = play(tmp_path / "a", "1", script={"1": [Answer(InvalidToken("old"))]})
    assert scene.done == ["1"]
    assert scene.tokens.renewals == 1
    assert scene.times("1") == [0.0, 0.0]

    scene = play(
        tmp_path / "b", *many(5), connections=1, script={"1": [Answer(InvalidToken("old"))] * 2}
    )
    assert scene.worker.ended is not None
    assert scene.worker.ended.code == "INVALID_TOKEN"
    assert len(scene.downloader.asked) == 2


def test_run_error(tmp_path: Path) -> None:
    """A full disk ends the worker with its error; what was under way is dropped, slots settled."""

    async def main() -> None:
        script = {"1": [Answer(DiskFull("full"), 1.0)], "2": [Answer(after_s=99.0)]}
        scene = Scene(tmp_path, many(9), connections=2, script=script)
        with pytest.raises(BaseExceptionGroup) as raised:
            await scene.worker.run()
        assert raised.group_contains(DiskFull)
        assert asyncio.get_running_loop().time() < 2.0
        assert scene.limiter.state().in_flight == 0
        assert not list(scene.layout.staging.iterdir())

    run_virtual(main())


def test_what_is_being_recorded_when_the_run_ends_is_told(tmp_path: Path) -> None:
    """What another job's full disk overtakes while it is recorded as done or failed is told."""

    async def main() -> None:
        script = {"1": [Answer(DiskFull("full"), 1.0)], "3": [Answer(NoPermission("no"))]}
        scene = Scene(tmp_path, many(3), script=script)
        scene.journal.ending_s = 2.0
        with pytest.raises(BaseExceptionGroup):
            await scene.worker.run()
        assert {each.job_id: each.status for each in scene.outcomes} == {"2": "done", "3": "failed"}

    run_virtual(main())


def test_stop(tmp_path: Path) -> None:
    """After a stop neither first tries nor retries start; what is under way comes in."""

    async def main() -> None:
        script = {"1": [Answer(ServerError("oops"))], "2": [Answer(after_s=20.0)]}
        scene = Scene(tmp_path, many(30), connections=2, script=script)
        asyncio.get_running_loop().call_later(0.5, scene.worker.stop)
        await scene.worker.run()
        assert asyncio.get_running_loop().time() == pytest.approx(20.0, abs=0.1)
        assert max(at for at, _ in scene.downloader.asked) < 0.5
        assert "2" in scene.done
        assert scene.limiter.state().in_flight == scene.limiter.state().waiting == 0

    run_virtual(main())


def test_cancelled(tmp_path: Path) -> None:
    """Cancelled, a worker drops its requests, settles their slots and removes their files."""

    async def main() -> None:
        scene = Scene(tmp_path, many(30), script={job: [Answer(after_s=9.0)] for job in many(30)})
        with anyio.move_on_after(1.0):
            await scene.worker.run()
        assert scene.limiter.state().in_flight == 0
        assert scene.worker.dispatcher.counts().in_flight == 0
        assert not list(scene.layout.staging.iterdir())

    run_virtual(main())


def test_staging_room(tmp_path: Path) -> None:
    """While complete ZIPs fill the staging folder no request starts."""

    async def main() -> None:
        scene = Scene(tmp_path, many(20), staging_bytes=3 * ZIP_BYTES, connections=1, requests=100)
        scene.publisher.go = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(scene.worker.run)
            for _ in range(20):
                await asyncio.sleep(100)
                waiting = len(scene.publisher.published) - len(scene.done)
                # Room is looked at before the connection: one more may have been about to go.
                assert waiting <= 4
                scene.publisher.go.set()
                scene.publisher.go = anyio.Event()
            scene.publisher.go.set()
            scene.publisher.go = None
        assert len(scene.downloader.asked) == 20

    run_virtual(main())


def test_a_reader_who_is_slow_holds_up_requests(tmp_path: Path) -> None:
    """Jobs that wait to be reported count as live: of a long list only so many are asked for."""

    async def main() -> None:
        scene = Scene(tmp_path, many(60), requests=1000)
        reading = anyio.Event()
        scene.reading = reading
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(scene.worker.run)
            await asyncio.sleep(1000)
            assert len(scene.downloader.asked) == 15
            reading.set()
        assert sorted(scene.done) == sorted(many(60))

    with patch.object(dispatch, "LIVE_JOBS", 15), patch.object(dispatch, "TAKE_JOBS", 5):
        run_virtual(main())


def test_live_jobs(tmp_path: Path) -> None:
    """With too many jobs waiting for their retries, no more are taken from the list."""
    jobs = many(60)
    script = {job: [Answer(ServerError("oops"), after_s=0.1)] for job in jobs}
    with patch.object(dispatch, "LIVE_JOBS", 10), patch.object(dispatch, "TAKE_JOBS", 5):

        async def main() -> None:
            scene = Scene(tmp_path, jobs, requests=1000, script=script, jitter=lambda: 60.0)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(scene.worker.run)
                await asyncio.sleep(30)
                assert len(scene.downloader.asked) == 10
                assert scene.worker.dispatcher.counts().waiting_retries == 10
                assert len(scene.journal.jobs) == 50
            assert len(scene.downloader.asked) == 120

        run_virtual(main())


def test_late_list(tmp_path: Path) -> None:
    """A worker waits for a list that goes on, and ends when it is told that it does not."""

    async def main() -> None:
        scene = Scene(tmp_path, [], list_ended=False)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(scene.worker.run)
            for number in range(1, 4):
                await asyncio.sleep(10)
                scene.journal.jobs.append(Scene.entry(str(number)))
                scene.worker.dispatcher.more()
            await asyncio.sleep(10)
            scene.worker.dispatcher.list_ended()
        assert scene.downloader.asked == [(10.0, "1"), (20.0, "2"), (30.0, "3")]
        assert asyncio.get_running_loop().time() == pytest.approx(40.0, abs=0.1)

    run_virtual(main())


def test_staged(tmp_path: Path) -> None:
    """A job whose ZIP is in staging is published without a request; where it is gone, with one."""

    async def main() -> None:
        scene = Scene(tmp_path, ["1"])
        scene.journal.jobs += [Scene.entry("2", staged=True), Scene.entry("3", staged=True)]
        scene.publisher.gone.add("2")
        await scene.worker.run()
        assert sorted(scene.done) == ["1", "2", "3"]
        assert sorted(job for _, job in scene.downloader.asked) == ["1", "2"]
        kinds = [event.kind for event in scene.events if event.job_id == "3"]
        assert kinds == ["salvaged", "verified", "done"]
        assert scene.budget.bytes == 0

    run_virtual(main())


@pytest.mark.parametrize("steps", range(1, 12))
def test_cancelled_between_slot_and_start(tmp_path: Path, steps: int) -> None:
    """Whenever it is stopped or cancelled, no slot and no connection is out afterwards."""

    async def main() -> None:
        for end in ("stop", "cancel"):
            scene = Scene(tmp_path, many(30), connections=3)
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(scene.worker.run)
                    for _ in range(steps):
                        await asyncio.sleep(0)
                    if end == "stop":
                        scene.worker.stop()
                    else:
                        scope.cancel()
            assert scene.limiter.state().in_flight == 0
            assert scene.worker.dispatcher.counts().in_flight == 0
            assert scene.worker.dispatcher._connections.value == 3

    run_virtual(main())

"""A lane on a virtual clock: who goes when, who waits how, and when it ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest.mock import patch

import anyio
import pytest
from tests.support.lanes import ZIP_BYTES, Answer, Scene
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
from bulkfetch.pipeline import lane as lanes
from bulkfetch.pipeline.lane import GROWTH_BYTES
from bulkfetch.pipeline.work import Work


def play(folder: Path, *jobs: str, **how: object) -> Scene:
    """Run a lane over `jobs` to its end, and give what came of it."""

    async def main() -> Scene:
        scene = Scene(folder, jobs, **how)  # type: ignore[arg-type]
        await scene.lane.run()
        assert scene.window.state().in_flight == 0
        return scene

    return run_virtual(main())


def many(count: int) -> list[str]:
    """Give so many ids."""
    return [str(number) for number in range(1, count + 1)]


def test_in_order(tmp_path: Path) -> None:
    """First tries go in the order of the list, at the pace of the window."""
    scene = play(tmp_path, *many(25))
    assert [job for _, job in scene.door.asked] == many(25)
    assert [at for at, _ in scene.door.asked] == [0.0] * 10 + [61.0] * 10 + [122.0] * 5
    assert sorted(scene.delivered) == sorted(many(25))
    assert scene.lane.requests == 25


def test_seats(tmp_path: Path) -> None:
    """No more requests at once than there are seats."""
    jobs = many(9)
    slow = {job: [Answer(after_s=5.0)] for job in jobs}
    scene = play(tmp_path, *jobs, seats=4, script=slow)
    assert scene.door.most == 4
    assert [at for at, _ in scene.door.asked] == [0.0] * 4 + [5.0] * 4 + [10.0]


def test_a_seat_keeps_its_task(tmp_path: Path) -> None:
    """However long the list, a lane that goes on makes no more tasks than it has seats."""
    scene = play(tmp_path, *many(40), seats=4, requests=100)
    assert sorted(scene.delivered) == sorted(many(40))
    assert len(scene.door.askers) <= 4


def test_no_task_idles_for_want_of_slots(tmp_path: Path) -> None:
    """A lane that waits for its window keeps no task: there may be a thousand lanes."""

    async def main() -> int:
        scene = Scene(tmp_path, many(40), seats=10)
        lane = asyncio.create_task(scene.lane.run())
        await asyncio.sleep(90)
        assert len(scene.door.asked) == 20
        idle = asyncio.all_tasks() - {lane, asyncio.current_task()}
        await lane
        assert sorted(scene.delivered) == sorted(many(40))
        return len(idle)

    assert run_virtual(main()) == 0


def test_retries_hold_nothing(tmp_path: Path) -> None:
    """While a job waits to be tried again, it holds neither slot nor seat."""
    script = {"1": [Answer(ServerError("oops"))] * 3}
    scene = play(tmp_path, *many(4), seats=1, requests=100, script=script)
    assert scene.times("1") == [0.0, 1.0, 3.0, 7.0]
    assert [at for at, job in scene.door.asked if job != "1"] == [0.0] * 3


def test_retries_and_first_tries_in_turn(tmp_path: Path) -> None:
    """When both wait for slots, retries and first tries are taken in turn."""
    script = {str(job): [Answer(ServerError("oops"))] for job in range(1, 6)}
    scene = play(tmp_path, *many(30), requests=5, script=script)
    second = [job for at, job in scene.door.asked if at == 61.0]
    third = [job for at, job in scene.door.asked if at == 122.0]
    for wave in (second, third):
        assert 2 <= sum(int(job) <= 5 for job in wave) <= 3


def test_tries(tmp_path: Path) -> None:
    """A job is failed when its tries are used up, and each of its requests is noted."""
    scene = play(tmp_path, "1", tries=3, script={"1": [Answer(ServerError("oops"))] * 9})
    assert scene.failed == [("1", "INTERNAL_ERROR")]
    assert len(scene.door.asked) == 3
    assert scene.noted == {"1": 3}


def test_growth_resets_tries(tmp_path: Path) -> None:
    """Tries begin anew when a broken body has got further than ever, not when it comes again."""
    grows = [Answer(Truncated("cut"), left=GROWTH_BYTES * size) for size in range(1, 7)]
    scene = play(tmp_path / "a", "1", tries=2, script={"1": grows})
    assert scene.failed == []
    assert len(scene.door.asked) == 7

    stays = [Answer(Truncated("cut"), left=GROWTH_BYTES)] * 9
    scene = play(tmp_path / "b", "1", tries=2, script={"1": stays})
    assert scene.failed == [("1", "TRUNCATED")]
    assert len(scene.door.asked) == 2


def test_429_costs_no_try(tmp_path: Path) -> None:
    """A 429 closes the window and costs its job no try, however often it comes."""
    script = {"2": [Answer(TooManyRequests("no"))] * 7}
    scene = play(tmp_path, *many(3), tries=1, seats=1, script=script)
    assert scene.failed == []
    assert sorted(scene.delivered) == many(3)
    assert scene.times("2") == [61.0 * turn for turn in range(8)]
    assert len(scene.times("3")) == 1


def test_permanent(tmp_path: Path) -> None:
    """What is no use to repeat fails at once, and leaves no file."""
    scene = play(tmp_path, *many(2), script={"1": [Answer(NoPermission("no"))]})
    assert scene.failed == [("1", "NO_PERMISSION")]
    assert scene.delivered == ["2"]
    assert not scene.places.part(Scene.work("1").job).exists()


def test_no_connection(tmp_path: Path) -> None:
    """Failed connections hold the whole account, cost neither slot nor try, and end it at last."""
    jobs = many(20)
    down = {job: [Answer(ConnectFailed("refused"))] * 99 for job in jobs}
    scene = play(tmp_path, *jobs, tries=1, script=down)
    assert scene.lane.ended is not None
    assert scene.lane.ended.code == "UNREACHABLE"
    assert scene.failed == []
    assert scene.lane.requests == 0
    assert scene.window.state().free == 10
    # Side by side ones count as one: eight rounds, with 1 + 2 + 4 + 8 + 16 + 32 + 60 s between.
    assert scene.door.asked[-1][0] == 123.0
    assert len(scene.door.asked) <= 8 * 10


def test_back_in_time(tmp_path: Path) -> None:
    """A connection that comes back in time costs no job anything."""
    down = {"1": [Answer(ConnectFailed("refused"))] * 5}
    scene = play(tmp_path, "1", tries=1, script=down)
    assert scene.delivered == ["1"]
    assert scene.times("1") == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0]


def test_ended_account(tmp_path: Path) -> None:
    """A refused account starts nothing more, and lets come in what is under way."""
    script = {"1": [Answer(ScopeMismatch("no"), 1.0)], "2": [Answer(after_s=9.0)]}
    scene = play(tmp_path, *many(30), seats=2, script=script)
    assert scene.lane.ended is not None
    assert scene.lane.ended.code == "OAUTH_SCOPE_MISMATCH"
    assert [job for _, job in scene.door.asked] == ["1", "2"]
    assert scene.delivered == ["2"]
    kinds = [event.kind for event in scene.events]
    assert kinds == ["attempt_started", "attempt_started", "account_ended"]


def test_refused_token(tmp_path: Path) -> None:
    """A refused token is renewed and the job repeated at once; refused again, the account ends."""
    scene = play(tmp_path / "a", "1", script={"1": [Answer(InvalidToken("old"))]})
    assert scene.delivered == ["1"]
    assert scene.tokens.renewals == 1
    assert scene.times("1") == [0.0, 0.0]

    scene = play(tmp_path / "b", *many(5), seats=1, script={"1": [Answer(InvalidToken("old"))] * 2})
    assert scene.lane.ended is not None
    assert scene.lane.ended.code == "INVALID_TOKEN"
    assert len(scene.door.asked) == 2


def test_run_error(tmp_path: Path) -> None:
    """A full disk ends the lane with its error; what was under way is dropped, slots settled."""

    async def main() -> None:
        script = {"1": [Answer(DiskFull("full"), 1.0)], "2": [Answer(after_s=99.0)]}
        scene = Scene(tmp_path, many(9), seats=2, script=script)
        with pytest.raises(BaseExceptionGroup) as raised:
            await scene.lane.run()
        assert raised.group_contains(DiskFull)
        assert asyncio.get_running_loop().time() < 2.0
        assert scene.window.state().in_flight == 0
        assert not list(scene.places.staging.iterdir())

    run_virtual(main())


def test_stop(tmp_path: Path) -> None:
    """After a stop neither first tries nor retries start; what is under way comes in."""

    async def main() -> None:
        script = {"1": [Answer(ServerError("oops"))], "2": [Answer(after_s=20.0)]}
        scene = Scene(tmp_path, many(30), seats=2, script=script)
        asyncio.get_running_loop().call_later(0.5, scene.lane.stop)
        await scene.lane.run()
        assert asyncio.get_running_loop().time() == pytest.approx(20.0, abs=0.1)
        assert max(at for at, _ in scene.door.asked) < 0.5
        assert "2" in scene.delivered
        assert scene.window.state().in_flight == scene.window.state().waiting == 0

    run_virtual(main())


def test_cancelled(tmp_path: Path) -> None:
    """Cancelled, a lane drops its requests, settles their slots and removes their files."""

    async def main() -> None:
        scene = Scene(tmp_path, many(30), script={job: [Answer(after_s=9.0)] for job in many(30)})
        with anyio.move_on_after(1.0):
            await scene.lane.run()
        assert scene.window.state().in_flight == 0
        assert scene.lane.in_flight == 0
        assert not list(scene.places.staging.iterdir())

    run_virtual(main())


def test_staging_room(tmp_path: Path) -> None:
    """While complete ZIPs fill the staging folder no request starts."""
    waiting: list[Work] = []

    async def main() -> None:
        scene = Scene(
            tmp_path,
            many(20),
            staging_bytes=3 * ZIP_BYTES,
            seats=1,
            requests=100,
            delivering=lambda _, work: waiting.append(work),
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(scene.lane.run)
            for _ in range(20):
                await asyncio.sleep(100)
                # Room is looked at before the seat: one more may have been about to go.
                assert len(waiting) <= 4
                while waiting:
                    scene.done(waiting.pop())
        assert len(scene.door.asked) == 20

    run_virtual(main())


def test_live_jobs(tmp_path: Path) -> None:
    """With too many jobs waiting for their retries, no more are taken from the list."""
    jobs = many(60)
    script = {job: [Answer(ServerError("oops"), after_s=0.1)] for job in jobs}
    with patch.object(lanes, "LIVE_JOBS", 10), patch.object(lanes, "TAKE_JOBS", 5):

        async def main() -> None:
            scene = Scene(tmp_path, jobs, requests=1000, script=script, dice=lambda: 60.0)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(scene.lane.run)
                await asyncio.sleep(30)
                assert len(scene.door.asked) == 10
                assert scene.lane.waiting_retries == 10
                assert len(scene.list) == 50
            assert len(scene.door.asked) == 120

        run_virtual(main())


def test_late_list(tmp_path: Path) -> None:
    """A lane waits for a list that goes on, and ends when it is told that it does not."""

    async def main() -> None:
        scene = Scene(tmp_path, [], list_ended=False)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(scene.lane.run)
            for number in range(1, 4):
                await asyncio.sleep(10)
                scene.list.append(Scene.work(str(number)))
                scene.lane.more()
            await asyncio.sleep(10)
            scene.lane.list_ended()
        assert scene.door.asked == [(10.0, "1"), (20.0, "2"), (30.0, "3")]
        assert asyncio.get_running_loop().time() == pytest.approx(40.0, abs=0.1)

    run_virtual(main())


def test_staged(tmp_path: Path) -> None:
    """A job whose ZIP is in staging is delivered without a request; put back, it is asked for."""
    back: list[str] = []

    def deliver(scene: Scene, work: Work) -> None:
        if work.zip_bytes is None:
            back.append(work.job.id)
            scene.lane.put_back(work)
        else:
            scene.done(work)

    async def main() -> None:
        scene = Scene(tmp_path, ["1"], delivering=deliver)
        scene.list.append(Scene.work("2", staged=True))
        await scene.lane.run()
        assert back == ["2"]
        assert sorted(job for _, job in scene.door.asked) == ["1", "2"]

    run_virtual(main())

"""The machine window's file when it is damaged, removed, or held by somebody."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.ratelimit.test_limiter_kill import arrivals, crowded, start, wait_for
from tests.support.virtual_clock import run_virtual
from tests.support.window_process import SCALED

from bulkfetch.ratelimit import (
    MachineLimiter,
    RateLimit,
    SlotLimiter,
    Unusable,
    WindowEvent,
    WindowState,
    open_limiter,
    state_file,
)
from bulkfetch.ratelimit.patience import holder
from bulkfetch.ratelimit.rows import WINDOW_FILE

FILE_NAME, LOCK_NAME, ASIDE_NAME = WINDOW_FILE.name, "window.lock", WINDOW_FILE.aside_name

TEN = RateLimit()
CLOSED_S = 66.0  # a refill and the grace: what nobody knows of is over then


def now() -> float:
    return asyncio.get_running_loop().time()


async def opened(
    folder: Path, events: list[WindowEvent] | None = None, *, key: str = "key"
) -> SlotLimiter:
    told = [] if events is None else events
    return await open_limiter(
        TEN, key, folder, on_event=told.append, clock=now, boot=lambda: "boot"
    )


async def by_itself(folder: Path) -> MachineLimiter:
    return await MachineLimiter.open(TEN, "key", folder, clock=now, boot=lambda: "boot")


async def use(window: SlotLimiter, count: int, grants: list[float]) -> None:
    for _ in range(count):
        permit = await window.acquire()
        grants.append(now())
        permit.answered()


def most_in(grants: list[float], stretch_s: float) -> int:
    return max(sum(begin <= at < begin + stretch_s for at in grants) for begin in grants)


# --- damaged --------------------------------------------------------------------------------------


def changed(folder: Path, *statements: str) -> None:
    db = sqlite3.connect(folder / FILE_NAME)
    with db:
        for statement in statements:
            db.execute(statement)
    db.close()


def garbage(folder: Path) -> None:
    (folder / FILE_NAME).write_bytes(b"not a database" * 1000)


def empty(folder: Path) -> None:
    (folder / FILE_NAME).write_bytes(b"")


def halved(folder: Path) -> None:
    os.truncate(folder / FILE_NAME, (folder / FILE_NAME).stat().st_size // 2)


def beginning_gone(folder: Path) -> None:
    with (folder / FILE_NAME).open("r+b") as file:
        file.write(bytes(100))


def pages_overwritten(folder: Path) -> None:
    with (folder / FILE_NAME).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * ((folder / FILE_NAME).stat().st_size - 4096))


def table_dropped(folder: Path) -> None:
    changed(folder, "DROP TABLE use")


def column_dropped(folder: Path) -> None:
    changed(folder, "ALTER TABLE ticket DROP COLUMN until")


def all_dropped(folder: Path) -> None:
    changed(folder, *(f"DROP TABLE {name}" for name in ("boot", "account", "use", "ticket")))


def share_damaged(folder: Path) -> None:
    changed(folder, "UPDATE account SET share = 'no JSON'")


def share_foreign(folder: Path) -> None:
    changed(folder, """UPDATE account SET share = '{"nothing of ours": 1}'""")


def another_database(folder: Path) -> None:
    (folder / FILE_NAME).unlink()
    changed(folder, "CREATE TABLE mine (id INTEGER)", "INSERT INTO mine VALUES (1)")


DAMAGES = [
    *(garbage, empty, halved, beginning_gone, pages_overwritten, table_dropped),
    *(column_dropped, all_dropped, share_damaged, share_foreign, another_database),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_costs_one_period_once(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """It is set aside and kept, a new one begins closed, and later runs are normal again."""

    async def run(start_s: float) -> tuple[list[float], list[WindowEvent]]:
        grants: list[float] = []
        events: list[WindowEvent] = []
        window = await open_limiter(
            TEN, "key", tmp_path, on_event=events.append, clock=now, boot=lambda: "boot"
        )
        await use(window, 10, grants)
        await window.aclose()
        return [at - start_s for at in grants], events

    run_virtual(run(0), start=100)
    damage(tmp_path)
    spoilt = (tmp_path / FILE_NAME).read_bytes()
    grants, events = run_virtual(run(100), start=100)
    assert grants == pytest.approx([CLOSED_S] * 10, abs=0.1)
    assert [event.kind for event in events] == ["fallback"]
    assert events[0].for_s == pytest.approx(CLOSED_S)
    assert "a new one takes its place" in events[0].message
    assert FILE_NAME in events[0].message
    assert (tmp_path / ASIDE_NAME).read_bytes()[:100] == spoilt[:100]
    # The next run finds what this one used, and is told nothing.
    grants, events = run_virtual(run(166), start=166.5)
    assert grants == pytest.approx([61] * 10, abs=0.6)
    assert events == []
    grants, events = run_virtual(run(1000), start=1000)
    assert grants == pytest.approx([0] * 10, abs=0.1)
    assert {path.name for path in tmp_path.iterdir()} <= {FILE_NAME, ASIDE_NAME, LOCK_NAME}


def test_what_an_earlier_version_has_learned_is_read(tmp_path: Path) -> None:
    """Its rows hold a word that is not used any more; the file is none the worse for it."""

    async def main() -> tuple[int, list[WindowEvent]]:
        events: list[WindowEvent] = []
        await (await opened(tmp_path)).aclose()
        learned = '{"capacity": 7, "changed_at": 100.0, "refused_at": 90.0, "crowd": 3}'
        changed(tmp_path, f"UPDATE account SET share = '{learned}'")
        window = await opened(tmp_path, events)
        capacity = window.state().capacity
        await use(window, 8, [])
        await window.aclose()
        return capacity, events

    assert run_virtual(main(), start=100) == (7, [])


@pytest.mark.parametrize("ending", ["-wal", "-shm"])
def test_what_belongs_to_a_file_may_be_anything(tmp_path: Path, ending: str) -> None:
    """Random bytes beside the file are no damage to it, and none to the one that replaces it."""

    async def run() -> list[float]:
        grants: list[float] = []
        window = await opened(tmp_path)
        await use(window, 2, grants)
        await window.aclose()
        return grants

    (tmp_path / f"{FILE_NAME}{ending}").write_bytes(os.urandom(40_000))
    assert run_virtual(run()) == pytest.approx([0, 0], abs=1e-3)
    garbage(tmp_path)
    (tmp_path / f"{FILE_NAME}{ending}").write_bytes(os.urandom(40_000))
    assert run_virtual(run(), start=200) == pytest.approx([266, 266], abs=1e-2)


def test_every_account_is_closed_in_a_new_file(tmp_path: Path) -> None:
    """The damaged one may have held uses of all of them, also of one that opens later."""

    async def main() -> list[float]:
        grants: list[float] = []
        first = await opened(tmp_path)
        await asyncio.sleep(30)
        later = await opened(tmp_path, key="other")
        await asyncio.gather(use(first, 1, grants), use(later, 1, grants))
        much_later = await opened(tmp_path, key="third")
        await use(much_later, 1, grants)
        for window in (first, later, much_later):
            await window.aclose()
        return grants

    garbage(tmp_path)
    assert run_virtual(main()) == pytest.approx([CLOSED_S] * 3, abs=0.1)


def test_a_reboot_ends_the_closing_of_a_new_file(tmp_path: Path) -> None:
    """Seconds since another boot say nothing, far ahead as they may seem."""

    async def run(boot: str) -> float:
        window = await open_limiter(TEN, "key", tmp_path, clock=now, boot=lambda: boot)
        (await window.acquire()).answered()
        await window.aclose()
        return now()

    garbage(tmp_path)
    assert run_virtual(run("first"), start=9e5) == pytest.approx(9e5 + CLOSED_S, abs=0.1)
    assert run_virtual(run("second"), start=200) == pytest.approx(200, abs=0.1)


@pytest.mark.parametrize("damage", [table_dropped, share_damaged, share_foreign])
def test_damage_under_runs_leads_all_of_them_to_one_new_file(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """Who finds it first begins a new file, the others follow, and together they keep to ten."""

    async def main() -> tuple[list[float], list[list[str]], int]:
        events: list[list[WindowEvent]] = [[], [], []]
        windows = [await opened(tmp_path, mine) for mine in events]
        grants: list[float] = []
        await asyncio.gather(*(use(window, 3, grants) for window in windows))
        under_way = await windows[0].acquire()
        grants.append(now())
        await asyncio.sleep(1)
        damage(tmp_path)
        tasks = [asyncio.create_task(use(window, 12, grants)) for window in windows]
        await asyncio.sleep(200)
        under_way.answered()
        await asyncio.gather(*tasks)
        for window in windows:
            await window.aclose()
        files = sum(path.name.startswith(FILE_NAME) for path in tmp_path.iterdir())
        return grants, [[event.kind for event in mine] for mine in events], files

    grants, kinds, files = run_virtual(main())
    assert len(grants) == 46
    assert most_in(grants, 60) <= 10
    assert kinds == [["fallback"]] * 3
    assert files == 2
    assert min(at for at in grants if at > 60) > 1 + CLOSED_S - 1


def test_a_removed_folder_leads_all_runs_to_one_new_file(tmp_path: Path) -> None:
    """What each of them had used and has under way is known in the new one."""

    async def main() -> list[float]:
        one, other = await opened(tmp_path / "state"), await opened(tmp_path / "state")
        grants: list[float] = []
        await asyncio.gather(use(one, 5, grants), use(other, 5, grants))
        await asyncio.sleep(1)
        (tmp_path / "state").rename(tmp_path / "gone")
        await asyncio.gather(use(one, 25, grants), use(other, 25, grants))
        await one.aclose()
        # The old file's last user has closed it: that must not touch the new one.
        newcomer = await opened(tmp_path / "state")
        assert newcomer.state().free == 10 - sum(at > now() - 61 for at in grants)
        await newcomer.aclose()
        await other.aclose()
        return grants

    assert most_in(run_virtual(main()), 60) == 10


def test_a_file_is_not_set_aside_again_and_again(tmp_path: Path) -> None:
    """Where the new one fails within a period too, the disk is to blame: memory takes over."""

    async def main() -> tuple[list[float], list[WindowEvent]]:
        events: list[WindowEvent] = []
        window = await opened(tmp_path, events)
        grants: list[float] = []
        for _ in range(2):
            table_dropped(tmp_path)
            await asyncio.sleep(1)
            assert window.state().closed_s > 60
            await asyncio.sleep(0.01)  # the limiter goes over to the new file, or to none
        await use(window, 11, grants)
        await window.aclose()
        return grants, events

    grants, events = run_virtual(main())
    assert grants == pytest.approx([2 + CLOSED_S] * 10 + [2 + CLOSED_S + 61], abs=0.1)
    assert [event.kind for event in events] == ["fallback"] * 2
    assert "a new one takes its place" in events[0].message
    assert "this process keeps the limit for itself" in events[1].message


@pytest.mark.slow
def test_processes_that_find_it_damaged_at_once_set_it_aside_once(tmp_path: Path) -> None:
    """Real ones, one killed meanwhile: one new file, nobody fails, ten in any period."""
    (tmp_path / "state").mkdir()
    garbage(tmp_path / "state")
    running = [start(str(tmp_path / "state"), tmp_path) for _ in range(4)]
    try:
        wait_for(tmp_path, 5)
        running[0].kill()
        table_dropped(tmp_path / "state")
        wait_for(tmp_path, len(arrivals(tmp_path)) + 40)
        assert [process.poll() for process in running[1:]] == [None] * 3
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert crowded(arrivals(tmp_path)) == []
    assert len({pid for _, pid in arrivals(tmp_path)}) >= 3
    names = {path.name for path in (tmp_path / "state").iterdir()}
    assert names <= {FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm", ASIDE_NAME, LOCK_NAME}


@pytest.mark.slow
def test_processes_that_start_at_once_make_one_file(tmp_path: Path) -> None:
    """Nobody finds a file half-made, which would cost a period."""

    async def main() -> list[str]:
        told: list[str] = []
        for name in range(30):
            window = await open_limiter(
                SCALED, "key", tmp_path / str(name), on_event=lambda event: told.append(event.kind)
            )
            await window.aclose()
        return told

    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_ALL, tmp_path],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    assert [process.communicate(timeout=60)[0] for process in processes] == [b"[]\n"] * 3
    assert asyncio.run(main()) == []


OPEN_ALL = """
import asyncio, sys
from pathlib import Path
from tests.support.window_process import SCALED
from bulkfetch.ratelimit import open_limiter

async def main():
    told = []
    for name in range(30):
        folder = Path(sys.argv[1], str(name))
        window = await open_limiter(SCALED, "key", folder, on_event=told.append)
        await window.aclose()
    print(told)

asyncio.run(main())
"""


# --- held -----------------------------------------------------------------------------------------


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep the file from everybody else, as a shell does in the middle of a transaction."""
    hog = sqlite3.connect(folder / FILE_NAME, isolation_level=None)
    hog.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        hog.execute("COMMIT")
        hog.close()


def test_a_file_that_is_held_is_told_and_no_slot_is_called_free(tmp_path: Path) -> None:
    """After five seconds who and which file; when it lets go the run goes on, with ten a minute."""

    async def main() -> tuple[list[float], list[WindowEvent], list[WindowState]]:
        events: list[WindowEvent] = []
        window = await opened(tmp_path, events)
        grants: list[float] = []
        await use(window, 5, grants)
        await asyncio.sleep(0.1)
        with held(tmp_path):
            users = [asyncio.create_task(use(window, 5, grants)) for _ in range(3)]
            states = []
            for seconds in (1.0, 3.5, 1.0, 54.5):
                await asyncio.sleep(seconds)
                states.append(window.state())
                assert len(events) == (now() > 5)
        assert len(grants) == 5
        await asyncio.gather(*users)
        states.append(window.state())
        await window.aclose()
        return grants, events, states

    grants, events, states = run_virtual(main())
    assert [state.free for state in states[:4]] == [0] * 4
    assert [state.held_s for state in states] == pytest.approx([1, 4.5, 5.5, 60, 0], abs=0.1)
    assert [state.next_free_s for state in states[:4]] == [None] * 4
    assert [event.kind for event in events] == ["held"]
    assert str(tmp_path / FILE_NAME) in events[0].message
    assert f"process {os.getpid()}" in events[0].message
    assert grants[5:10] == pytest.approx([60.1] * 5, abs=0.2)
    assert most_in(grants, 60) == 10


@pytest.mark.slow
def test_a_file_that_stays_held_is_told_now_and_then(tmp_path: Path) -> None:
    """The run waits as long as it takes: every way round it would be a second window."""

    async def main() -> list[float]:
        told: list[float] = []
        window = await open_limiter(
            TEN, "key", tmp_path, on_event=lambda _: told.append(now()), clock=now,
            boot=lambda: "boot",
        )  # fmt: skip
        with held(tmp_path):
            waiting = asyncio.create_task(window.acquire())
            await asyncio.sleep(700)
            assert not waiting.done()
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await window.aclose()
        return told

    assert run_virtual(main()) == pytest.approx([5, 305, 605], abs=0.2)


def test_answers_during_a_hold_keep_their_time(tmp_path: Path) -> None:
    """A window closed while the file is held still ends, and its slots come back by themselves."""

    async def main() -> float:
        window = await opened(tmp_path)
        permits = [await window.acquire() for _ in range(10)]
        with held(tmp_path):
            await asyncio.sleep(10)
            for permit in permits:
                permit.answered()
            await window.aclose()
            assert now() < 13
        window = await opened(tmp_path)
        (await window.acquire()).answered()
        await window.aclose()
        return now()

    assert run_virtual(main()) == pytest.approx(65 + 61, abs=1.5)


def test_a_busy_moment_is_not_called_held(tmp_path: Path) -> None:
    """Other processes write for a moment all the time."""

    async def main() -> tuple[float, list[WindowEvent]]:
        events: list[WindowEvent] = []
        window = await opened(tmp_path, events)
        with held(tmp_path):
            waiting = asyncio.create_task(window.acquire())
            await asyncio.sleep(0.05)
            seen = window.state().held_s
        (await waiting).answered()
        await window.aclose()
        return seen, events

    assert run_virtual(main()) == (0, [])


def test_who_holds_a_file_is_named(tmp_path: Path) -> None:
    """Its process and program, where the system tells; else it is another process."""
    assert holder(tmp_path / "nothing") == "another process"

    async def make() -> None:
        await (await opened(tmp_path)).aclose()

    run_virtual(make())
    program = (
        "import sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('BEGIN IMMEDIATE'); print(flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / FILE_NAME],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as hog:
        assert hog.stdout is not None
        hog.stdout.readline()
        if not Path("/proc/locks").exists():
            pytest.skip("this system has no /proc/locks")
        name = holder(tmp_path / FILE_NAME)
        hog.communicate(timeout=60)
    assert name.startswith(f"process {hog.pid} (")
    assert holder(tmp_path / FILE_NAME) == "another process"


@pytest.mark.parametrize("lock", ["database", "making"])
def test_a_file_held_before_the_start_is_given_up_soon(tmp_path: Path, lock: str) -> None:
    """After some seconds it is said who holds it, rather than nothing happening."""

    async def main() -> float:
        if lock == "database":
            await (await opened(tmp_path)).aclose()
            with held(tmp_path), pytest.raises(Unusable, match="stays locked by process"):
                await by_itself(tmp_path)
        else:
            with (tmp_path / LOCK_NAME).open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                with pytest.raises(Unusable, match="stays locked by another process"):
                    await by_itself(tmp_path)
        return now()

    assert run_virtual(main()) == pytest.approx(state_file.OPEN_S, abs=0.1)

"""The machine's window: several processes, dead ones, reboots, bad files."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.support.virtual_clock import run_virtual

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
from bulkfetch.ratelimit.fair_share import Request, Waiter, fair_share
from bulkfetch.ratelimit.filesystem import shared_file_system
from bulkfetch.ratelimit.rows import WINDOW_FILE
from bulkfetch.ratelimit.slots import Process

TEN = RateLimit()  # a lease of 65 s, a refill of 61 s


def now() -> float:
    return asyncio.get_running_loop().time()


async def window_in(
    folder: Path, settings: RateLimit = TEN, *, key: str = "key", boot: str = "boot",
    clock: Callable[[], float] | None = None, on_event: Callable[[WindowEvent], None] = print,
) -> SlotLimiter:  # fmt: skip
    """Open the window as a process of its own would: it shares nothing but the file."""
    return await open_limiter(
        settings, key, folder,
        on_event=on_event, clock=clock or now, boot=lambda: boot, process=Process(),
    )  # fmt: skip


def kill(window: SlotLimiter) -> None:
    """End a window as SIGKILL ends its process: nothing is written any more, nothing renewed."""
    assert window._keeper is not None
    window._keeper.cancel()
    window._ended = True
    assert isinstance(window._shared, MachineLimiter)
    window._shared._ended = True
    window._shared._store.db.close()


async def use_until(window: SlotLimiter, end: float, grants: list[float]) -> None:
    """Ask one after the other, as a run does, and note when each was granted."""
    while True:
        permit = await window.acquire()
        if now() > end:
            permit.unused()
            return
        grants.append(now())
        permit.answered()


def worst(grants: list[float], stretch_s: float) -> int:
    """Count the most grants in any stretch shorter than `stretch_s`."""
    grants = sorted(grants)
    return max(sum(start <= at < start + stretch_s for at in grants) for start in grants)


# --- several processes ---------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [2, 3, 4])
def test_equal_runs_get_equal_parts_of_one_window(tmp_path: Path, processes: int) -> None:
    """All together use the ten slots, none is lost, and each gets its part of them."""

    async def main() -> list[list[float]]:
        windows = [await window_in(tmp_path) for _ in range(processes)]
        grants: list[list[float]] = [[] for _ in windows]
        users = [
            use_until(window, 1821, mine) for window, mine in zip(windows, grants, strict=True)
        ]
        await asyncio.gather(*users)
        for window in windows:
            await window.aclose()
        return grants

    grants = run_virtual(main())
    together = [at for mine in grants for at in mine]
    assert worst(together, 60) == 10
    assert len(together) >= 290
    for mine in grants:
        assert abs(len(mine) - len(together) / processes) <= 0.1 * len(together) / processes


@pytest.mark.slow
def test_a_newcomer_is_not_starved_by_a_long_line(tmp_path: Path) -> None:
    """A thousand who wait in one process leave half of the next refill to a single newcomer."""

    async def main() -> list[float]:
        crowd, other = await window_in(tmp_path), await window_in(tmp_path)
        grants: list[float] = []
        line = [asyncio.create_task(crowd.acquire()) for _ in range(1000)]
        await asyncio.sleep(0)
        for task in line[:10]:
            (await task).answered()
        await use_until(other, 62, grants)
        for task in line:
            task.cancel()
        await asyncio.gather(*line, return_exceptions=True)
        await crowd.aclose()
        await other.aclose()
        return grants

    assert len(run_virtual(main())) == 5


def test_accounts_do_not_touch_one_another(tmp_path: Path) -> None:
    """Each account has ten slots of its own in the same file."""

    async def main() -> None:
        for key in ("one", "two", "three"):
            window = await window_in(tmp_path, key=key)
            for _ in range(10):
                (await window.acquire()).answered()
            await window.aclose()
        assert now() < 1

    run_virtual(main())


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    """What a process used before it ended counts for the next one."""

    async def main() -> float:
        window = await window_in(tmp_path)
        for _ in range(10):
            (await window.acquire()).answered()
        await window.aclose()
        window = await window_in(tmp_path)
        (await window.acquire()).answered()
        await window.aclose()
        return now()

    assert run_virtual(main()) == pytest.approx(61, abs=1e-3)


def test_the_slots_of_a_killed_process_come_back_by_themselves(tmp_path: Path) -> None:
    """A lease and a refill after they were taken, whatever the killed process did with them."""

    async def main() -> float:
        victim = await window_in(tmp_path)
        held = [await victim.acquire() for _ in range(10)]
        kill(victim)
        window = await window_in(tmp_path)
        (await window.acquire()).answered()
        await window.aclose()
        del held
        return now()

    assert run_virtual(main()) == pytest.approx(65 + 61, abs=1.5)


def test_an_answer_is_written_with_the_next_request_or_soon_by_itself(tmp_path: Path) -> None:
    """Others see it after some milliseconds at the latest, stamped with the time it came at."""

    async def main() -> list[WindowState]:
        window, other = await window_in(tmp_path), await window_in(tmp_path)
        permits = [await window.acquire() for _ in range(10)]
        permits.pop().answered()
        seen = [other.state()]
        await asyncio.sleep(0.01)
        seen.append(other.state())
        for permit in permits:
            permit.answered()
        await asyncio.sleep(0.01)
        seen.append(other.state())
        await window.aclose()
        await other.aclose()
        return seen

    at_once, soon, at_the_end = run_virtual(main())
    assert (at_once.in_flight, soon.in_flight, at_the_end.in_flight) == (10, 9, 0)
    assert at_once.next_free_s is None
    assert soon.next_free_s == pytest.approx(61 - 0.01, abs=0.001)
    assert at_the_end.next_free_s == pytest.approx(61 - 0.02, abs=0.001)


def test_a_living_holder_keeps_its_slot(tmp_path: Path) -> None:
    """However long a request takes to be sent and answered, nobody else gets its slot."""

    async def main() -> float:
        one = RateLimit(requests=1)
        holder, other = await window_in(tmp_path, one), await window_in(tmp_path, one)
        permit = await holder.acquire()
        waiting = asyncio.create_task(other.acquire())
        await asyncio.sleep(1000)
        assert not waiting.done()
        permit.answered()
        (await waiting).answered()
        await holder.aclose()
        await other.aclose()
        return now()

    assert run_virtual(main()) == pytest.approx(1061, abs=1.1)


def test_a_429_closes_the_account_for_all_processes(tmp_path: Path) -> None:
    """The others wait too, and of all processes one probe goes alone."""

    async def main() -> list[float]:
        windows = [await window_in(tmp_path) for _ in range(3)]
        (await windows[0].acquire()).rejected(None)
        grants: list[float] = []

        async def fetch(window: SlotLimiter) -> None:
            permit = await window.acquire()
            grants.append(now())
            await asyncio.sleep(10)
            permit.answered()

        await asyncio.gather(*(fetch(window) for window in windows))
        for window in windows:
            await window.aclose()
        return grants

    assert run_virtual(main()) == pytest.approx([61, 71, 71], abs=1.1)


def test_a_killed_probe_is_followed_by_another(tmp_path: Path) -> None:
    """The account does not stay closed for ever when the probe's process dies."""

    async def main() -> float:
        victim, other = await window_in(tmp_path), await window_in(tmp_path)
        (await victim.acquire()).rejected(None)
        probe = await victim.acquire()
        kill(victim)
        (await other.acquire()).answered()
        await other.aclose()
        del probe
        return now()

    assert run_virtual(main()) == pytest.approx(61 + 65, abs=1.1)


def test_the_ticket_of_a_killed_waiter_soon_expires(tmp_path: Path) -> None:
    """A process that died waiting keeps its part from the others for two seconds at most."""

    async def main() -> list[float]:
        victim, other = await window_in(tmp_path), await window_in(tmp_path)
        for _ in range(10):
            (await other.acquire()).answered()
        await asyncio.sleep(0.01)  # the last answer is written
        waiting = asyncio.create_task(victim.acquire())
        await asyncio.sleep(0)
        kill(victim)
        grants: list[float] = []
        for _ in range(10):
            (await other.acquire()).answered()
            grants.append(now())
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await other.aclose()
        return grants

    assert run_virtual(main()) == pytest.approx([61] * 5 + [63] * 5, abs=0.6)


def test_with_two_settings_the_stricter_one_holds_and_nobody_starves(tmp_path: Path) -> None:
    """While a process with four in 120 s waits, no more than that leave the machine."""

    async def main() -> tuple[list[float], list[float]]:
        wide = await window_in(tmp_path)
        strict = await window_in(tmp_path, RateLimit(requests=4, period_s=120))
        mine: list[float] = []
        theirs: list[float] = []
        await asyncio.gather(use_until(wide, 1800, mine), use_until(strict, 1800, theirs))
        await wide.aclose()
        await strict.aclose()
        return mine, theirs

    mine, theirs = run_virtual(main())
    assert len(theirs) >= 20
    assert worst([at for at in mine + theirs if at > 130], 120) <= 4
    assert worst(mine + theirs, 60) <= 10


def of(owner: int) -> Request:
    return Request(0, owner, True)


def test_a_part_is_rounded_up_and_the_least_served_come_first() -> None:
    """Parts: ten for three are four each; who was served less, or has waited longer, is first."""
    waiting = [Waiter(2, since=5.0, requests=10, refill_s=61), Waiter(3, 9.0, 10, 61)]
    assert fair_share(1, 7.0, 10, [], waiting, {})
    assert not fair_share(1, 7.0, 10, [of(1)] * 4, waiting, {})
    assert not fair_share(1, 7.0, 10, [of(4)] * 9, waiting, {})  # the last one is for 2
    assert fair_share(1, 4.0, 10, [of(4)] * 9, waiting, {})
    requests = [of(2)] * 4 + [of(4)] * 5
    assert fair_share(1, 7.0, 10, requests, waiting, {})  # 2 has its own
    assert not fair_share(1, 4.0, 10, [of(4)] * 10, [], {})
    assert fair_share(1, 7.0, 10, [of(4)] * 9, waiting, {2: 30, 3: 30, 1: 29})
    assert not fair_share(1, 4.0, 10, [of(4)] * 9, waiting, {1: 30, 2: 30, 3: 29})


# --- clocks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("uptime_s", "opens_at"), [(5.0, 126.0), (100.0, 126.0), (500.0, 500.0)])
def test_after_a_reboot_old_stamps_are_void_once_they_must_be_over(
    tmp_path: Path, uptime_s: float, opens_at: float
) -> None:
    """They say nothing in the new boot's time; a lease and a refill into it they are over."""

    async def use(boot: str, key: str) -> float:
        window = await window_in(tmp_path, boot=boot, key=key)
        for _ in range(10):
            (await window.acquire()).answered()
        await window.aclose()
        return now()

    run_virtual(use("first", "used"), start=9e5)
    assert run_virtual(use("second", "used"), start=uptime_s) == pytest.approx(opens_at, abs=1e-3)
    assert run_virtual(use("second", "new"), start=uptime_s) == pytest.approx(uptime_s, abs=1e-3)


def test_stamps_further_ahead_than_can_be_are_brought_back(tmp_path: Path) -> None:
    """A clock that jumped back a day hangs nobody, and lets nobody through too early."""

    async def use(count: int) -> float:
        window = await window_in(tmp_path)
        for _ in range(count):
            (await window.acquire()).answered()
        await window.aclose()
        return now()

    run_virtual(use(10), start=90_000)
    assert run_virtual(use(1), start=3_600) == pytest.approx(3_600 + 65 + 61, abs=1e-2)


def test_the_wall_clock_is_never_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Setting the machine's clock changes nothing, since nobody looks at it."""

    def step() -> float:
        raise AssertionError("the wall clock was asked")

    monkeypatch.setattr("time.time", step)

    async def main() -> None:
        window = await window_in(tmp_path)
        for _ in range(11):
            (await window.acquire()).answered()
        await window.aclose()

    run_virtual(main())


# --- the file ------------------------------------------------------------------------------------


def test_the_file_is_private_and_holds_the_given_key_only(tmp_path: Path) -> None:
    """Folder 0700, files 0600, also where an earlier file was laxer."""

    async def main() -> None:
        folder = tmp_path / "state" / "bulkfetch"
        for _ in range(2):
            window = await window_in(folder)
            (await window.acquire()).answered()
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
            assert set(modes.values()) == {0o600}
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            await window.aclose()
            (folder / WINDOW_FILE.name).chmod(0o644)

    run_virtual(main())


def spoil_newer(folder: Path) -> None:
    db = sqlite3.connect(folder / WINDOW_FILE.name)
    db.execute("PRAGMA user_version = 99")
    db.close()


def spoil_foreign(folder: Path) -> None:
    db = sqlite3.connect(folder / WINDOW_FILE.name)
    db.execute("PRAGMA application_id = 7")
    db.close()


def spoil_folder(folder: Path) -> None:
    (folder / WINDOW_FILE.name).mkdir()


def spoil_link(folder: Path) -> None:
    (folder / WINDOW_FILE.name).symlink_to(folder / "elsewhere")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_newer, "newer bulkfetch; upgrade this one, or delete the file"),
        (spoil_foreign, "not bulkfetch's; move it away"),
        (spoil_folder, "not a regular file; move it away"),
        (spoil_link, "not a regular file; move it away"),
    ],
)
def test_a_file_that_cannot_be_used_is_left_alone(
    tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    """It is said why and what can be done, and the process's window opens after a full period."""
    spoil(tmp_path)
    before = sorted(tmp_path.iterdir())

    async def main() -> tuple[float, list[WindowEvent]]:
        events: list[WindowEvent] = []
        window = await open_limiter(
            TEN, "key", tmp_path, on_event=events.append, clock=now, boot=lambda: "boot"
        )
        assert window._shared is None
        (await window.acquire()).answered()
        await window.aclose()
        return now(), events

    opened_at, events = run_virtual(main())
    assert opened_at == pytest.approx(66, abs=1e-3)
    assert [event.kind for event in events] == ["fallback"]
    assert reason in events[0].message
    assert sorted(tmp_path.iterdir()) == before


def test_a_state_directory_that_cannot_be_made_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No home, or a file where the folder should be: the process's own window, with the reason."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("BULKFETCH_STATE_DIR", str(tmp_path))

    async def main() -> list[str]:
        events: list[WindowEvent] = []
        for folder in (None, tmp_path / "file" / "state"):
            window = await open_limiter(TEN, "key", folder, on_event=events.append, clock=now)
            await window.aclose()
        return [event.message for event in events]

    none, unmade = run_virtual(main())
    assert "say no state directory is to be used" in none  # for this user does have one
    assert "Not a directory" in unmade
    assert "BULKFETCH_STATE_DIR" in unmade
    for name in ("HOME", "XDG_STATE_HOME", "BULKFETCH_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: SimpleNamespace(pw_dir="nowhere"))
    none, _ = run_virtual(main())
    assert "this user has no state directory; BULKFETCH_STATE_DIR can name one" in none


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks and boot clocks do not reach other machines."""
    assert shared_file_system(tmp_path) is None
    monkeypatch.setattr(state_file, "shared_file_system", lambda folder: "NFS")

    async def main() -> None:
        with pytest.raises(Unusable, match="NFS"):
            await MachineLimiter.open(TEN, "key", tmp_path, clock=now, boot=lambda: "boot")

    run_virtual(main())


def test_a_file_removed_under_a_run_costs_a_period_only(tmp_path: Path) -> None:
    """The run goes on with a new file, a full period after what it last sent."""

    async def main() -> tuple[list[float], list[str]]:
        events: list[WindowEvent] = []
        window = await window_in(tmp_path, on_event=events.append)
        permits = [await window.acquire() for _ in range(10)]
        for path in tmp_path.iterdir():
            path.unlink()
        await asyncio.sleep(3)
        for permit in permits:
            permit.answered()
        grants = []
        for _ in range(11):
            (await window.acquire()).answered()
            grants.append(now())
        await window.aclose()
        return grants, [event.kind for event in events]

    grants, kinds = run_virtual(main())
    assert grants == pytest.approx([69] * 10 + [130], abs=0.1)
    assert kinds == ["fallback"]


def test_a_file_found_removed_by_who_only_looks_is_told_once(tmp_path: Path) -> None:
    """With an answer still to be written the look shows it, and gives the new file's state."""
    told: list[str] = []

    async def main() -> WindowState:
        window = await window_in(tmp_path, on_event=lambda event: told.append(event.kind))
        (await window.acquire()).answered()
        for file in tmp_path.iterdir():
            file.unlink()
        state = window.state()
        await window.aclose()
        return state

    state = run_virtual(main())
    assert told == ["fallback"]
    assert state.closed_s > 60


def test_a_busy_file_holds_up_nobody_but_the_one_who_asks(tmp_path: Path) -> None:
    """The loop goes on, an answer keeps its time, the line moves when the file is free again."""

    async def main() -> float:
        window = await window_in(tmp_path, RateLimit(requests=1))
        permit = await window.acquire()
        hog = sqlite3.connect(tmp_path / WINDOW_FILE.name, isolation_level=None)
        hog.execute("BEGIN IMMEDIATE")
        permit.answered()
        waiting = asyncio.create_task(window.acquire())
        assert window.state().requests == 1
        await asyncio.sleep(30)
        assert not waiting.done()
        hog.execute("COMMIT")
        hog.close()
        (await waiting).answered()
        await window.aclose()
        return now()

    assert run_virtual(main()) == pytest.approx(61, abs=1e-2)


def test_a_forked_child_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database must not cross a fork; the child is told to open its own window."""

    async def main() -> None:
        window = await window_in(tmp_path)
        with monkeypatch.context() as child:
            child.setattr(os, "getpid", lambda: -1)
            with pytest.raises(RuntimeError, match="process"):
                await window.acquire()
        await window.aclose()

    run_virtual(main())

"""One window per account and process: however many clients, loops, threads and places there are."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.support.virtual_clock import run_virtual

from bulkfetch.clock import boottime
from bulkfetch.ratelimit import (
    RateLimit,
    SlotLimiter,
    WindowEvent,
    open_limiter,
)
from bulkfetch.ratelimit.slots import this_process

TEN = RateLimit()
CLOSED_S = 66.0  # a refill and the grace, which a process waits before it keeps the limit alone


def now() -> float:
    return asyncio.get_running_loop().time()


async def opened(
    folder: Path | None, *, key: str = "key", events: list[WindowEvent] | None = None
) -> SlotLimiter:
    told = [] if events is None else events
    return await open_limiter(
        TEN, key, folder, on_event=told.append, clock=now, boot=lambda: "boot"
    )


async def use(window: SlotLimiter, count: int, grants: list[float]) -> None:
    """Send so many requests that are answered at once, and note when each left."""
    for _ in range(count):
        permit = await window.acquire()
        grants.append(now())
        permit.answered()


def most_in(grants: list[float], stretch_s: float) -> int:
    """Count the most grants in any stretch shorter than `stretch_s`."""
    return max(sum(begin <= at < begin + stretch_s for at in grants) for begin in grants)


def places(folder: Path) -> dict[str, list[Path | None]]:
    """Name where the windows of several clients are kept."""
    (folder / "file").touch()
    return {
        "nowhere": [None, None],
        "unusable": [folder / "file" / "state", folder / "file" / "state"],
        "one": [folder / "one", folder / "one"],
        "two": [folder / "one", folder / "two"],
        "mixed": [folder / "one", None, folder / "file" / "state", folder / "two"],
    }


@pytest.mark.parametrize("where", ["nowhere", "unusable", "one", "two", "mixed"])
def test_clients_side_by_side_share_one_window(tmp_path: Path, where: str) -> None:
    """Wherever each of them keeps it, ten leave in any minute, and nobody is starved."""

    async def main() -> list[list[float]]:
        windows = [await opened(folder) for folder in places(tmp_path)[where]]
        grants: list[list[float]] = [[] for _ in windows]
        await asyncio.gather(
            *(use(window, 25, mine) for window, mine in zip(windows, grants, strict=True))
        )
        for window in windows:
            await window.aclose()
        return grants

    grants = run_virtual(main())
    together = [at for mine in grants for at in mine]
    assert most_in(together, 60) == 10
    # As soon as the ten allow, a period more where it began closed, and parts that do not fit.
    assert max(together) < CLOSED_S + 61 * len(together) / 10 + 61


@pytest.mark.parametrize("where", ["nowhere", "unusable", "one", "two", "mixed"])
def test_clients_one_after_the_other_do_not_begin_anew(tmp_path: Path, where: str) -> None:
    """What a closed client has used counts for the next one, wherever that keeps it."""

    async def main() -> list[float]:
        grants: list[float] = []
        for folder in places(tmp_path)[where] * 2:
            window = await opened(folder)
            await use(window, 4, grants)
            await window.aclose()
        return grants

    assert most_in(run_virtual(main()), 60) == 10


def test_the_first_client_waits_and_is_told_and_the_next_one_need_not(tmp_path: Path) -> None:
    """Others may have run before this process began to keep the limit; that is once."""

    async def main() -> tuple[list[float], list[WindowEvent]]:
        grants: list[float] = []
        events: list[WindowEvent] = []
        for _ in range(2):
            window = await opened(None, events=events)
            await use(window, 1, grants)
            await window.aclose()
        return grants, events

    grants, events = run_virtual(main())
    assert grants == pytest.approx([CLOSED_S, CLOSED_S], abs=1e-3)
    assert [event.kind for event in events] == ["fallback", "fallback"]
    assert [event.for_s for event in events] == pytest.approx([CLOSED_S, 0])
    assert "after waiting 66 s" in events[0].message
    assert "waiting" not in events[1].message


def test_accounts_do_not_share(tmp_path: Path) -> None:
    """Each account has ten slots of its own in memory too."""

    async def main() -> float:
        for window in [await opened(None, key=key) for key in ("one", "two", "three")]:
            await use(window, 10, [])
            await window.aclose()
        return now()

    assert run_virtual(main()) == pytest.approx(CLOSED_S, abs=1e-2)


@pytest.mark.parametrize("first", [0, 1])
def test_a_client_whose_file_fails_goes_on_beside_one_whose_file_does_not(
    tmp_path: Path, first: int
) -> None:
    """From the file into memory it takes along what it has used, and what is still under way."""

    async def main() -> tuple[list[float], list[str], list[str]]:
        events: list[list[WindowEvent]] = [[], []]
        windows = [await opened(tmp_path / "one", events=mine) for mine in events]
        grants: list[float] = []
        under_way = [await windows[0].acquire() for _ in range(3)]
        grants += [now()] * 3
        await use(windows[1], 3, grants)
        await asyncio.sleep(1)
        # There can be no file in its place: the folder is none any more.
        (tmp_path / "one").rename(tmp_path / "gone")
        (tmp_path / "one").touch()
        await use(windows[first], 4, grants)
        for permit in under_way:
            permit.answered()
        await asyncio.gather(*(use(window, 20, grants) for window in windows))
        for window in windows:
            await window.aclose()
        return grants, *([event.kind for event in mine] for mine in events)  # type: ignore[return-value]

    grants, one, other = run_virtual(main())
    assert most_in(grants, 60) == 10
    assert one == other == ["fallback"]
    assert len(grants) == 50


def test_a_disk_that_fails_for_one_client_costs_the_others_nothing(tmp_path: Path) -> None:
    """One keeps the limit in memory, the other in the file: together they still send ten."""

    async def main() -> tuple[list[float], list[str]]:
        events: list[WindowEvent] = []
        failing, fine = await opened(tmp_path, events=events), await opened(tmp_path)
        grants: list[float] = []
        await use(failing, 5, grants)
        # As a full disk is told, in the one connection.
        failing._shared._store.db.execute("PRAGMA max_page_count = 1")  # type: ignore[union-attr]
        failing._shared._store.db.execute("PRAGMA query_only = 1")  # type: ignore[union-attr]
        await asyncio.gather(use(failing, 20, grants), use(fine, 20, grants))
        await failing.aclose()
        await fine.aclose()
        return grants, [event.kind for event in events]

    grants, kinds = run_virtual(main())
    assert kinds == ["fallback"]
    assert most_in(grants, 60) == 10


def test_a_429_in_one_place_closes_the_account_in_all(tmp_path: Path) -> None:
    """The server refuses the account, not one client of it."""

    async def main() -> float:
        one, other = await opened(tmp_path / "one"), await opened(tmp_path / "two")
        (await one.acquire()).rejected(90.0)
        assert other.state().closed_s == pytest.approx(91, abs=1e-3)
        (await other.acquire()).answered()
        await one.aclose()
        await other.aclose()
        return now()

    assert run_virtual(main()) == pytest.approx(91, abs=1e-3)


def test_the_state_counts_what_other_clients_have_used(tmp_path: Path) -> None:
    """What is shown as free can be taken."""

    async def main() -> None:
        one, other = await opened(tmp_path / "one"), await opened(tmp_path / "two")
        permits = [await one.acquire() for _ in range(4)]
        assert (other.state().free, other.state().in_flight) == (6, 4)
        for permit in permits:
            permit.answered()
        await use(other, 6, [])
        await asyncio.sleep(0.001)  # the answers are written
        assert (one.state().free, one.state().in_flight) == (0, 0)
        assert one.state().next_free_s == pytest.approx(61, abs=1e-2)
        await one.aclose()
        await other.aclose()

    run_virtual(main())


# --- loops, threads and forks ---------------------------------------------------------------------

# Ten in half a second; the lease is long beside any pause of a busy machine.
SCALED = RateLimit(period_s=0.5, margin_s=0.02, grace_s=0.1, headers_timeout_s=1.0)


async def count(key: str, folder: Path | None, requests: int, arrivals: list[float]) -> None:
    """Open a window as a client does, and note when a server would count each request."""
    window = await open_limiter(SCALED, key, folder)
    for _ in range(requests):
        permit = await window.acquire()
        arrivals.append(boottime())
        await asyncio.sleep(0)
        permit.answered()
    await window.aclose()


def crowded(arrivals: list[float]) -> list[float]:
    times = sorted(arrivals)
    return [b - a for a, b in zip(times, times[10:], strict=False) if b - a < SCALED.period_s]


def in_thread(main: Coroutine[Any, Any, None]) -> threading.Thread:
    thread = threading.Thread(target=asyncio.run, args=(main,))
    thread.start()
    return thread


@pytest.mark.slow
@pytest.mark.parametrize("where", ["nowhere", "mixed"])
def test_loops_in_several_threads_share_one_window(tmp_path: Path, where: str) -> None:
    """Each thread has a loop and a client of its own; the server counts ten at most."""
    arrivals: list[float] = []
    key = f"threads {where} {tmp_path}"
    folders = [None] * 3 if where == "nowhere" else [None, tmp_path / "a", tmp_path / "b"]
    threads = [in_thread(count(key, folder, 12, arrivals)) for folder in folders]
    for thread in threads:
        thread.join()
    assert len(arrivals) == 36
    assert crowded(arrivals) == []


@pytest.mark.slow
def test_loops_one_after_the_other_share_one_window(tmp_path: Path) -> None:
    """A loop that has ended leaves behind what its client had used."""
    arrivals: list[float] = []
    for _ in range(3):
        asyncio.run(count(f"loops {tmp_path}", None, 8, arrivals))
    assert crowded(arrivals) == []


@pytest.mark.slow
def test_a_loop_that_ended_without_closing_gives_its_slots_back_in_time(tmp_path: Path) -> None:
    """Permits that nobody settles any more end with their lease."""
    key = f"abandoned {tmp_path}"
    kept: list[object] = []

    async def abandon() -> None:
        window = await open_limiter(SCALED, key, None)
        kept.append((window, [await window.acquire() for _ in range(10)]))

    asyncio.run(abandon())
    taken_at = boottime()

    async def wait() -> float:
        window = await open_limiter(SCALED, key, None)
        (await window.acquire()).answered()
        await window.aclose()
        return boottime()

    assert asyncio.run(wait()) - taken_at > SCALED.period_s


FORK = """
import asyncio, os, threading
from bulkfetch.ratelimit import RateLimit, open_limiter
from bulkfetch.ratelimit.slots import this_process
from bulkfetch.clock import boottime

async def closed_s(say):
    window = await open_limiter(RateLimit(), "key", None)
    print(say, round(window.state().closed_s), flush=True)
    await window.aclose()

asyncio.run(closed_s("parent"))
slots, done, go = this_process(boottime).slots("key"), threading.Event(), threading.Event()
slots._closed_until = 0.0
asyncio.run(closed_s("parent"))
held = threading.Thread(target=lambda: (slots._lock.acquire(), done.set(), go.wait()), daemon=True)
held.start(), done.wait()
child = os.fork()
if not child:
    asyncio.run(closed_s("child"))
    os._exit(0)
os.waitpid(child, 0)
"""


def test_a_forked_process_begins_anew() -> None:
    """It waits its period as any process does, and no lock of its parent's holds it up."""
    source = str(Path(__file__).parents[2] / "src")
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.stderr == ""
    assert ended.stdout.splitlines() == ["parent 66", "parent 0", "child 66"]


def test_a_clock_of_one_s_own_shares_with_its_loop_only() -> None:
    """Stamps of two clocks cannot be compared."""

    async def mine() -> object:
        assert this_process(now) is this_process(asyncio.get_running_loop().time)
        return this_process(now)

    one, other = run_virtual(mine()), run_virtual(mine())
    assert one is not other
    assert this_process(boottime) is this_process(boottime)


@pytest.mark.slow
def test_without_a_clock_of_the_machine_the_process_has_one(tmp_path: Path) -> None:
    """Where there is no CLOCK_BOOTTIME the window is the process's, on its monotonic clock."""

    def none() -> float:
        raise OSError("this system has no CLOCK_BOOTTIME")

    async def main() -> list[WindowEvent]:
        events: list[WindowEvent] = []
        window = await open_limiter(
            SCALED, f"clock {tmp_path}", tmp_path, on_event=events.append, clock=none
        )
        (await window.acquire()).answered()
        await window.aclose()
        return events

    (event,) = asyncio.run(main())
    assert "CLOCK_BOOTTIME" in event.message

"""The budget at work: waits on the loop's clock, one store under several processes, bad files."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from tests.support.flow_clock import flow_loop, run_flow
from tests.support.memory_windows import MemoryWindows

from bulkfetch.control import machine_ledger
from bulkfetch.control.allowance import DAY_S, REFILL_S, SPAN_S, ControlLimits
from bulkfetch.control.budget import LATE_S, ControlBudget, Place
from bulkfetch.control.calls import Kind
from bulkfetch.control.hosts_ledger import HostsLedger
from bulkfetch.control.rows import CONTROL_FILE
from bulkfetch.control.usage import QUIET_S
from bulkfetch.errors import ControlPaused, CreditsSpent
from bulkfetch.ratelimit import state_file

LIMITS = ControlLimits(concurrency=2, creates_per_minute=3, polls_per_minute=5)
LEASE_S = 300.0
WALL = 1_800_000_000.0


def now() -> float:
    return asyncio.get_running_loop().time()


async def opened(
    folder: Path | None,
    limits: ControlLimits = LIMITS,
    *,
    key: str = "key",
    boot: str = "boot",
    clock: Callable[[], float] | None = None,
    wall: Callable[[], float] | None = None,
    note: Callable[[str], None] = lambda _: None,
    **more: Any,
) -> ControlBudget:
    """Open the budget as a process of its own would: it shares nothing but the file."""
    loop = asyncio.get_running_loop()
    return await ControlBudget.open(
        limits, key, folder, lease_s=LEASE_S, note=note, boot=lambda: boot,
        clock=clock or loop.time, wall=wall or (lambda: WALL + loop.time()), **more,
    )  # fmt: skip


async def call(budget: ControlBudget, kind: Kind = "create", takes_s: float = 0.0) -> float:
    """Make a call; return when it left."""
    async with budget.call(kind) as place:
        at = now()
        await asyncio.sleep(takes_s)
        place.answered(None, well=True)
        return at


def kill(budget: ControlBudget) -> None:
    """End a budget as SIGKILL ends its process: nothing is written any more."""
    budget._closed = True
    budget._ledger.close()


# Opens a budget of the one account, or of `key`, as a client of its own would.
Make = Callable[..., Awaitable[ControlBudget]]


@pytest.fixture(params=["process", "machine", "hosts"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Open budgets, of clients that share what is kept in a process, on a machine or by hosts."""
    rows: list[MemoryWindows] = []

    async def process(limits: ControlLimits = LIMITS, *, key: str = "key") -> ControlBudget:
        return await opened(None, limits, key=key)

    async def machine(limits: ControlLimits = LIMITS, *, key: str = "key") -> ControlBudget:
        return await opened(tmp_path, limits, key=key)

    async def hosts(limits: ControlLimits = LIMITS, *, key: str = "key") -> ControlBudget:
        loop = asyncio.get_running_loop()
        if not rows:
            rows.append(MemoryWindows(loop.time, ahead_s=WALL))
        ledger = HostsLedger(key, rows[0], clock=loop.time)
        return ControlBudget(limits, key, ledger, LEASE_S)

    makers: dict[str, Make] = {"process": process, "machine": machine, "hosts": hosts}
    return makers[request.param]


# --- one process, whatever keeps the usage --------------------------------------------------------


def test_creates_wait_for_their_minute_and_polls_do_not(make: Make) -> None:
    """Three creates a minute, from answer to departure; a poll passes those that wait."""

    async def main() -> None:
        budget = await make()
        began = now()
        creates = [asyncio.create_task(call(budget, takes_s=2.0)) for _ in range(5)]
        await asyncio.sleep(5)
        assert await call(budget, "status") - began == pytest.approx(5, abs=0.1)
        times = [await task - began for task in creates]
        # Two at once, the third when one is back; then a minute after the first answers.
        assert times == pytest.approx([0, 0, 2, 2 + REFILL_S, 2 + REFILL_S], abs=0.6)
        await budget.aclose()

    run_flow(main())


def test_a_wait_for_the_minute_is_told_once_with_its_setting() -> None:
    """While creates wait it can be asked what for; one note says it, and none of polls."""

    async def main() -> None:
        notes: list[str] = []
        budget = await opened(None, ControlLimits(creates_per_minute=1), note=notes.append)
        await asyncio.sleep(QUIET_S)
        await call(budget)
        assert budget.waits_for("create") == ""
        waiting = [asyncio.create_task(call(budget)) for _ in range(2)]
        await asyncio.sleep(REFILL_S / 2)
        assert budget.waits_for("create") == "creates_per_minute (1)"
        assert budget.waits_for("status") == ""
        await asyncio.gather(*waiting)
        assert budget.waits_for("create") == ""
        assert notes == ["the next create call waits for creates_per_minute (1)"]
        await budget.aclose()

    run_flow(main())


def test_first_come_first_served(make: Make) -> None:
    """Who waits longest leaves first, whatever the others do; nobody is passed by."""

    async def main() -> None:
        budget = await make()
        order: list[int] = []

        async def one(number: int) -> None:
            async with budget.call("status") as place:
                order.append(number)
                await asyncio.sleep(0.5)
                place.answered(None, well=True)

        async with anyio.create_task_group() as group:
            for number in range(12):
                group.start_soon(one, number)
                await asyncio.sleep(0.001)
        assert order == list(range(12))
        await budget.aclose()

    run_flow(main())


def test_a_cancelled_call_leaves_nothing_behind(make: Make) -> None:
    """Neither who waits in line nor who was just given a place takes anything from the others."""

    async def main() -> None:
        for steps in range(12):
            budget = await make(key=f"key {steps}")
            task = asyncio.create_task(call(budget, takes_s=0.0 if steps % 2 else 50.0))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.sleep(10)
            began = now()
            # A call that may have been sent counts as sent; its place is free in any case.
            assert (await asyncio.gather(call(budget), call(budget)))[1] - began < 1
            await budget.aclose()

    run_flow(main())


@pytest.mark.parametrize("end", ["answered", "lost", "unused", "refused"])
def test_a_place_comes_back_however_its_call_ends(make: Make, end: str) -> None:
    """What was not sent costs nothing; a refusal costs no credits, but pauses the account."""

    async def main() -> None:
        one = ControlLimits(concurrency=1, creates_per_minute=1, credits_per_day=50)
        budget = await make(one)
        ends: dict[str, Callable[[Place], None]] = {
            "answered": lambda place: place.answered(None, well=True),
            "lost": lambda place: None,
            "unused": lambda place: place.unused(),
            "refused": lambda place: place.refused(20, None),
        }
        async with budget.call("create") as place:
            ends[end](place)
        began = now()
        if end in ("answered", "lost"):
            with pytest.raises(CreditsSpent, match="credits_per_day, 50, is spent") as caught:
                await call(budget)
            assert DAY_S <= caught.value.retry_after_s <= DAY_S + SPAN_S
            assert await call(budget, "status") == pytest.approx(began, abs=0.1)
        else:
            waited = await call(budget) - began
            assert waited == pytest.approx(0 if end == "unused" else REFILL_S, abs=0.6)
        await budget.aclose()

    run_flow(main())


def test_the_day_goes_by_and_credits_come_back(make: Make) -> None:
    """Spent credits are told with their end, at which the next create leaves."""

    async def main() -> None:
        budget = await make(ControlLimits(creates_per_minute=9, credits_per_day=120))
        await call(budget)
        flow_loop().now += 7200
        await call(budget)
        with pytest.raises(CreditsSpent) as caught:
            await call(budget)
        assert caught.value.retry_after_s <= DAY_S - 7200 + SPAN_S
        flow_loop().now += caught.value.retry_after_s
        await call(budget)
        with pytest.raises(CreditsSpent):
            await call(budget)
        await budget.aclose()

    run_flow(main())


def test_what_the_service_says_of_credits_is_heeded(make: Make) -> None:
    """Fewer than the reserve: no create. None: nothing at all. No word: all is well again."""

    async def main() -> None:
        budget = await make()

        async def told(remaining: int | None) -> None:
            async with budget.call("status") as place:
                place.answered(remaining, well=True)

        await told(1_999)
        with pytest.raises(CreditsSpent, match="credits_reserve, 2000"):
            await call(budget)
        await told(2_000)
        await call(budget)
        await told(0)
        for kind in ("create", "status"):
            with pytest.raises(CreditsSpent, match="credits of the org are spent"):
                await call(budget, kind)
        flow_loop().now += 1800
        await told(None)
        await call(budget)
        await budget.credits_spent()
        with pytest.raises(CreditsSpent):
            await call(budget)
        await budget.aclose()

    run_flow(main())


def test_a_long_pause_is_told_a_short_one_waited_for(make: Make) -> None:
    """A minute passes by itself; for an hour somebody should know."""

    async def main() -> None:
        budget = await make()
        async with budget.call("status") as place:
            place.refused(61, None)
        began = now()
        assert await call(budget) - began == pytest.approx(61, abs=0.1)
        async with budget.call("status") as place:
            place.refused(3600, None)
        with pytest.raises(ControlPaused) as caught:
            await call(budget)
        assert caught.value.retry_after_s == pytest.approx(3600, abs=1)
        await budget.aclose()

    run_flow(main())


def test_clients_without_a_state_directory_share_their_process() -> None:
    """Two of them keep one budget; an account that nobody else asks has its own."""

    async def main() -> None:
        began = now()
        one, other = await opened(None), await opened(None)
        for budget in (one, other, one):
            await call(budget)
        assert await call(other) - began == pytest.approx(REFILL_S, abs=0.6)
        alone = await opened(None, alone=True)
        at = now()
        assert await call(alone) == pytest.approx(at, abs=0.1)

    run_flow(main())


# --- several clients ------------------------------------------------------------------------------


@pytest.mark.slow
def test_processes_keep_one_budget_and_share_it_fairly(make: Make) -> None:
    """Together no more than one could, and each about as much."""

    async def main() -> None:
        budgets = [await make() for _ in range(3)]
        left: list[list[float]] = [[] for _ in budgets]
        most = under_way = 0

        async def work(budget: ControlBudget, mine: list[float]) -> None:
            nonlocal most, under_way
            while now() < began + 600:
                async with budget.call("create") as place:
                    under_way += 1
                    most = max(most, under_way)
                    await asyncio.sleep(1)
                    mine.append(now())
                    under_way -= 1
                    place.answered(None, well=True)

        began = now()
        async with anyio.create_task_group() as group:
            for budget, mine in zip(budgets, left, strict=True):
                group.start_soon(work, budget, mine)
                group.start_soon(work, budget, mine)
        together = sorted(at for mine in left for at in mine)
        gaps = zip(together, together[3:], strict=False)
        assert min(later - earlier for earlier, later in gaps) >= 60
        assert most == 2
        assert len(together) >= 27
        assert all(abs(len(mine) - len(together) / 3) <= 2 for mine in left)
        for budget in budgets:
            await budget.aclose()

    run_flow(main())


@pytest.mark.slow
def test_a_dead_process_gives_its_places_back(make: Make) -> None:
    """When their lease is over, and not before: its calls may still be under way."""

    async def main() -> None:
        victim, other = await make(), await make()
        tasks = [asyncio.create_task(call(victim, "read", 1e6)) for _ in range(3)]
        await asyncio.sleep(1)
        kill(victim)
        began = now()
        assert await call(other) - began == pytest.approx(LEASE_S + LATE_S - 1, abs=1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await other.aclose()

    run_flow(main())


def test_a_pause_and_spent_credits_hold_for_all_processes(make: Make) -> None:
    """What one was told the others need not find out."""

    async def main() -> None:
        one, other = await make(), await make()
        async with one.call("status") as place:
            place.refused(40, None)
        await asyncio.sleep(1)  # the end of a call is written behind it
        began = now()
        assert await call(other) - began == pytest.approx(39, abs=0.6)
        await asyncio.sleep(1)
        async with one.call("status") as place:
            place.answered(0, well=True)
        await one.aclose()
        with pytest.raises(CreditsSpent):
            await call(other)
        foreign = await make(key="another account")
        at = now()
        assert await call(foreign) == pytest.approx(at, abs=0.1)
        for budget in (other, foreign):
            await budget.aclose()

    run_flow(main())


# --- clocks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("step_s", [-1e7, -3600.0, 3600.0, 1e7])
def test_a_clock_that_is_set_breaks_no_minute(tmp_path: Path, step_s: float) -> None:
    """Minutes are of a clock that nobody sets; a day's ceiling lasts a day at most."""

    async def main() -> None:
        set_by, loop = 0.0, asyncio.get_running_loop()
        limits = ControlLimits(creates_per_minute=2, credits_per_day=101)
        budget = await opened(tmp_path, limits, wall=lambda: WALL + set_by + loop.time())
        began = now()
        await call(budget)
        set_by = step_s
        await call(budget, "status")
        found = await call(budget)
        assert found - began < 1
        if step_s < DAY_S:
            with pytest.raises(CreditsSpent) as caught:
                await call(budget)
            assert caught.value.retry_after_s <= DAY_S + 2 * SPAN_S
        else:
            assert await call(budget) - began == pytest.approx(REFILL_S, abs=1)
        await budget.aclose()

    run_flow(main())


@pytest.mark.parametrize("age_s", [5.0, 70.0])
def test_a_reboot_breaks_no_minute(tmp_path: Path, age_s: float) -> None:
    """What was called before counts from the start of the new boot; the day goes on."""

    async def main() -> None:
        limits = ControlLimits(creates_per_minute=2, credits_per_day=150)
        before = await opened(tmp_path, limits)
        await call(before)
        await call(before)
        await before.aclose()
        start, loop = now() - age_s, asyncio.get_running_loop()
        after = await opened(tmp_path, limits, boot="next", clock=lambda: loop.time() - start)
        began = now()
        await call(after)
        assert now() - began == pytest.approx(max(0.0, REFILL_S - age_s), abs=1)
        with pytest.raises(CreditsSpent):
            await call(after)
        await after.aclose()

    run_flow(main())


@pytest.mark.slow
@pytest.mark.parametrize("back_s", [0.0, 30.0, 400.0, 1e6])
@pytest.mark.parametrize("seed", range(4))
def test_a_slow_database_crowds_no_minute(seed: int, back_s: float) -> None:
    """Its replies take up to 8 s, changes are made twice, its clock goes back: as the server sees.

    A place that was had too late is not used.
    """

    async def main() -> None:
        dice, loop = Random(seed), asyncio.get_running_loop()
        rows = MemoryWindows(
            loop.time,
            ahead_s=WALL,
            slow_s=lambda: dice.choice([0.0, 0.0, 0.0, 0.1, 2.0, 8.0]),
            repeat=lambda: dice.random() < 0.2,
        )
        counted: list[float] = []
        under_way = most = 0

        async def work() -> None:
            nonlocal under_way, most
            ledger = HostsLedger("key", rows, clock=loop.time)
            budget = ControlBudget(LIMITS, "key", ledger, LEASE_S)
            for _ in range(5):
                async with budget.call("create") as place:
                    under_way += 1
                    most = max(most, under_way)
                    await asyncio.sleep(takes_s := dice.choice([0.0, 0.2, 5.0, 20.0]))
                    counted.append(now() - takes_s * dice.random())
                    under_way -= 1
                    place.answered(None, well=True)
                if back_s and len(counted) == 5:
                    rows.ahead_s = WALL - back_s
            await budget.aclose()

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(work)
        counted.sort()
        assert len(counted) == 15
        gaps = zip(counted, counted[LIMITS.creates_per_minute :], strict=False)
        assert min(later - earlier for earlier, later in gaps) >= 60
        assert 1 <= most <= LIMITS.concurrency

    run_flow(main())


# --- files ----------------------------------------------------------------------------------------


def test_the_file_is_the_users_own_and_holds_no_secret(tmp_path: Path) -> None:
    """It is made 0600 in a folder made 0700."""

    async def main() -> None:
        budget = await opened(tmp_path / "state")
        await call(budget)
        await budget.aclose()

    run_flow(main())
    path = tmp_path / "state" / CONTROL_FILE.name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def damage(path: Path) -> None:
    path.write_bytes(b"no database" * 500)


def drop(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("DROP TABLE call")
    db.close()


@pytest.mark.parametrize("spoil", [damage, drop])
def test_a_damaged_file_is_set_aside_and_begun_anew_after_a_minute(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    """It is told once, and nothing leaves before what is not known is over."""

    async def main() -> list[str]:
        budget = await opened(tmp_path)
        await call(budget)
        await budget.aclose()
        spoil(tmp_path / CONTROL_FILE.name)
        told: list[str] = []
        began = now()
        one, other = await opened(tmp_path, note=told.append), await opened(tmp_path)
        assert await call(one) - began == pytest.approx(QUIET_S, abs=1)
        assert await call(other) - began == pytest.approx(QUIET_S, abs=1)
        for each in (one, other):
            await each.aclose()
        return told

    told = run_flow(main())
    assert len(told) == 1
    assert "damaged" in told[0]
    assert (tmp_path / CONTROL_FILE.aside_name).exists()


@pytest.mark.parametrize("spoil", [Path.unlink, damage])
def test_a_file_that_goes_while_it_is_used_is_made_anew(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    """All processes meet again in the new one; what is under way ends well."""

    async def main() -> None:
        one, other = await opened(tmp_path), await opened(tmp_path)
        left = [await call(one), await call(other)]
        async with one.call("status") as place:
            spoil(tmp_path / CONTROL_FILE.name)
            place.answered(None, well=True)
        # Who has all of it in memory may not see the damage at once.
        left += [await call(budget) for budget in (one, other, one, other, one)]
        gaps = zip(left, left[3:], strict=False)
        assert min(later - earlier for earlier, later in gaps) >= 60
        assert QUIET_S <= left[-1] - left[0] <= QUIET_S + REFILL_S + 2
        for budget in (one, other):
            await budget.aclose()

    run_flow(main())


def test_without_a_usable_state_directory_a_process_keeps_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so and why, and waits for what others may have sent."""
    monkeypatch.setattr(state_file, "shared_file_system", lambda folder: "NFS")

    async def main() -> list[str]:
        told: list[str] = []
        budget = await opened(tmp_path, note=told.append)
        began = now()
        assert await call(budget) - began == pytest.approx(QUIET_S, abs=1)
        await budget.aclose()
        return told

    (told,) = run_flow(main())
    assert "by this process alone" in told
    assert "NFS" in told


def test_a_file_that_fails_in_the_middle_leaves_a_process_on_its_own(tmp_path: Path) -> None:
    """A full disk ends no export; it is told once, and a minute is waited."""

    async def main() -> list[str]:
        told: list[str] = []
        budget = await opened(tmp_path, note=told.append)
        await call(budget)
        # In one step: how the first call ended may be written just now, and would make a new file.
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "pipe").replace(tmp_path / CONTROL_FILE.name)
        began = now()
        found = await asyncio.gather(call(budget), call(budget, "status"))
        assert [at - began for at in found] == pytest.approx([QUIET_S, QUIET_S], abs=1)
        await budget.aclose()
        return told

    (told,) = run_flow(main())
    assert "not a regular file" in told


@pytest.mark.slow
def test_a_file_that_somebody_holds_is_waited_for_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop goes on meanwhile; who waits can be cancelled; then all leave."""
    monkeypatch.setattr(machine_ledger, "_TOLD_AFTER_S", 0.3)

    async def main() -> list[str]:
        told: list[str] = []
        budget = await opened(tmp_path, note=told.append)
        hog = sqlite3.connect(tmp_path / CONTROL_FILE.name, isolation_level=None)
        hog.execute("BEGIN IMMEDIATE")
        tasks = [asyncio.create_task(call(budget, "status")) for _ in range(2)]
        while not told:
            await asyncio.sleep(0.01)
        tasks[0].cancel()
        await asyncio.wait(tasks[:1])
        assert tasks[0].cancelled()
        assert not tasks[1].done()
        hog.execute("ROLLBACK")
        hog.close()
        await tasks[1]
        await budget.aclose()
        return told

    told = asyncio.run(main())
    assert len(told) == 1
    assert f"process {os.getpid()}" in told[0]

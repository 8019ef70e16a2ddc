"""What all windows hold: schedule, order, cancellation, the ends of a permit, 429s."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.memory_windows import MemoryWindows
from tests.support.virtual_clock import VirtualClockLoop, run_virtual

from bulkfetch.ratelimit import (
    RateLimit,
    SlotLimiter,
    WindowEvent,
    open_limiter,
)
from bulkfetch.ratelimit.postgres.limiter import open_database_limiter
from bulkfetch.ratelimit.slots import this_process
from bulkfetch.ratelimit.throttle import LONGEST_CLOSE_S

TEN = RateLimit()
Make = Callable[..., Awaitable[SlotLimiter]]


@pytest.fixture(params=["slots", "process", "machine", "hosts"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Make a window on the running loop's virtual time; extra arguments as all take them."""

    async def slots(settings: RateLimit = TEN, **more: object) -> SlotLimiter:
        return SlotLimiter(settings, **more)  # type: ignore[arg-type]

    async def process(settings: RateLimit = TEN, **more: object) -> SlotLimiter:
        clock = asyncio.get_running_loop().time
        slots = this_process(clock).slots("key")
        return SlotLimiter(settings, slots=slots, **more)  # type: ignore[arg-type]

    async def machine(settings: RateLimit = TEN, **more: object) -> SlotLimiter:
        now = asyncio.get_running_loop().time
        return await open_limiter(
            settings, "key", tmp_path, clock=now, boot=lambda: "boot", **more  # type: ignore[arg-type]
        )  # fmt: skip

    async def hosts(settings: RateLimit = TEN, **more: object) -> SlotLimiter:
        now = asyncio.get_running_loop().time
        return await open_database_limiter(
            settings, "acme", "key", MemoryWindows(now), clock=now, **more  # type: ignore[arg-type]
        )  # fmt: skip

    makers = {"slots": slots, "process": process, "machine": machine, "hosts": hosts}
    return makers[request.param]


def now() -> float:
    return asyncio.get_running_loop().time()


def near(*seconds: float) -> object:
    return pytest.approx(list(seconds), abs=1e-3)


@pytest.mark.parametrize("jobs", [1, 10, 25, 64])
def test_the_nth_request_leaves_as_early_as_the_promise_allows(make: Make, jobs: int) -> None:
    """With answers that come at once the n-th grant is at floor((n-1)/10) * 61 s."""

    async def main() -> list[float]:
        window = await make()
        grants = []
        for _ in range(jobs):
            permit = await window.acquire()
            grants.append(now())
            permit.answered()
        await window.aclose()
        return grants

    assert run_virtual(main()) == near(*(n // 10 * 61.0 for n in range(jobs)))


def test_a_slot_comes_back_a_refill_after_its_answer(make: Make) -> None:
    """The minute starts at the answer, not when the request was sent."""

    async def main() -> list[float]:
        window = await make()
        permits = [await window.acquire() for _ in range(10)]
        for permit in permits:
            await asyncio.sleep(2)
            permit.answered()
        grants = []
        for _ in range(10):
            (await window.acquire()).answered()
            grants.append(now())
        await window.aclose()
        return grants

    assert run_virtual(main()) == near(*(63.0 + 2 * n for n in range(10)))


def test_waiters_are_served_in_order_although_some_give_up(make: Make) -> None:
    """First come, first served; one who is cancelled, even as he is served, holds nothing."""

    async def main() -> tuple[list[int], int]:
        window = await make()
        for _ in range(10):
            (await window.acquire()).answered()
        served = []

        async def wait(number: int) -> None:
            permit = await window.acquire()
            served.append(number)
            permit.answered()

        tasks = []
        for number in range(30):
            tasks.append(asyncio.create_task(wait(number)))
            await asyncio.sleep(0)
        for number in (0, 3, 4, 29):
            tasks[number].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        state = window.state()
        await window.aclose()
        return served, state.in_flight + state.waiting

    served, left = run_virtual(main())
    assert served == [n for n in range(30) if n not in (0, 3, 4, 29)]
    assert left == 0


def test_a_permit_granted_to_a_cancelled_waiter_goes_to_the_next(make: Make) -> None:
    """A cancel in the very step of the grant loses no slot."""

    async def main() -> float:
        window = await make(RateLimit(requests=1))
        first = await window.acquire()
        cancelled = asyncio.create_task(window.acquire())
        following = asyncio.create_task(window.acquire())
        await asyncio.sleep(0.5)
        first.unused()  # grants to `cancelled`, which has not run since
        cancelled.cancel()
        (await following).answered()
        granted_at = now()
        await asyncio.gather(cancelled, return_exceptions=True)
        await window.aclose()
        return granted_at

    assert run_virtual(main()) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.slow
def test_mass_cancellation_leaves_the_line_in_order(make: Make) -> None:
    """Two thousand who give up at once, while a slot frees, do not hold up the one behind them."""

    async def main() -> float:
        window = await make(RateLimit(requests=1))
        first = await window.acquire()
        crowd = [asyncio.create_task(window.acquire()) for _ in range(2_000)]
        last = asyncio.create_task(window.acquire())
        await asyncio.sleep(1)
        for task in crowd:
            task.cancel()
        first.unused()
        (await last).answered()
        await asyncio.gather(*crowd, return_exceptions=True)
        await window.aclose()
        return now()

    assert run_virtual(main()) == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize(("end", "free_at"), [("answered", 71.0), ("lost", 76.0), ("unused", 10.0)])
def test_each_end_frees_the_slot_at_its_time(make: Make, end: str, free_at: float) -> None:
    """Answered: a refill later; unknown: grace more; unused: at once. Only the first end counts."""

    async def main() -> float:
        window = await make(RateLimit(requests=1))
        permit = await window.acquire()
        await asyncio.sleep(10)
        getattr(permit, end)()
        permit.unused()
        permit.lost()
        (await window.acquire()).answered()
        await window.aclose()
        return now()

    assert run_virtual(main()) == pytest.approx(free_at, abs=1e-3)


def test_an_answer_after_a_lost_request_is_the_first_to_free_its_slot(make: Make) -> None:
    """Who waits is served by the slot that is free first, whichever was used first."""

    async def main() -> float:
        window = await make(RateLimit(requests=2))
        lost, answered = await window.acquire(), await window.acquire()
        lost.lost()
        waiting = asyncio.create_task(window.acquire())
        await asyncio.sleep(1)
        answered.answered()
        (await waiting).answered()
        await window.aclose()
        return now()

    assert run_virtual(main()) == pytest.approx(62, abs=1e-3)


def test_a_dropped_permit_counts_as_lost(make: Make) -> None:
    """A permit that nobody settles blocks its slot for a refill and the grace, not for ever."""

    async def main() -> float:
        window = await make(RateLimit(requests=1))
        await window.acquire()
        (await window.acquire()).answered()
        await window.aclose()
        return now()

    assert run_virtual(main()) == pytest.approx(66, abs=1e-2)


@pytest.mark.parametrize(
    ("asked", "closed_s"),
    [
        (None, 61.0),
        (90.0, 91.0),
        (0.0, 1.0),
        (-5.0, 1.0),
        (math.nan, 61.0),
        (math.inf, LONGEST_CLOSE_S + 1),
        (1e9, LONGEST_CLOSE_S + 1),
    ],
)
def test_a_429_closes_the_account(make: Make, asked: float | None, closed_s: float) -> None:
    """Closed for what the server asks, within reason, and the margin; else for a refill."""

    async def main() -> tuple[float, float]:
        window = await make()
        (await window.acquire()).rejected(asked)
        closed = window.state().closed_s
        (await window.acquire()).answered()
        await window.aclose()
        return closed, now()

    assert run_virtual(main()) == near(closed_s, closed_s)


def test_after_a_429_a_probe_goes_alone(make: Make) -> None:
    """Only the probe's answer lets the others follow; a lost probe is followed by another one."""

    async def main() -> list[float]:
        window = await make()
        (await window.acquire()).rejected(None)
        grants: list[float] = []

        async def fetch(number: int) -> None:
            permit = await window.acquire()
            grants.append(now())
            if number == 0:
                await asyncio.sleep(3)
                permit.lost()
            elif number == 1:
                await asyncio.sleep(4)
                permit.unused()
            else:
                await asyncio.sleep(5 if number == 2 else 0)
                permit.answered()

        await asyncio.gather(*(fetch(n) for n in range(6)))
        await window.aclose()
        return grants

    assert run_virtual(main()) == near(61, 64, 68, 73, 73, 73)


def test_a_refused_probe_closes_the_account_again(make: Make) -> None:
    """A lock-out that lasts costs one request a minute, and is told each time."""

    async def main() -> tuple[list[float], list[str]]:
        events: list[WindowEvent] = []
        window = await make(on_event=events.append)
        grants = []
        for _ in range(4):
            permit = await window.acquire()
            grants.append(now())
            permit.rejected(None)
        await window.aclose()
        return grants, [event.kind for event in events]

    grants, kinds = run_virtual(main())
    assert grants == near(0, 61, 122, 183)
    assert kinds.count("closed") == 4
    assert kinds.count("shared") == 1


def test_an_account_bears_less_is_said_once_and_forgotten_in_time(make: Make) -> None:
    """The share shrinks to what the server took, is told once, and grows back to all slots."""

    async def main() -> tuple[list[int], list[str]]:
        events: list[WindowEvent] = []
        window = await make(on_event=events.append)
        permits = [await window.acquire() for _ in range(10)]
        for number, permit in enumerate(permits):
            if number < 7:
                permit.answered()
            else:
                permit.rejected(None)
        capacities = []
        while now() < 3600:
            (await window.acquire()).answered()
            capacities.append(window.state().capacity)
        await window.aclose()
        return capacities, [event.kind for event in events]

    capacities, kinds = run_virtual(main())
    assert capacities[0] == 7
    assert capacities[-1] == 10
    assert capacities == sorted(capacities)
    assert kinds == ["closed", "shared", "restored"]


def test_a_window_without_line_says_how_things_stand(make: Make) -> None:
    """The state gives free slots, requests in flight, who waits and when the next slot is free."""

    async def main() -> None:
        window = await make(RateLimit(requests=2))
        assert (window.state().free, window.state().next_free_s) == (2, 0.0)
        first, second = await window.acquire(), await window.acquire()
        assert (window.state().in_flight, window.state().next_free_s) == (2, None)
        first.answered()
        waiting = asyncio.create_task(window.acquire())
        await asyncio.sleep(1)
        state = window.state()
        assert (state.free, state.in_flight, state.waiting) == (0, 1, 1)
        assert state.next_free_s == pytest.approx(60, abs=1e-3)
        second.answered()
        (await waiting).answered()
        await window.aclose()

    run_virtual(main())


def test_an_ended_window_lets_nobody_wait(make: Make) -> None:
    """Who waits is told when the window is closed for good; late settlers harm nothing."""

    async def main() -> None:
        window = await make(RateLimit(requests=1))
        permit = await window.acquire()
        waiting = asyncio.create_task(window.acquire())
        await asyncio.sleep(0)
        await window.aclose()
        permit.answered()
        with pytest.raises(RuntimeError, match="closed for good"):
            await waiting
        with pytest.raises(RuntimeError, match="closed for good"):
            await window.acquire()
        await window.aclose()

    run_virtual(main())


@pytest.mark.parametrize("waiting", [1_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_one_timer_however_many_wait(make: Make, waiting: int) -> None:
    """The line costs no timer, no task step and no look at the slots until somebody is served."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualClockLoop)
        window = await make()
        for _ in range(10):
            (await window.acquire()).answered()
        line = [asyncio.create_task(window.acquire()) for _ in range(waiting)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert window.state().waiting == waiting
        assert loop.live_timers() <= 1
        await asyncio.sleep(62)
        assert [task.done() for task in line[:11]] == [True] * 10 + [False]
        for _ in range(5):
            await asyncio.sleep(0)
        assert loop.live_timers() <= 1 + 1  # the one that renews the leases of the ten
        for task in line[:10]:
            (await task).answered()
        await window.aclose()
        ended = await asyncio.gather(*line[10:], return_exceptions=True)
        assert {type(end) for end in ended} == {RuntimeError}

    run_virtual(main())


def test_a_window_belongs_to_its_loop(make: Make) -> None:
    """Another loop is refused, rather than served with timers that never ring."""

    async def create() -> SlotLimiter:
        return await make()

    async def misuse(window: SlotLimiter) -> None:
        with pytest.raises(RuntimeError, match="event loop"):
            await window.acquire()
        await window.aclose()

    run_virtual(misuse(run_virtual(create())))

"""The promise against an adversary who decides when each request arrives and how it ends."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import pytest
from aiolimiter import AsyncLimiter
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from tests.support.memory_windows import MemoryWindows
from tests.support.virtual_clock import run_virtual

from bulkfetch.ratelimit import Permit, RateLimit, SlotLimiter, open_limiter
from bulkfetch.ratelimit.postgres.limiter import DatabaseLimiter
from bulkfetch.ratelimit.slots import Process

pytestmark = pytest.mark.slow

TEN = RateLimit()
QUIET = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=60,
    suppress_health_check=list(HealthCheck),
)


@dataclass(frozen=True)
class Attempt:
    """A request: idle before it asks, on the wire for so long, counted at a part of that way.

    Of one that is lost the server may hear until the grace is over: `late` is the part of the
    grace at which it does, None for one counted on the way. One that `gave up` waits for a slot for
    `wire_s` at most and sends nothing.
    """

    idle_s: float
    wire_s: float
    part: float
    end: Literal["answered", "lost", "unused", "gave up"]
    late: float | None


PARTS = st.sampled_from([0.0, 1.0]) | st.floats(0, 1)
ATTEMPTS = st.lists(
    st.builds(
        Attempt,
        idle_s=st.sampled_from([0.0, 0.0, 0.0, 30.0]) | st.floats(0, 70),
        wire_s=st.sampled_from([0.0, 0.1, 5.0, 59.0]) | st.floats(0, 30),
        part=PARTS,
        end=st.sampled_from(["answered", "answered", "answered", "lost", "unused", "gave up"]),
        late=st.none() | PARTS,
    ),
    min_size=11,
    max_size=45,
)


class Gate(Protocol):
    async def acquire(self) -> Permit | None: ...
    async def aclose(self) -> None: ...


class Leaky:
    """What people would write: AsyncLimiter(10, 60) in front of each request."""

    def __init__(self) -> None:
        self._limiter = AsyncLimiter(10, 60)

    async def acquire(self) -> None:
        await self._limiter.acquire()

    async def aclose(self) -> None:
        pass


class StampedOnSend:
    """The ten buckets, with the minute starting when the request is sent."""

    def __init__(self) -> None:
        self._window = SlotLimiter(TEN)

    async def acquire(self) -> None:
        (await self._window.acquire()).answered()

    async def aclose(self) -> None:
        await self._window.aclose()


async def arrivals(gate: Gate, attempts: Sequence[Attempt], workers: int) -> list[float]:
    """Send all attempts, `workers` at a time, and give the times at which the server counts."""
    loop = asyncio.get_running_loop()
    counted: list[float] = []
    todo = iter(attempts)

    async def send(attempt: Attempt) -> None:
        permit = await gate.acquire()
        sent = loop.time()
        if attempt.end == "unused":
            await asyncio.sleep(attempt.wire_s)
            if permit:
                permit.unused()
            return
        end_s = attempt.wire_s
        if attempt.end == "answered" or attempt.late is None:
            counted.append(sent + end_s * attempt.part)
        else:
            counted.append(sent + end_s + TEN.grace_s * attempt.late)
        await asyncio.sleep(end_s)
        if permit and attempt.end == "answered":
            permit.answered()
        elif permit:
            permit.lost()

    async def give_up(attempt: Attempt) -> None:
        """Ask for a slot, and be cancelled while waiting for it or in the step of the grant."""
        try:
            async with asyncio.timeout(attempt.wire_s):
                permit = await gate.acquire()
        except TimeoutError:
            return
        if permit:
            permit.unused()

    async def work() -> None:
        for attempt in todo:
            await asyncio.sleep(attempt.idle_s)
            await (give_up if attempt.end == "gave up" else send)(attempt)

    await asyncio.gather(*(work() for _ in range(workers)))
    await gate.aclose()
    return sorted(counted)


def eleventh(counted: Sequence[float]) -> float | None:
    """Give the time of an eleventh arrival within less than 60 s, None where there is none."""
    late = (b for a, b in zip(counted, counted[10:], strict=False) if b - a < TEN.period_s)
    return next(late, None)


Make = Callable[[Path], Awaitable[Gate]]


async def process_window(folder: Path) -> Gate:
    return SlotLimiter(TEN)


async def opened(folder: Path | None, process: Process | None = None) -> SlotLimiter:
    now = asyncio.get_running_loop().time
    return await open_limiter(TEN, "key", folder, clock=now, boot=lambda: "boot", process=process)


async def machine_window(folder: Path) -> Gate:
    return await opened(folder)


class Several:
    """Windows of several processes or clients, asked in turn: the same adversary on them all."""

    def __init__(self, windows: Sequence[SlotLimiter]) -> None:
        self._windows = windows
        self._asked = 0

    async def acquire(self) -> Permit:
        self._asked += 1
        return await self._windows[self._asked % len(self._windows)].acquire()

    async def aclose(self) -> None:
        for window in self._windows:
            await window.aclose()


async def three_processes(folder: Path) -> Gate:
    return Several([await opened(folder, Process()) for _ in range(3)])


async def two_clients(folder: Path) -> Gate:
    """Two clients of one process that has no file."""
    return Several([await opened(None) for _ in range(2)])


async def two_places(folder: Path) -> Gate:
    """Clients of one process with two state directories, and one without."""
    return Several([await opened(place) for place in (folder / "one", folder / "two", None)])


async def on_hosts(windows: MemoryWindows, hosts: int) -> Gate:
    now = asyncio.get_running_loop().time
    shared = [DatabaseLimiter(TEN, "acme", windows, clock=now) for _ in range(hosts)]
    return Several([SlotLimiter(TEN, shared=one) for one in shared])


async def three_hosts(folder: Path) -> Gate:
    """Hosts whose database is 3 days ahead of them, and answers after up to 8 s."""
    now = asyncio.get_running_loop().time
    dice = random.Random(3)
    return await on_hosts(
        MemoryWindows(now, ahead_s=3 * 86_400, slow_s=lambda: dice.choice([0, 0.1, 2, 8])), 3
    )


async def two_hosts_cut_off(folder: Path) -> Gate:
    """Hosts that must say again what was done already, since its reply was lost."""
    dice = random.Random(5)
    windows = MemoryWindows(asyncio.get_running_loop().time, repeat=lambda: dice.random() < 0.2)
    return await on_hosts(windows, 2)


async def leaky(folder: Path) -> Gate:
    return Leaky()


async def stamped_on_send(folder: Path) -> Gate:
    return StampedOnSend()


def play(make: Make, attempts: Sequence[Attempt], workers: int) -> float | None:
    async def main() -> list[float]:
        with tempfile.TemporaryDirectory() as folder:
            return await arrivals(await make(Path(folder)), attempts, workers)

    return eleventh(run_virtual(main()))


@pytest.mark.parametrize(
    "make",
    [
        process_window,
        machine_window,
        three_processes,
        two_clients,
        two_places,
        three_hosts,
        two_hosts_cut_off,
    ],
)
@QUIET
@given(attempts=ATTEMPTS, workers=st.integers(1, 25))
def test_no_adversary_gets_an_eleventh_request_into_a_minute(
    make: Make, attempts: list[Attempt], workers: int
) -> None:
    """Whatever the delays, losses and cancellations, the server counts ten in any 60 s at most."""
    assert play(make, attempts, workers) is None


@pytest.mark.parametrize("make", [leaky, stamped_on_send])
def test_the_same_adversary_breaks_the_usual_limiters(make: Make) -> None:
    """The harness can find what it looks for: in a leaky bucket, in stamps on send."""
    plays = st.tuples(ATTEMPTS, st.integers(1, 25))
    attempts, workers = find(
        plays,
        lambda drawn: play(make, *drawn) is not None,
        settings=settings(QUIET, max_examples=2000, phases=[Phase.generate]),
    )
    assert play(make, attempts, workers) is not None
    assert play(process_window, attempts, workers) is None

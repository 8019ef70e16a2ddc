"""grants.py slots|leaky WAITING: what a grant costs while WAITING callers stand in line.

On a virtual clock, so that all that passes is work. Ten thousand grants are timed (all of them
where fewer wait); each is answered at once.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiolimiter import AsyncLimiter

from benchmarks.ours.clock import VirtualLoop
from bulkfetch.ratelimit import RateLimit, SlotLimiter


def rss() -> int:
    """Give the process's size in bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


async def measure(kind: str, waiting: int) -> dict[str, float]:
    """Park the callers, then let the line move."""
    timed = min(10_000, waiting)
    granted = 0
    acquire: Callable[[], Awaitable[Any]]
    if kind == "slots":
        window = SlotLimiter(RateLimit())
        acquire = window.acquire
    else:
        acquire = AsyncLimiter(10, 60).acquire
    enough = asyncio.Event()

    async def caller() -> None:
        nonlocal granted
        permit = await acquire()
        granted += 1
        if permit is not None:
            permit.answered()
        if granted == timed:
            enough.set()

    before = rss()
    tasks = [asyncio.ensure_future(caller()) for _ in range(waiting + timed)]
    for _ in range(3):
        await asyncio.sleep(0)
    parked = rss() - before
    begin, first = time.process_time(), granted
    await enough.wait()
    took = time.process_time() - begin
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {
        "us_per_grant": took / (timed - first) * 1e6,
        "bytes_per_waiter": parked / len(tasks),
    }


def main() -> None:
    """Tell the cost."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        print(json.dumps(runner.run(measure(sys.argv[1], int(sys.argv[2])))))


if __name__ == "__main__":
    main()

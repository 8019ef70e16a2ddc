"""schedule.py slots|leaky|spaced COUNT: COUNT grants on a virtual clock, each answered at once."""

import asyncio
import json
import sys

from aiolimiter import AsyncLimiter

from benchmarks.ours.clock import VirtualLoop, earliest, worst
from bulkfetch.ratelimit import RateLimit, SlotLimiter

PERIOD_S, REQUESTS = 60.0, 10


async def grants(kind: str, count: int) -> list[float]:
    """Give when each was granted."""
    loop = asyncio.get_running_loop()
    times: list[float] = []
    if kind == "slots":
        window = SlotLimiter(RateLimit())
        for _ in range(count):
            permit = await window.acquire()
            times.append(loop.time())
            permit.answered()
        await window.aclose()
    else:
        limiter = AsyncLimiter(REQUESTS, PERIOD_S) if kind == "leaky" else AsyncLimiter(1, 6)
        for _ in range(count):
            await limiter.acquire()
            times.append(loop.time())
    return times


def main() -> None:
    """Tell the worst minute, and how late the last was."""
    kind, count = sys.argv[1], int(sys.argv[2])
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        times = runner.run(grants(kind, count))
    settings = RateLimit()
    floor = earliest(count, REQUESTS, PERIOD_S)
    with_margin = earliest(count, REQUESTS, settings.refill_s)
    figures = {
        "worst_in_60_s": worst(times, PERIOD_S),
        "last_s": times[-1],
        "late_s": times[-1] - floor,
        "late_beyond_margin_s": times[-1] - with_margin,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

"""fleet.py ACCOUNTS COUNT PERIOD_S: many accounts in one process, each at its own ten a period.

Real time. Answers come at once, so that an account's own schedule is known to the millisecond.
"""

import asyncio
import json
import statistics
import sys

from benchmarks.ours.clock import earliest, worst
from bulkfetch.ratelimit import RateLimit, SlotLimiter

REQUESTS = 10


async def measure(accounts: int, count: int, period_s: float) -> dict[str, float]:
    """Run all accounts side by side, their beginnings spread over a period."""
    loop = asyncio.get_running_loop()
    grants: list[list[float]] = [[] for _ in range(accounts)]

    async def account(times: list[float], start: float) -> None:
        await asyncio.sleep(start - loop.time())
        window = SlotLimiter(RateLimit(REQUESTS, period_s, margin_s=0.0))
        for _ in range(count):
            permit = await window.acquire()
            times.append(loop.time())
            permit.answered()
        await window.aclose()

    begin = loop.time()
    starts = [begin + period_s * number / accounts for number in range(accounts)]
    await asyncio.gather(*map(account, grants, starts))
    due = earliest(count, REQUESTS, period_s)
    late = [
        max(0.0, times[-1] - start - due) / due * 100
        for times, start in zip(grants, starts, strict=True)
    ]
    return {
        "worst_late_percent": max(late),
        "median_late_percent": statistics.median(late),
        "worst_in_period": max(worst(times, period_s) for times in grants),
    }


def main() -> None:
    """Tell how far accounts fell behind."""
    print(json.dumps(asyncio.run(measure(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))))


if __name__ == "__main__":
    main()

"""many_get.py OUT SEATS COUNT URL: aiohttp alone, one small body COUNT times, SEATS at once.

What asking costs, when nothing is limited, checked, written or recorded: bodies are dropped.
"""

import asyncio
import importlib
import json
import sys
import time

aiohttp = importlib.import_module("aiohttp")


async def main() -> None:
    """Fetch all."""
    seats, count, url = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    left = iter(range(count))
    begin, cpu = time.perf_counter(), time.process_time()

    async def ask() -> None:
        for _ in left:
            async with session.get(url) as response:
                response.raise_for_status()
                await response.read()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(ask() for _ in range(seats)))
    took, used = time.perf_counter() - begin, time.process_time() - cpu
    print(json.dumps({"jobs_per_s": count / took, "cpu_us_per_job": used / count * 1e6}))


if __name__ == "__main__":
    asyncio.run(main())

"""sockets.py SEED COUNT PERIOD_S: the window on real sockets, counted by the server itself."""

import asyncio
import json
import random
import sys
import time

from benchmarks.ours.clock import earliest, worst
from bulkfetch.ratelimit import RateLimit, SlotLimiter

REQUESTS = 10


async def measure(seed: int, count: int, period_s: float) -> dict[str, float]:
    """Send `count` requests as early as the window allows."""
    dice = random.Random(seed)
    arrivals: list[float] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        await asyncio.sleep(dice.uniform(0, 0.15))
        arrivals.append(time.monotonic())
        await asyncio.sleep(dice.uniform(0, 0.15))
        writer.write(b"200\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    window = SlotLimiter(RateLimit(REQUESTS, period_s, margin_s=0.0))

    async def ask() -> None:
        permit = await window.acquire()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET\n")
        await reader.readline()
        permit.answered()
        writer.close()

    begin = time.monotonic()
    await asyncio.gather(*(ask() for _ in range(count)))
    await window.aclose()
    server.close()
    return {
        "worst_in_period": worst(arrivals, period_s),
        "last_s": max(arrivals) - begin,
        "earliest_s": earliest(count, REQUESTS, period_s),
    }


def main() -> None:
    """Tell what the server counted."""
    print(json.dumps(asyncio.run(measure(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))))


if __name__ == "__main__":
    main()

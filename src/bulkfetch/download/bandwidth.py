"""The bytes per second that all bodies of a run may take together.

A token bucket on bytes stands before every read but the first: what the last one has brought is
waited for. Meanwhile aiohttp pauses the socket, and the sender feels it. The watchdog counts time
that is spent waiting for the network only, so that a body which waits here never looks stalled.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
from aiolimiter import AsyncLimiter

from bulkfetch.download.attempt import Attempt

Read = Callable[[], Awaitable[bytes]]


class Bandwidth:
    """So many bytes in a second, for all bodies that share it. For one event loop.

    What was not used is kept for a second at most: over any t seconds, t + 1 seconds' worth.
    """

    def __init__(self, bytes_per_s: int) -> None:
        self._bytes_per_s = bytes_per_s
        self._bucket = AsyncLimiter(bytes_per_s, 1)
        # First come, first served: the bucket alone would let small amounts overtake large ones.
        self._turn = anyio.Lock()

    async def take(self, count: int) -> None:
        """Wait until so many bytes may pass. If cancelled: what was waited for counts as passed."""
        async with self._turn:
            while count > 0:
                amount = min(count, self._bytes_per_s)
                await self._bucket.acquire(amount)
                count -= amount

    def bounding(self, read: Read, attempt: Attempt, first_bytes: int) -> Read:
        """Return a `read` that waits at each call until what came before may pass.

        `first_bytes` came before the first call. `attempt.held` is set meanwhile. If cancelled:
        as `read`.
        """
        owed = first_bytes

        async def bounded() -> bytes:
            nonlocal owed
            attempt.held = True
            try:
                await self.take(owed)
            finally:
                attempt.held = False
            data = await read()
            owed = len(data)
            return data

        return bounded

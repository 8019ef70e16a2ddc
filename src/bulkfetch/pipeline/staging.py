"""How much complete ZIPs in staging may hold before no more requests are started."""

from __future__ import annotations

import anyio


class StagingRoom:
    """Counts the bytes of complete ZIPs in staging against a limit.

    Only what is complete counts: bodies on their way in are bounded by the requests in flight.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.bytes = 0
        self._limit_bytes = limit_bytes
        self._freed = anyio.Event()

    def add(self, size: int) -> None:
        """Count a ZIP in."""
        self.bytes += size

    def remove(self, size: int) -> None:
        """Count a ZIP out."""
        self.bytes -= size
        self._freed.set()

    async def wait(self) -> None:
        """Wait until there is room for another one. If cancelled: nothing has changed."""
        while self.bytes >= self._limit_bytes:
            if self._freed.is_set():  # else others wait for this one already
                self._freed = anyio.Event()
            await self._freed.wait()

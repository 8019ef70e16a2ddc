"""How much may wait in staging: the room required before another request is started."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from bulkfetch.errors import DiskFull


class StagingBudget:
    """Counts the bytes of complete ZIPs in staging against a limit.

    Only what is complete counts: bodies on their way in are bounded by the requests in flight.
    `lacking` says why the disk has no room for another one, None where it has.
    """

    def __init__(
        self, limit_bytes: int, lacking: Callable[[], DiskFull | None] = lambda: None
    ) -> None:
        self.bytes = 0
        self._limit_bytes = limit_bytes
        self._lacking = lacking
        self._freed = anyio.Event()

    def add(self, size: int) -> None:
        """Count a ZIP in."""
        self.bytes += size

    def remove(self, size: int) -> None:
        """Count a ZIP out."""
        self.bytes -= size
        self._freed.set()

    async def wait(self) -> None:
        """Wait until there is room for another one. If cancelled: nothing has changed.

        Raises DiskFull where the disk has none and no ZIP waits here whose end may make some.
        """
        while (error := self._lacking()) is not None or self.bytes >= self._limit_bytes:
            if error is not None and self.bytes <= 0:
                raise error
            if self._freed.is_set():  # else others wait for this one already
                self._freed = anyio.Event()
            await self._freed.wait()

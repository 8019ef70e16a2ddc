"""The patience of a transfer: how long without a byte, how slow over a minute."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import TypeVar

import aiohttp

from bulkfetch.errors import Stalled
from bulkfetch.transfer.attempt import Attempt

T = TypeVar("T")

# A transfer's speed is judged over this much time spent waiting for the network.
RATE_SPAN_S = 60.0


class Watchdog:
    """Ends a transfer that has stopped to move, or moves too slowly.

    No exception of aiohttp does that reliably: its parser waits for ever on a malformed chunk size
    in a later packet. Only time spent waiting for the network counts; a slow disk of ours is not
    the sender's fault. Use it around the reads; it ends the block with Stalled. It sets to work
    when the network is first waited for: a small body that came with its head needs no timer.
    """

    def __init__(self, attempt: Attempt, idle_s: float, min_bytes_per_s: float) -> None:
        self._attempt = attempt  # keeps the count of bytes
        self._idle_s = idle_s
        self._min_bytes_per_s = min_bytes_per_s
        self._loop = asyncio.get_running_loop()
        self._scope: asyncio.Timeout | None = None
        self._waiting_since: float | None = None
        self._waited = 0.0
        self._span_start = (0.0, 0)  # waited, received
        self._verdict: Stalled | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Watchdog:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._scope is None:
            return
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError:
            if self._verdict is None:
                raise
        else:
            return
        raise self._verdict

    async def watch(self) -> None:
        """Look at the transfer from now on, to the end of the block; once begun, nothing more.

        If cancelled: as the block.
        """
        if self._scope is None:
            self._scope = asyncio.timeout(None)
            await self._scope.__aenter__()
            self._look(self._scope)

    async def read(self, content: aiohttp.StreamReader) -> bytes:
        """Give what has arrived, b"" at the end of the body.

        If cancelled: nothing is lost but this transfer.
        """
        data = content.read_nowait()
        if not data and not content.at_eof():
            data = await self.wait(content.readany())
        self.arrived(len(data))
        return data

    async def wait(self, news: Awaitable[T]) -> T:
        """Wait for the network.

        If cancelled: as `news`.
        """
        await self.watch()
        self.waiting()
        try:
            return await news
        finally:
            self.moved()

    # These three may be called from the thread that moves the body; one at a time moves it.

    def waiting(self) -> None:
        """From now on the network is waited for."""
        self._waiting_since = self._loop.time()

    def moved(self) -> None:
        """It is waited for no longer."""
        since, self._waiting_since = self._waiting_since, None
        if since is not None:
            self._waited += self._loop.time() - since

    def arrived(self, size: int) -> None:
        """Count `size` bytes that came."""
        self._attempt.received += size

    def _look(self, scope: asyncio.Timeout) -> None:
        now, since = self._loop.time(), self._waiting_since
        waiting = 0.0 if since is None else now - since
        waited = self._waited + waiting
        span = waited - self._span_start[0]
        gained = self._attempt.received - self._span_start[1]
        if waiting >= self._idle_s:
            self._verdict = Stalled(f"no byte for {waiting:.0f} s")
        elif span >= RATE_SPAN_S and gained < span * self._min_bytes_per_s:
            self._verdict = Stalled(
                f"{gained / span:.0f} bytes/s over {span:.0f} s, "
                f"less than {self._min_bytes_per_s:g} bytes/s"
            )
        elif span >= RATE_SPAN_S:
            self._span_start = (waited, self._attempt.received)
        if self._verdict is not None:
            scope.reschedule(now)
            return
        self._timer = self._loop.call_later(min(self._idle_s, RATE_SPAN_S) / 10, self._look, scope)

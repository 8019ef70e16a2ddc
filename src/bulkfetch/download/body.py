"""A response's body on its way to disk, read with patience that ends.

Every body goes through aiofiles, in few large writes, since each one costs a hop to a thread.
Memory is bounded by one batch and aiohttp's read buffer, whatever the body's size: a slow disk
holds up the writes, aiohttp then pauses the socket, and the sender feels it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiofiles
import aiohttp
import anyio

from bulkfetch.disk import StrPath
from bulkfetch.download.attempt import Attempt
from bulkfetch.errors import BulkfetchError, ConnectionLost, Stalled, TooLarge, Truncated
from bulkfetch.text import escape

# aiohttp pauses the socket when twice this many bytes wait to be read. The event loop reads 256 KiB
# at a time: less pauses too often, more only costs memory and page faults.
READ_BUFFER_BYTES = 256 << 10
# What is collected before it is handed to a thread: a hop costs as much as copying some 100 KiB.
BATCH_BYTES = 512 << 10
# A transfer's speed is judged over this much time spent waiting for the network.
RATE_SPAN_S = 60.0


async def save_body(
    read: Callable[[], Awaitable[bytes]],
    first: bytes,
    part: StrPath,
    *,
    offset: int,
    cap_bytes: int,
) -> int:
    """Write a body to `part` from `offset` on, and return the size of the file in bytes.

    `read` is a `Watchdog`'s; `first` is what has been read of the body already. The bytes before
    `offset` are those of an earlier call; what stands behind it is cut off. What arrived before a
    break is written, so that it can be resumed.

    Raises TooLarge before the file grows beyond `cap_bytes`; Truncated, ConnectionLost, Stalled;
    OSError of the disk.
    If cancelled: `part` holds what was written so far, and nothing writes to it any more.
    """
    size = offset + len(first)
    batch, pending = [first], len(first)
    with anyio.CancelScope(shield=True):
        file = await aiofiles.open(part, "r+b" if offset else "wb")
    try:
        if offset:
            await file.seek(offset)
            await file.truncate()
        while True:
            try:
                data = await read()
            except (ConnectionLost, Stalled, Truncated):
                await file.writelines(batch)
                raise
            size += len(data)
            if size > cap_bytes:
                raise TooLarge(f"more than {cap_bytes} bytes came")
            batch.append(data)
            pending += len(data)
            if pending >= BATCH_BYTES or not data:
                await file.writelines(batch)
                batch, pending = [], 0
            if not data:
                return size
    finally:
        # Waits for a write under way in its thread: nothing writes after this returns.
        with anyio.CancelScope(shield=True):
            await file.close()


class Watchdog:
    """Reads the body of one attempt, and gives it up when it stops or moves too slowly.

    No timeout of aiohttp does that reliably: its parser waits for ever on a malformed chunk size in
    a later packet. Only time spent waiting for the network counts, since a slow disk is not the
    sender's fault.
    """

    def __init__(
        self,
        content: aiohttp.StreamReader,
        attempt: Attempt,
        idle_s: float,
        min_bytes_per_s: float,
    ) -> None:
        self._content = content
        self._attempt = attempt
        self._idle_s = idle_s
        self._min_bytes_per_s = min_bytes_per_s
        self._span_s = 0.0  # waited since the speed was last judged
        self._span_start = 0

    async def read(self) -> bytes:
        """Return the bytes that have arrived, after waiting for the first; b"" at the end.

        Raises Stalled, Truncated, ConnectionLost. If cancelled: nothing is lost but this transfer.
        """
        error: BulkfetchError
        try:
            data = self._content.read_nowait()
            if not data and not self._content.at_eof():
                data = await self._wait()
        except aiohttp.ClientPayloadError:
            error = Truncated("the body ended before its announced length")
        except (aiohttp.ClientError, OSError, ValueError) as foreign:
            error = ConnectionLost(escape(str(foreign) or type(foreign).__name__, 200))
        else:
            return data
        finally:
            # With what a break has left in aiohttp's buffer, where nobody can read it any more.
            self._attempt.received = self._content.total_bytes
        raise error

    async def _wait(self) -> bytes:
        loop = asyncio.get_running_loop()
        idle_at = loop.time() + self._idle_s
        while True:
            self._judge_speed()
            started = loop.time()
            patience = asyncio.timeout_at(min(idle_at, started + RATE_SPAN_S - self._span_s))
            try:
                async with patience:
                    return await self._content.readany()
            except TimeoutError:
                if not patience.expired():
                    raise
                if loop.time() >= idle_at:
                    raise Stalled(f"no byte for {self._idle_s:.0f} s") from None
            finally:
                self._span_s += loop.time() - started

    def _judge_speed(self) -> None:
        span_s = self._span_s
        if span_s < RATE_SPAN_S:
            return
        gained = self._content.total_bytes - self._span_start
        if gained < span_s * self._min_bytes_per_s:
            raise Stalled(
                f"{gained / span_s:.0f} bytes/s over {span_s:.0f} s, "
                f"less than {self._min_bytes_per_s:g} bytes/s"
            )
        self._span_s, self._span_start = 0.0, self._content.total_bytes

"""A reply's body, streamed to disk.

Three things make it fast (benchmarks/README.md has the figures): a large `read_bufsize`, so that
the transport is rarely paused; few large writes, since each costs a hop to a thread; and no copy
in between: the pieces are written as they came (`writelines`). Memory is bounded by one batch and
one read buffer per transfer, whatever the body's size. A slow disk holds up the writes, the full
read buffer pauses the socket, and the sender feels it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType

import aiofiles
import aiohttp
import anyio
import anyio.to_thread

from bulkfetch.errors import BulkfetchError, ConnectionLost, Stalled, TooLarge, Truncated
from bulkfetch.transfer.attempt import Attempt
from bulkfetch.zoho.replies import printable

# aiohttp pauses the socket when twice this many bytes wait to be read. The event loop reads 256 KiB
# at a time: less pauses too often, more only costs memory and page faults.
READ_BUFFER_BYTES = 256 << 10
# What is collected before it is handed to the writing thread: a hop to a thread costs as much as
# copying some hundred KiB, and ten transfers hold two batches each.
BATCH_BYTES = 1 << 20
# A transfer's speed is judged over this much time spent waiting for the network.
RATE_SPAN_S = 60.0


class Watchdog:
    """Ends a transfer that has stopped to move, or moves too slowly.

    No exception of aiohttp does that reliably: its parser waits for ever on a malformed chunk size
    in a later packet. Only time spent waiting for the network counts; a slow disk of ours is not
    the sender's fault. Use it around the reads; it ends the block with Stalled.
    """

    def __init__(self, attempt: Attempt, idle_s: float, min_bytes_per_s: float) -> None:
        self._attempt = attempt  # keeps the count of bytes
        self._idle_s = idle_s
        self._min_bytes_per_s = min_bytes_per_s
        self._loop = asyncio.get_running_loop()
        self._scope = asyncio.timeout(None)
        self._waiting_since: float | None = None
        self._waited = 0.0
        self._span_start = (0.0, 0)  # waited, received
        self._verdict: Stalled | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Watchdog:
        await self._scope.__aenter__()
        self._look()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError:
            if self._verdict is None:
                raise
        else:
            return
        raise self._verdict

    async def read(self, content: aiohttp.StreamReader) -> bytes:
        """Give what has arrived, b"" at the end of the body.

        If cancelled: nothing is lost but this transfer.
        """
        start = self._waiting_since = self._loop.time()
        try:
            data = await content.readany()
        finally:
            self._waiting_since = None
        self._waited += self._loop.time() - start
        self._attempt.received += len(data)
        return data

    def _look(self) -> None:
        now = self._loop.time()
        waiting = 0.0 if self._waiting_since is None else now - self._waiting_since
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
            self._scope.reschedule(now)
            return
        self._timer = self._loop.call_later(min(self._idle_s, RATE_SPAN_S) / 10, self._look)


async def save(
    content: aiohttp.StreamReader,
    watchdog: Watchdog,
    part: Path,
    *,
    first: bytes,
    offset: int,
    cap_bytes: int,
) -> int:
    """Write a body to `part` and give the file's size in bytes.

    `first` is what has been read of the body already. `offset` is where writing begins: what
    stands behind it is cut off, and must have been written by an earlier call. At most `cap_bytes`
    are ever in the file.

    Raises TooLarge, Truncated, ConnectionLost, Stalled, OSError of the disk.
    If cancelled: `part` holds what was written so far, and nothing writes to it any more.
    """
    pieces = _Pieces(content, watchdog, first, cap_bytes - offset)
    batch = await pieces.batch()
    if pieces.ended and not offset:
        # Small results are many: one hop to a thread in place of three. Not abandoned on cancel.
        await anyio.to_thread.run_sync(_write_whole, part, batch)
    else:
        with anyio.CancelScope(shield=True):
            file = await aiofiles.open(part, "r+b" if offset else "wb")
        try:
            if offset:
                await file.seek(offset)
                await file.truncate()
            while batch:
                await file.writelines(batch)
                batch = await pieces.batch()
        finally:
            # Waits for a write still under way in its thread: nothing writes after this returns.
            with anyio.CancelScope(shield=True):
                await file.close()
    if pieces.failure is not None:
        raise pieces.failure
    return offset + pieces.bytes


class _Pieces:
    """A body in batches of pieces as they came; `bytes` counts them, `failure` is why it broke.

    What arrived before a break is still given: it is written, and may be resumed from.
    """

    def __init__(
        self, content: aiohttp.StreamReader, watchdog: Watchdog, first: bytes, cap_bytes: int
    ) -> None:
        self.bytes = 0
        self.ended = False
        self.failure: BulkfetchError | None = None
        self._content = content
        self._watchdog = watchdog
        self._first = first
        self._cap_bytes = cap_bytes

    async def batch(self) -> list[bytes]:
        """Give the next BATCH_BYTES or a little more, less at the end, none behind it."""
        pieces, pending = ([self._first], len(self._first)) if self._first else ([], 0)
        self._first = b""
        while pending < BATCH_BYTES and not self.ended:
            try:
                data = await self._watchdog.read(self._content)
            except (aiohttp.ClientError, OSError, ValueError) as foreign:
                self.failure = _own(foreign)
                data = b""
            if data:
                pieces.append(data)
                pending += len(data)
            else:
                self.ended = True
            if self.bytes + pending > self._cap_bytes:
                raise TooLarge(f"more than {self._cap_bytes} bytes came")
        self.bytes += pending
        return pieces


def _write_whole(part: Path, batch: list[bytes]) -> None:
    with part.open("wb") as file:
        file.writelines(batch)


def _own(foreign: Exception) -> BulkfetchError:
    match foreign:
        case aiohttp.ClientPayloadError():
            return Truncated("the body ended before its announced length")
        case _:
            return ConnectionLost(printable(str(foreign) or type(foreign).__name__, 200))

"""A reply's body, streamed to disk.

Three things make it fast (benchmarks/README.md has the figures): few large writes, since each costs
a hop to a thread; no copy in between, the pieces are written as they came (`writelines`); and for
large bodies no parser either (`direct`). Memory is bounded by two batches per transfer, whatever
the body's size. A slow disk holds up the writes, that pauses the socket, and the sender feels it.
"""

from __future__ import annotations

from pathlib import Path

import aiofiles
import aiohttp
import anyio
import anyio.to_thread

from bulkfetch.errors import BulkfetchError, ConnectionLost, TooLarge, Truncated
from bulkfetch.text import escape
from bulkfetch.transfer.watchdog import Watchdog

# aiohttp pauses the socket when twice this many bytes wait to be read. The event loop reads 256 KiB
# at a time: less pauses too often, more only costs memory and page faults.
READ_BUFFER_BYTES = 256 << 10
# What is collected before it is handed to the writing thread: a hop to a thread costs as much as
# copying some hundred KiB, and ten transfers hold two batches each.
BATCH_BYTES = 1 << 20


class ParsedBody:
    """A body as aiohttp's parser gives it, in pieces as they came.

    `first` is what has been read of it already; more than `cap_bytes` are never given. `bytes`
    counts what was given; `ended` says that nothing follows; `failure` is why it broke, None as
    long as it did not. What arrived before a break is still given: it may be resumed from.
    """

    def __init__(
        self, content: aiohttp.StreamReader, watchdog: Watchdog, first: bytes, cap_bytes: int
    ) -> None:
        self.bytes = 0
        self.ended = False
        self.failure: BulkfetchError | None = None
        self._batch: list[bytes] = []
        self._content = content
        self._watchdog = watchdog
        self._first = first
        self._cap_bytes = cap_bytes

    async def whole(self, most: int) -> bytes | None:
        """Give all of the body if that is no more than `most` bytes; else None, and `save` it.

        Raises TooLarge, Stalled. If cancelled: nothing is lost but this transfer.
        """
        self._batch = await self.batch()
        if self.failure is None and self.ended and self.bytes <= most:
            return b"".join(self._batch)
        return None

    async def save(self, part: Path, *, offset: int) -> int:
        """Write the body to `part` and give the file's size in bytes.

        `offset` is where writing begins: what stands behind it is cut off, and must have been
        written by an earlier call.

        Raises TooLarge, Truncated, ConnectionLost, Stalled, OSError of the disk.
        If cancelled: `part` holds what was written so far, and nothing writes to it any more.
        """
        # What `whole` has read is not kept beside the batches that follow.
        batch, self._batch = self._batch or await self.batch(), []
        if self.ended and not offset:
            # Small ones are many: one hop in place of three, and not abandoned on cancel.
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
                    batch = await self.batch()
            finally:
                # Waits for a write under way in its thread: nothing writes after this returns.
                with anyio.CancelScope(shield=True):
                    await file.close()
        if self.failure is not None:
            raise self.failure
        return offset + self.bytes

    async def batch(self) -> list[bytes]:
        """Give the next BATCH_BYTES or a little more, less at the end, none behind it.

        Raises TooLarge, Stalled. If cancelled: nothing is lost but this transfer.
        """
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
            return ConnectionLost(escape(str(foreign) or type(foreign).__name__, 200))

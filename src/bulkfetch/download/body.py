"""A response's body on its way to disk.

Every body goes through aiofiles, in few large writes, since each one costs a hop to a thread.
Memory is bounded by one batch and aiohttp's read buffer, whatever the body's size: a slow disk
holds up the writes, aiohttp then pauses the socket, and the sender feels it.
"""

from __future__ import annotations

from pathlib import Path

import aiofiles
import anyio

from bulkfetch.download.watchdog import Watchdog
from bulkfetch.errors import ConnectionLost, Stalled, TooLarge, Truncated

# aiohttp pauses the socket when twice this many bytes wait to be read. The event loop reads 256 KiB
# at a time: less pauses too often, more only costs memory and page faults.
READ_BUFFER_BYTES = 256 << 10
# What is collected before it is handed to a thread: a hop costs as much as copying some 100 KiB.
BATCH_BYTES = 512 << 10


async def save_body(
    watchdog: Watchdog, first: bytes, part: Path, *, offset: int, cap_bytes: int
) -> int:
    """Write a body to `part` from `offset` on, and return the size of the file in bytes.

    `first` is what has been read of the body already. The bytes before `offset` are those of an
    earlier call; what stands behind it is cut off. What arrived before a break is written, so that
    it can be resumed.

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
                data = await watchdog.read()
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

"""The rest of a large body, moved from socket to file by one thread of its own.

Once the head has been read, a body of announced length is bytes and nothing else: nothing is left
to parse. So the transport is told to read no more, and a thread reads the socket, decrypts, and
writes, a block at a time, without the event loop. The bytes never leave the cache of one core,
which halves the CPU of a large transfer; a disk that hangs holds up this transfer alone; and the
loop is free for what must be on time (benchmarks/README.md has the figures).

Of all threads that move bodies one reads and decrypts at a time, in turns of a block; waiting for
the network and writing to the disk are nobody's turn. Each record of TLS lets the interpreter go
and wants it back: ten threads that do so at once spend a tenth of their time on handing it around.

Public ways only: the response's connection, its transport, what that tells of socket and TLS, and
for the latter a context of our own (`tls`). Where any of it is missing the parser's way is taken.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import cast

import aiohttp
import anyio
import anyio.to_thread

from bulkfetch.disk import begin_writeback
from bulkfetch.errors import BulkfetchError, ConnectionLost, Truncated
from bulkfetch.transfer.tls import BareTls
from bulkfetch.transfer.watchdog import Watchdog
from bulkfetch.zoho.replies import printable

# One of ciphertext, one of plaintext. Smaller writes leave the page cache with more and smaller
# folios (at 256 KiB a transfer takes a sixth longer), larger blocks no longer stay in a core's
# second-level cache, and ten transfers hold twenty of them.
BLOCK_BYTES = 512 << 10
# What is shorter is not worth its connection, which cannot be used for another request after this.
WORTH_BYTES = 4 << 20
# So often the disk is asked to begin writing: the fsync at the end then finds little left to do.
WRITEBACK_BYTES = 8 << 20


class DirectBody:
    """What is left of a body. With its end the response is closed, whose parser has not seen it."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        own: socket.socket,
        tls: BareTls | None,
        watchdog: Watchdog,
        begun: list[bytes],
        rest: int,
        turn: threading.Lock,
    ) -> None:
        """Take over; `own` is the connection's socket, `begun` what came before, `rest` is due."""
        self.bytes = 0
        self._response = response
        self._socket = own
        self._tls = tls
        self._watchdog = watchdog
        self._begun = begun
        self._rest = rest
        self._turn = turn
        self._failure: BulkfetchError | None = None
        self._stopped = False
        self._readable = select.poll()
        self._readable.register(own, select.POLLIN)
        # Ciphertext on its way; without TLS bytes go straight to their block.
        self._raw = memoryview(bytearray(BLOCK_BYTES if tls else 0))

    async def save(self, part: Path, *, offset: int) -> int:
        """Write the body to `part`, as `ParsedBody.save`, and give the file's size in bytes.

        Raises Truncated, ConnectionLost, Stalled, OSError of the disk.
        If cancelled: `part` holds what was written so far, and nothing writes to it any more.
        """
        # A limiter of its own: how many move at once is the seats' matter.
        move = anyio.to_thread.run_sync(self._move, part, offset, limiter=anyio.CapacityLimiter(1))
        moving = asyncio.create_task(move)
        try:
            await asyncio.shield(moving)
        except BaseException:
            self._stopped = True
            with suppress(OSError):  # the server may have been first
                self._socket.shutdown(socket.SHUT_RDWR)  # who waits for bytes wakes up
            with anyio.CancelScope(shield=True):
                while not moving.done():  # a second cancel changes nothing
                    with suppress(asyncio.CancelledError):
                        await asyncio.wait([moving])
            moving.exception()
            raise
        finally:
            self._socket.close()
            self._response.close()
        return offset + self.bytes

    # --- in a thread -----------------------------------------------------------------------------

    def _move(self, part: Path, offset: int) -> None:
        with part.open("r+b" if offset else "wb", buffering=0) as file:
            if offset:
                file.seek(offset)
                file.truncate()
            for piece in self._begun:
                self._write(file, memoryview(piece))
            block, begun_at = memoryview(bytearray(BLOCK_BYTES)), 0
            while self._rest and not self._stopped:
                with self._turn:
                    got = self._fill(block[: self._rest])
                self._rest -= got
                self._write(file, block[:got])
                if self._failure is not None:
                    raise self._failure
                if self.bytes - begun_at >= WRITEBACK_BYTES:
                    begin_writeback(file.fileno(), offset + begun_at, self.bytes - begun_at)
                    begun_at = self.bytes

    def _write(self, file: FileIO, data: memoryview) -> None:
        self.bytes += len(data)
        while data:
            data = data[file.write(data) :]

    def _fill(self, room: memoryview) -> int:
        """Fill `room`, less only where the body breaks off: `_failure` says why."""
        got = 0
        try:
            while got < len(room):
                size = self._receive(room[got:]) if self._tls is None else self._decrypt(room[got:])
                if not size:
                    self._failure = Truncated("the body ended before its announced length")
                    break
                self._watchdog.arrived(size)
                got += size
        except OSError as foreign:  # of TLS as well
            self._failure = ConnectionLost(printable(str(foreign), 200))
        return got

    def _decrypt(self, room: memoryview) -> int:
        """Give how many bytes of plaintext came into `room`; 0 at the end."""
        assert self._tls is not None
        tls, got, size = self._tls, 0, len(room)
        read = cast(Callable[[int, memoryview], int], tls.read)  # typed as without a buffer
        while got < size:
            try:
                # One record of 16 KiB at most: what is done here is done 60,000 times a gigabyte.
                record = read(size - got, room[got:])
            except ssl.SSLWantReadError:
                if got:
                    break
                if reply := tls.outgoing.read():  # to a change of keys
                    self._socket.send(reply)
                if not (raw := self._receive(self._raw)):
                    break
                tls.incoming.write(self._raw[:raw])
            else:
                if not record:  # the server has said that nothing follows
                    break
                got += record
        return got

    def _receive(self, into: memoryview) -> int:
        """Wait for bytes from the socket; 0 at the end, and when stopped."""
        while True:
            try:
                return self._socket.recv_into(into)
            except BlockingIOError:
                self._turn.release()
                try:
                    self._watchdog.waiting()
                    self._readable.poll()
                    self._watchdog.moved()
                finally:
                    self._turn.acquire()


async def take_over(
    response: aiohttp.ClientResponse,
    watchdog: Watchdog,
    first: bytes,
    rest: int | None,
    turn: threading.Lock,
) -> DirectBody | None:
    """Take a body over from aiohttp, or give None where that cannot be or is not worth it.

    `first` is what has been read of it already, `rest` the announced size in bytes of what follows,
    None where it is not announced; `turn` is shared by all that move at once. Not for connections
    through a proxy, whose socket may carry one TLS within another.
    """
    connection, content = response.connection, response.content
    transport = None if connection is None else connection.transport
    if transport is None or transport.is_closing() or content.is_eof() or content.exception():
        return None
    # A transfer encoding has its own bytes between those of the body.
    if rest is None or rest < WORTH_BYTES or "Transfer-Encoding" in response.headers:
        return None
    tls = transport.get_extra_info("ssl_object")
    limit_reading = getattr(transport, "set_read_buffer_limits", None)
    if tls is not None and not (isinstance(tls, BareTls) and limit_reading):
        return None
    begun = [first] if first else []
    while waiting := content.read_nowait():
        begun.append(waiting)
        rest -= len(waiting)
        watchdog.arrived(len(waiting))
    # Nothing more reaches the parser. That the reading above has just resumed the transport is
    # forgotten within a turn of the loop.
    transport.pause_reading()
    await asyncio.sleep(0)
    if transport.is_closing():
        return None
    if tls is not None and limit_reading is not None:
        limit_reading(high=0)  # nor anything into TLS
    own = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
    return DirectBody(response, own, tls, watchdog, begun, rest, turn)

"""The rest of a large body, moved from socket to file by one thread of its own.

Once the head has been read, a body of announced length is bytes and nothing else: nothing is left
to parse. So the transport is told to read no more, and a thread reads the socket, decrypts, and
writes, a block at a time, without the event loop. The bytes never leave the cache of one core,
which halves the CPU of a large transfer, and the loop is free for what must be on time
(benchmarks/README.md has the figures). Of all threads that do so one moves at a time (`turn`).

Public ways only: the response's connection, its transport, what that tells of socket and TLS, and
for the latter a context of our own (`tls`). Where any of it is missing the parser's way is taken.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import cast

import aiohttp
import anyio
import anyio.to_thread

from bulkfetch.errors import BulkfetchError, ConnectionLost, Truncated
from bulkfetch.text import escape
from bulkfetch.transfer.early_sync import EarlySync
from bulkfetch.transfer.tls import BareTls
from bulkfetch.transfer.turn import BLOCK_BYTES, TURN_BYTES, Bench, Turn
from bulkfetch.transfer.watchdog import Watchdog

# What is shorter is not worth its connection, which cannot be used for another request after this.
WORTH_BYTES = 4 << 20


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
        turn: Turn,
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
        self._dry = False
        self._stopped = False
        self._bench: Bench | None = None
        self._filled = 0  # of the bench's block
        self._readable = select.poll()
        self._readable.register(own, select.POLLIN)

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
            with EarlySync(file.fileno()) as early:
                self._move_to(file, early)
        if self._failure is not None:
            raise self._failure

    def _move_to(self, file: FileIO, early: EarlySync) -> None:
        for piece in self._begun:
            self._write(file, memoryview(piece))
        while self._rest and self._failure is None and not self._stopped:
            if self._dry:
                self._wait()
                self._carry(file, BLOCK_BYTES)  # what has come is little: not worth a turn
            else:
                with self._turn.taken():
                    self._carry(file, TURN_BYTES)
            early.grown(self.bytes)
        if self._bench is not None:  # stopped while a block was partly full
            self._write(file, self._bench.block[: self._filled])

    def _carry(self, file: FileIO, most: int) -> None:
        """Move what is at hand, `most` bytes or a little more; keep a block that is partly full."""
        bench = self._bench or self._turn.bench()
        self._bench, self._dry = None, False
        until = self.bytes + most
        while self._rest and self.bytes < until and self._failure is None and not self._stopped:
            self._fill(bench)
            if self._dry:
                break
            self._write(file, bench.block[: self._filled])
            self._filled = 0
        if self._filled:
            self._bench = bench
        else:
            self._turn.put_back(bench)

    def _wait(self) -> None:
        self._watchdog.waiting()
        self._readable.poll()
        self._watchdog.moved()

    def _write(self, file: FileIO, data: memoryview) -> None:
        self.bytes += len(data)
        while data:
            data = data[file.write(data) :]

    def _fill(self, bench: Bench) -> None:
        """Fill the block, less only where nothing is at hand (`_dry`) or the body broke.

        Then `_failure` says why. Without TLS bytes go straight to the block.
        """
        room = bench.block[: self._filled + self._rest]
        try:
            while self._filled < len(room):
                if self._tls is None:
                    size = self._socket.recv_into(room[self._filled :])
                else:
                    size = self._decrypt(self._tls, room[self._filled :], bench.raw)
                if not size:
                    self._failure = Truncated("the body ended before its announced length")
                    break
                self._watchdog.arrived(size)
                self._filled += size
                self._rest -= size
        except BlockingIOError:
            self._dry = True
        except OSError as foreign:  # of TLS as well
            self._failure = ConnectionLost(escape(str(foreign), 200))

    def _decrypt(self, tls: BareTls, room: memoryview, raw: memoryview) -> int:
        """Give how many bytes of plaintext came into `room`; 0 at the end."""
        got, size = 0, len(room)
        read = cast(Callable[[int, memoryview], int], tls.read)  # typed as without a buffer
        while got < size:
            try:
                # One record of 16 KiB at most: what is done here is done 60,000 times a gigabyte.
                record = read(size - got, room[got:])
            except ssl.SSLWantReadError:
                if got:
                    break
                if reply := tls.outgoing.read():  # to a change of keys
                    self._socket.send(reply)  # all that is ever sent here: there is room for it
                if not (came := self._socket.recv_into(raw)):
                    break
                tls.incoming.write(raw[:came])
            else:
                if not record:  # the server has said that nothing follows
                    break
                got += record
        return got


async def take_over(
    response: aiohttp.ClientResponse,
    watchdog: Watchdog,
    first: bytes,
    rest: int | None,
    turn: Turn,
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
    await watchdog.watch()  # no thread can begin that
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

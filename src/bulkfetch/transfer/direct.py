"""The rest of a large body, taken from the transport without aiohttp's parser in between.

Once the head has been read, a body of announced length is bytes and nothing else: there is nothing
left to parse. `asyncio.BufferedProtocol` then has the socket, or TLS, write into two blocks of ours
that are used in turn, one filling while the other is written to disk. The parser's way makes, joins
and frees a `bytes` for every read: half of a large transfer's CPU (benchmarks/README.md).

Public ways only: the response's connection, its transport, and asyncio's `set_protocol`.
"""

from __future__ import annotations

import asyncio
from collections import deque

import aiohttp

from bulkfetch.errors import BulkfetchError, Truncated
from bulkfetch.transfer.watchdog import Watchdog

# Two of these per transfer are all that it holds. Larger ones spare hops to the writing thread, of
# which each costs as much as copying some hundred KiB, but no longer stay in the cache.
BLOCK_BYTES = 1 << 20
# What is shorter is not worth its connection, which cannot be used for another request after this.
WORTH_BYTES = 4 << 20


class DirectBody(asyncio.BufferedProtocol):
    """What is left of a body, in blocks; see `body.Intake`.

    From being made it is the transport's protocol. It asks for no byte behind the body's end. The
    connection is to be closed afterwards: its HTTP parser has not seen the body.
    """

    def __init__(
        self, transport: asyncio.Transport, watchdog: Watchdog, begun: list[bytes], rest: int
    ) -> None:
        """Take over; `begun` is what came before, and at least one byte, `rest`, is to come."""
        self.bytes = 0
        self.ended = False
        self.failure: BulkfetchError | None = None
        self._transport = transport
        self._watchdog = watchdog
        self._begun = begun
        self._rest = rest
        self._free = [memoryview(bytearray(min(BLOCK_BYTES, rest))) for _ in range(2)]
        self._filling: memoryview | None = self._free.pop()
        self._filled = 0
        self._full: deque[memoryview] = deque()
        self._given: memoryview | None = None
        self._lost = False
        self._news: asyncio.Future[None] | None = None
        self._former = transport.get_protocol()
        transport.set_protocol(self)
        transport.resume_reading()

    async def batch(self) -> list[bytes] | list[memoryview]:
        """Give the next block, less at the end, none behind it; the one before is filled anew.

        If cancelled: no byte is lost.
        """
        if self._given is not None:
            self._reuse(self._given)
            self._given = None
        if begun := self._begun:
            self._begun = []
            self.bytes += sum(map(len, begun))
            return begun
        while not self._full and self._rest and not self._lost:
            self._news = asyncio.get_running_loop().create_future()
            await self._watchdog.wait(self._news)
        if not self._full:
            self.ended = True
            # The transport and this know each other: without the blocks, nobody minds how long
            # the collector takes to find them.
            self._free.clear()
            return []
        block = self._given = self._full.popleft()
        self.bytes += len(block)
        return [block]

    def get_buffer(self, sizehint: int) -> memoryview:
        """Say where to put what comes next."""
        assert self._filling is not None, "reading is paused without a block"
        return self._filling[self._filled : self._filled + self._rest]

    def buffer_updated(self, nbytes: int) -> None:
        """Take what came."""
        self._filled += nbytes
        self._rest -= nbytes
        self._watchdog.arrived(nbytes)
        assert self._filling is not None
        if not self._rest or self._filled == len(self._filling):
            self._pass_on(self._filling)
            if self._filling is None:
                self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the body where it is; aiohttp is told that its connection is gone."""
        self._lost = True
        if self._rest:
            self.failure = Truncated("the body ended before its announced length")
            if self._filling is not None and self._filled:
                self._pass_on(self._filling)
        self._filling = None
        self._free.clear()
        self._wake()
        self._former.connection_lost(exc)

    def _pass_on(self, block: memoryview) -> None:
        self._full.append(block[: self._filled])
        self._filled = 0
        self._filling = self._free.pop() if self._free and self._rest else None
        self._wake()

    def _reuse(self, given: memoryview) -> None:
        if not self._rest or self._lost:
            return
        assert isinstance(given.obj, bytearray)
        block = memoryview(given.obj)
        if self._filling is None:
            self._filling = block
            self._transport.resume_reading()
        else:
            self._free.append(block)

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


def take_over(
    response: aiohttp.ClientResponse, watchdog: Watchdog, first: bytes, rest: int | None
) -> DirectBody | None:
    """Take a body over from aiohttp, or give None where that cannot be or is not worth it.

    `first` is what has been read of it already, `rest` the announced size in bytes of what follows,
    None where it is not announced.
    """
    connection, content = response.connection, response.content
    transport = None if connection is None else connection.transport
    if transport is None or transport.is_closing() or content.is_eof() or content.exception():
        return None
    # A transfer encoding has its own bytes between those of the body.
    if rest is None or rest < WORTH_BYTES or "Transfer-Encoding" in response.headers:
        return None
    begun = [first] if first else []
    # No await from here on: nothing more reaches the parser.
    while waiting := content.read_nowait():
        begun.append(waiting)
        rest -= len(waiting)
        watchdog.arrived(len(waiting))
    return DirectBody(transport, watchdog, begun, rest)

"""Answers as values, and the wire that says them, by hand, so that they can be said wrongly.

A `Reply` is what an honest server would say. `Wire.speak` says it; faults change the reply before,
or speak through the wire's smaller words. aiohttp parses the requests and then gets a `Spoken`
response, which has nothing left to write.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from bulkfetch.sandbox.bodies import Body, Part, Segments
from bulkfetch.sandbox.options import Framing

SLICE_BYTES = 256 * 1024
_TICK_S = 0.02  # how often a silent wire looks whether the client has gone

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: status, headers without those of the framing, body, and how it is framed."""

    status: int
    headers: Headers = ()
    body: Body = field(default_factory=lambda: Segments(()))
    framing: Framing = "length"

    def but(self, *headers: tuple[str, str]) -> Reply:
        """Return the same answer with headers set, each in place of its namesake."""
        names = {name.lower() for name, _ in headers}
        kept = tuple(pair for pair in self.headers if pair[0].lower() not in names)
        return replace(self, headers=(*kept, *headers))


def json_reply(status: int, body: Any, *headers: tuple[str, str]) -> Reply:
    """Return an answer with a JSON body."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return Reply(
        status, (("Content-Type", "application/json;charset=UTF-8"), *headers), Segments([text])
    )


def text_reply(status: int, text: str, content_type: str = "text/html; charset=utf-8") -> Reply:
    """Return an answer with a page of text."""
    return Reply(status, (("Content-Type", content_type),), Segments([text.encode()]))


class Wire:
    """One answer's way to the client, which says `now` (since 1970) as its Date.

    Raises ConnectionResetError when the client has gone.
    """

    def __init__(
        self, request: web.BaseRequest, bandwidth_bytes_per_s: float | None, now: float
    ) -> None:
        self._date = ("Date", formatdate(now, usegmt=True))
        self._transport = request.transport
        self._writer: AbstractStreamWriter = request.writer
        self._bandwidth = bandwidth_bytes_per_s
        self.is_head = request.method == "HEAD"
        self.keep_alive = request.keep_alive
        self.status: int | None = None
        self.body_bytes = 0
        self.complete = False
        if self._transport is not None:
            # A drain then means that the kernel has every byte, not merely most of them (over TLS
            # up to 64 KiB may still lie in the transport below). Not 0: asyncio's TLS would pause
            # with nothing left to write, and never resume.
            self._transport.set_write_buffer_limits(high=1, low=0)

    @property
    def gone(self) -> bool:
        """Say whether the client (or this side) has closed the connection."""
        return self._transport is None or self._transport.is_closing()

    async def speak(self, reply: Reply) -> None:
        """Say an answer as it should be said."""
        if reply.framing == "close":
            self.keep_alive = False
        await self.head(reply, *framing_headers(reply))
        if not self.is_head and reply.status not in (204, 304):
            await self.body(reply.body, chunked=reply.framing == "chunked")
            if reply.framing == "chunked":
                await self.send(b"0\r\n\r\n")
        self.complete = True
        if reply.framing == "close":
            self.close()

    async def head(self, reply: Reply, *more: tuple[str, str]) -> None:
        """Say the head with `more` headers at its end; nothing is checked or added."""
        await self.send(head_bytes(reply, self._date, *more))
        self.status = reply.status

    async def body(self, body: Body, *, chunked: bool = False) -> None:
        """Say a body, slowed to the bandwidth; `chunked` without the last chunk."""
        loop = asyncio.get_running_loop()
        start, size = loop.time(), SLICE_BYTES
        if self._bandwidth is not None:
            size = max(1, min(size, int(self._bandwidth / 20)))
        for offset in range(0, body.length, size):
            piece = body.read(offset, size)
            await self.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            self.body_bytes += len(piece)
            if self._bandwidth is not None:
                due = start + (offset + len(piece)) / self._bandwidth
                await asyncio.sleep(max(0.0, due - loop.time()))

    async def send(self, raw: bytes) -> None:
        """Send bytes as they are; returns when the kernel has them."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the client has gone")
        self._transport.write(raw)
        await self._writer.drain()

    async def hold(self, seconds: float | None = None) -> None:
        """Say nothing for so long (None: for ever). Raises as soon as the client goes."""
        loop = asyncio.get_running_loop()
        end = None if seconds is None else loop.time() + seconds
        while not self.gone and (end is None or loop.time() < end):  # noqa: ASYNC110
            await asyncio.sleep(_TICK_S if end is None else min(_TICK_S, end - loop.time()))
        if self.gone:
            raise ConnectionResetError("the client has gone")

    def close(self) -> None:
        """End the connection in good manners (FIN)."""
        self.keep_alive = False
        if self._transport is not None:
            self._transport.close()

    async def reset(self) -> None:
        """Break the connection (RST), after what was sent had a moment to arrive."""
        self.keep_alive = False
        await asyncio.sleep(_TICK_S)
        if self._transport is not None and not self._transport.is_closing():
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()


class Spoken(web.StreamResponse):
    """What aiohttp is given for an answer that is on the wire already."""

    def __init__(self, keep_alive: bool) -> None:
        super().__init__()
        self._spoken_keep_alive = keep_alive

    @property
    def keep_alive(self) -> bool:
        return self._spoken_keep_alive

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


def framing_headers(reply: Reply) -> Headers:
    """Return the headers that tell a client where the body ends."""
    if reply.status in (204, 304):
        return ()
    if reply.framing == "length":
        return (("Content-Length", str(reply.body.length)),)
    if reply.framing == "chunked":
        return (("Transfer-Encoding", "chunked"),)
    return (("Connection", "close"),)


def head_bytes(reply: Reply, *more: tuple[str, str]) -> bytes:
    """Return status line and headers as bytes, up to and with the empty line."""
    try:
        phrase = HTTPStatus(reply.status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {reply.status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in (*reply.headers, *more)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def resumed(reply: Reply, range_: str | None, if_range: str | None) -> Reply:
    """Return the answer to a GET with `Range`: 206, 416, or the whole where it does not apply.

    Only one range of the form `bytes=a-` or `bytes=a-b` is understood (RFC 9110, 14.2 lets a server
    ignore others). `If-Range` must equal the ETag, else the whole is sent.
    """
    bounds = _bounds(range_)
    etag = dict(reply.headers).get("ETag")
    if bounds is None or (if_range is not None and if_range != etag):
        return reply
    total, (start, stop) = reply.body.length, bounds
    if start >= total:
        return Reply(416, (*reply.headers, ("Content-Range", f"bytes */{total}")))
    part = Part(reply.body, start, total if stop is None else min(stop + 1, total))
    span = f"bytes {start}-{start + part.length - 1}/{total}"
    return replace(reply.but(("Content-Range", span)), status=206, body=part)


def _bounds(range_: str | None) -> tuple[int, int | None] | None:
    if range_ is None or not range_.startswith("bytes="):
        return None
    first, dash, last = range_.removeprefix("bytes=").partition("-")
    if not dash or not first.isdecimal() or not (last.isdecimal() or not last):
        return None
    return int(first), int(last) if last else None

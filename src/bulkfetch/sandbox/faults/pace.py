"""Answers that come too slowly or stop coming. The argument is seconds, none means for ever."""

from __future__ import annotations

import asyncio

from bulkfetch.sandbox.bodies import Body, Part
from bulkfetch.sandbox.faults.registry import Exchange, fault, harmless
from bulkfetch.sandbox.wire import framing_headers, head_bytes


async def _body_with_pause(exchange: Exchange, at: int) -> None:
    reply = exchange.reply
    await exchange.wire.head(reply, ("Content-Length", str(reply.body.length)))
    await exchange.wire.body(Part(reply.body, 0, at))
    await exchange.wire.hold(exchange.seconds())
    await exchange.wire.body(Part(reply.body, at, reply.body.length))
    exchange.wire.complete = True


@fault
async def stall_before_head(exchange: Exchange) -> None:
    """Takes the request and says nothing; with an argument it answers after so many seconds."""
    await exchange.wire.hold(exchange.seconds())
    await exchange.wire.speak(exchange.reply)


@fault
async def stall_in_head(exchange: Exchange) -> None:
    """Stops in the middle of the head; with an argument it goes on after so many seconds."""
    head = head_bytes(exchange.reply, *framing_headers(exchange.reply))
    await exchange.wire.send(head[: len(head) // 2])
    await exchange.wire.hold(exchange.seconds())
    await exchange.wire.send(head[len(head) // 2 :])
    await exchange.wire.body(exchange.reply.body)
    exchange.wire.close()


@fault
async def stall_after_head(exchange: Exchange) -> None:
    """Stops between head and body; with an argument it goes on after so many seconds."""
    await _body_with_pause(exchange, 0)


@fault
async def stall_in_body(exchange: Exchange) -> None:
    """Stops after half of the body; with an argument it goes on after so many seconds."""
    await _body_with_pause(exchange, exchange.reply.body.length // 2)


@fault
async def stall_before_last_byte(exchange: Exchange) -> None:
    """Stops one byte before the end; with an argument it goes on after so many seconds."""
    await _body_with_pause(exchange, exchange.reply.body.length - 1)


@fault
async def drip(exchange: Exchange) -> None:
    """Sends the body a few bytes at a time; the argument is bytes per second (10)."""
    reply = exchange.reply
    await exchange.wire.head(reply, ("Content-Length", str(reply.body.length)))
    await _drip(exchange, reply.body, float(exchange.arg or 10))
    exchange.wire.complete = True


@fault
async def drip_head(exchange: Exchange) -> None:
    """Sends headers without end, one every tenth of a second."""
    await exchange.wire.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await exchange.wire.send(b"X-Drip: 1\r\n")
        await asyncio.sleep(0.1)


@harmless
async def small_pieces(exchange: Exchange) -> None:
    """Sends head and body in pieces of seven bytes without a pause."""
    reply = exchange.reply
    head = head_bytes(reply, ("Content-Length", str(reply.body.length)))
    for offset in range(0, len(head), 7):
        await exchange.wire.send(head[offset : offset + 7])
    exchange.wire.status = reply.status
    for offset in range(0, reply.body.length, 7):
        await exchange.wire.send(reply.body.read(offset, 7))
        exchange.wire.body_bytes += 7
    exchange.wire.complete = True


async def _drip(exchange: Exchange, body: Body, bytes_per_s: float) -> None:
    size = max(1, int(bytes_per_s / 10))
    for offset in range(0, body.length, size):
        piece = body.read(offset, size)
        await exchange.wire.send(piece)
        exchange.wire.body_bytes += len(piece)
        await asyncio.sleep(len(piece) / bytes_per_s)

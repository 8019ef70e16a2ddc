"""Connections that end before the answer does."""

from __future__ import annotations

from bulkfetch.sandbox.bodies import Part
from bulkfetch.sandbox.faults.registry import Exchange, fault, harmless
from bulkfetch.sandbox.wire import framing_headers, head_bytes


async def _half_head(exchange: Exchange) -> None:
    head = head_bytes(exchange.reply, *framing_headers(exchange.reply))
    await exchange.wire.send(head[: len(head) // 2])


async def _half_body(exchange: Exchange) -> None:
    reply = exchange.reply
    await exchange.wire.head(reply, ("Content-Length", str(reply.body.length)))
    await exchange.wire.body(Part(reply.body, 0, reply.body.length // 2))


@fault
async def reset_before_head(exchange: Exchange) -> None:
    """Resets the connection before a byte is sent."""
    await exchange.wire.reset()


@fault
async def close_before_head(exchange: Exchange) -> None:
    """Closes the connection before a byte is sent."""
    exchange.wire.close()


@fault
async def reset_in_head(exchange: Exchange) -> None:
    """Resets the connection after half of the head."""
    await _half_head(exchange)
    await exchange.wire.reset()


@fault
async def close_in_head(exchange: Exchange) -> None:
    """Closes the connection after half of the head."""
    await _half_head(exchange)
    exchange.wire.close()


@fault
async def reset_after_head(exchange: Exchange) -> None:
    """Resets the connection after the head, before the body."""
    await exchange.wire.head(exchange.reply, *framing_headers(exchange.reply))
    await exchange.wire.reset()


@fault
async def reset_in_body(exchange: Exchange) -> None:
    """Resets the connection after half of the announced body."""
    await _half_body(exchange)
    await exchange.wire.reset()


@fault
async def close_in_body(exchange: Exchange) -> None:
    """Closes the connection after half of the announced body."""
    await _half_body(exchange)
    exchange.wire.close()


@fault
async def close_before_last_byte(exchange: Exchange) -> None:
    """Closes the connection when all but one byte of the announced body is sent."""
    reply = exchange.reply
    await exchange.wire.head(reply, ("Content-Length", str(reply.body.length)))
    await exchange.wire.body(Part(reply.body, 0, reply.body.length - 1))
    exchange.wire.close()


@harmless
async def close_after_body(exchange: Exchange) -> None:
    """Sends the whole answer as kept alive, then closes the connection."""
    await exchange.wire.speak(exchange.reply)
    exchange.wire.close()

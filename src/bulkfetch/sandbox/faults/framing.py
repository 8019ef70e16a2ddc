"""Bodies whose length is told wrongly, twice, or not at all."""

from __future__ import annotations

from bulkfetch.sandbox.bodies import Part
from bulkfetch.sandbox.faults.registry import Exchange, fault, harmless

_CHUNKED = ("Transfer-Encoding", "chunked")


async def _half_in_chunks(exchange: Exchange) -> None:
    reply = exchange.reply
    await exchange.wire.head(reply, _CHUNKED)
    await exchange.wire.body(Part(reply.body, 0, max(1, reply.body.length // 2)), chunked=True)
    await exchange.wire.hold(0.05)  # what follows comes in a packet of its own


@fault
async def body_too_long(exchange: Exchange) -> None:
    """Sends 1,000 bytes more than Content-Length announced, on a connection kept alive."""
    await exchange.wire.speak(exchange.reply)
    await exchange.wire.send(b"\x00surplus" * 125)


@fault
async def length_too_large(exchange: Exchange) -> None:
    """Announces 1,000 bytes more than it sends, then closes."""
    reply = exchange.reply
    await exchange.wire.head(reply, ("Content-Length", str(reply.body.length + 1000)))
    await exchange.wire.body(reply.body)
    exchange.wire.close()


@fault
async def length_too_large_open(exchange: Exchange) -> None:
    """Announces 1,000 bytes more than it sends, and keeps the connection open."""
    reply = exchange.reply
    await exchange.wire.head(reply, ("Content-Length", str(reply.body.length + 1000)))
    await exchange.wire.body(reply.body)
    await exchange.wire.hold(exchange.seconds())


@fault
async def length_too_small(exchange: Exchange) -> None:
    """Announces half of what it sends."""
    reply = exchange.reply
    await exchange.wire.head(reply, ("Content-Length", str(reply.body.length // 2)))
    await exchange.wire.body(reply.body)
    exchange.wire.close()


@fault
async def length_twice(exchange: Exchange) -> None:
    """Sends two Content-Length headers that differ."""
    reply = exchange.reply
    length = reply.body.length
    await exchange.wire.head(
        reply, ("Content-Length", str(length)), ("Content-Length", str(length + 7))
    )
    await exchange.wire.body(reply.body)
    exchange.wire.close()


@fault
async def length_not_a_number(exchange: Exchange) -> None:
    """Sends a Content-Length of -1."""
    await exchange.wire.head(exchange.reply, ("Content-Length", "-1"))
    await exchange.wire.body(exchange.reply.body)
    exchange.wire.close()


@fault
async def length_and_chunks(exchange: Exchange) -> None:
    """Sends chunks under a Content-Length that contradicts them."""
    reply = exchange.reply
    await exchange.wire.head(reply, ("Content-Length", str(reply.body.length // 2)), _CHUNKED)
    await exchange.wire.body(reply.body, chunked=True)
    await exchange.wire.send(b"0\r\n\r\n")
    exchange.wire.close()


@harmless
async def chunked(exchange: Exchange) -> None:
    """Sends the whole body in chunks."""
    await exchange.wire.head(exchange.reply, _CHUNKED)
    await exchange.wire.body(exchange.reply.body, chunked=True)
    await exchange.wire.send(b"0\r\n\r\n")
    exchange.wire.complete = True


@fault
async def chunks_cut(exchange: Exchange) -> None:
    """Closes between two chunks, before the last one."""
    await _half_in_chunks(exchange)
    exchange.wire.close()


@fault
async def chunks_without_end(exchange: Exchange) -> None:
    """Sends every byte in chunks, but not the chunk that says it was all."""
    await exchange.wire.head(exchange.reply, _CHUNKED)
    await exchange.wire.body(exchange.reply.body, chunked=True)
    exchange.wire.close()


@fault
async def chunk_cut(exchange: Exchange) -> None:
    """Closes in the middle of a chunk."""
    await _half_in_chunks(exchange)
    await exchange.wire.send(b"1000\r\n" + b"x" * 100)
    exchange.wire.close()


@fault
async def chunk_size_malformed(exchange: Exchange) -> None:
    """Sends a chunk size that is no number in a later packet, and keeps the connection open."""
    await _half_in_chunks(exchange)
    await exchange.wire.send(b"ZZZ\r\nmalformed\r\n")
    await exchange.wire.hold(exchange.seconds())


@fault
async def chunk_size_malformed_close(exchange: Exchange) -> None:
    """Sends a chunk size that is no number in a later packet, then closes."""
    await _half_in_chunks(exchange)
    await exchange.wire.send(b"ZZZ\r\nmalformed\r\n")
    exchange.wire.close()


@fault
async def chunk_size_negative(exchange: Exchange) -> None:
    """Sends a chunk size of -1 in a later packet, then closes."""
    await _half_in_chunks(exchange)
    await exchange.wire.send(b"-1\r\nx\r\n")
    exchange.wire.close()


@fault
async def chunk_without_line_end(exchange: Exchange) -> None:
    """Sends a chunk that is longer than its size says."""
    await _half_in_chunks(exchange)
    await exchange.wire.send(b"4\r\nlonger\r\n0\r\n\r\n")
    exchange.wire.close()


@harmless
async def until_close(exchange: Exchange) -> None:
    """Sends the whole body without any length, ended by the close."""
    await exchange.wire.head(exchange.reply, ("Connection", "close"))
    await exchange.wire.body(exchange.reply.body)
    exchange.wire.complete = True
    exchange.wire.close()


@fault
async def until_close_cut(exchange: Exchange) -> None:
    """Sends half of the body without any length and closes as if it were all."""
    await exchange.wire.head(exchange.reply, ("Connection", "close"))
    await exchange.wire.body(Part(exchange.reply.body, 0, exchange.reply.body.length // 2))
    exchange.wire.close()


@fault
async def oversize_announced(exchange: Exchange) -> None:
    """Announces a body of one tebibyte and sends what it has."""
    await exchange.wire.head(exchange.reply, ("Content-Length", str(1 << 40)))
    await exchange.wire.body(exchange.reply.body)
    await exchange.wire.hold(exchange.seconds())


@fault
async def oversize_endless(exchange: Exchange) -> None:
    """Sends chunks of a body that never ends."""
    await exchange.wire.head(exchange.reply, _CHUNKED)
    await exchange.wire.body(exchange.reply.body, chunked=True)
    chunk = b"10000\r\n" + b"\x00" * 0x10000 + b"\r\n"
    while True:
        await exchange.wire.send(chunk)

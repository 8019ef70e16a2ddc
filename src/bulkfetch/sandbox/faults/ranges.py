"""Partial answers: unasked, or others than those asked for."""

from __future__ import annotations

from dataclasses import replace

from bulkfetch.sandbox.bodies import Part, Patched
from bulkfetch.sandbox.faults.registry import Exchange, fault
from bulkfetch.sandbox.wire import Reply


async def _partial(exchange: Exchange, content_range: str, reply: Reply | None = None) -> None:
    reply = exchange.reply if reply is None else reply
    await exchange.wire.speak(replace(reply.but(("Content-Range", content_range)), status=206))


@fault
async def partial_unasked(exchange: Exchange) -> None:
    """Sends the first half as 206 to a request without Range."""
    body = exchange.reply.body
    half = max(1, body.length // 2)
    part = replace(exchange.reply, body=Part(body, 0, half))
    await _partial(exchange, f"bytes 0-{half - 1}/{body.length}", part)


@fault
async def partial_whole(exchange: Exchange) -> None:
    """Sends the whole body as 206 to a request without Range."""
    length = exchange.reply.body.length
    await _partial(exchange, f"bytes 0-{length - 1}/{length}")


@fault
async def range_wrong_start(exchange: Exchange) -> None:
    """Sends a 206 whose Content-Range begins one byte beside what was asked for."""
    length = exchange.reply.body.length
    await _partial(exchange, f"bytes 1-{length}/{length + 1}")


@fault
async def range_wrong_total(exchange: Exchange) -> None:
    """Sends a 206 whose total is a gigabyte."""
    given = dict(exchange.reply.headers).get("Content-Range", "bytes 0-0/1")
    await _partial(exchange, given.partition("/")[0] + "/1000000000")


@fault
async def range_garbage(exchange: Exchange) -> None:
    """Sends a 206 with a Content-Range that says nothing."""
    await _partial(exchange, "bytes lots-of/them")


@fault
async def range_missing(exchange: Exchange) -> None:
    """Sends a 206 without Content-Range."""
    kept = tuple(pair for pair in exchange.reply.headers if pair[0] != "Content-Range")
    await exchange.wire.speak(replace(exchange.reply, status=206, headers=kept))


@fault
async def range_multipart(exchange: Exchange) -> None:
    """Sends a 206 of type multipart/byteranges."""
    reply = exchange.reply.but(("Content-Type", "multipart/byteranges; boundary=b"))
    await exchange.wire.speak(replace(reply, status=206))


@fault
async def range_not_satisfiable(exchange: Exchange) -> None:
    """Answers 416."""
    total = exchange.reply.body.length
    await exchange.wire.speak(Reply(416, (("Content-Range", f"bytes */{total}"),)))


@fault
async def etag_changed(exchange: Exchange) -> None:
    """Sends other bytes under another ETag, as if the result had been made anew."""
    reply = exchange.reply.but(("ETag", '"another"'))
    middle = reply.body.length // 2
    await exchange.wire.speak(replace(reply, body=Patched(reply.body, middle, b"another")))

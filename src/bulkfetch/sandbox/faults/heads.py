"""Heads that are too large, dirty, misleading, or not HTTP."""

from __future__ import annotations

from bulkfetch.sandbox.faults.registry import Exchange, fault, harmless
from bulkfetch.sandbox.wire import framing_headers, head_bytes


async def _raw(exchange: Exchange, head: bytes) -> None:
    await exchange.wire.send(head)
    await exchange.wire.body(exchange.reply.body)
    exchange.wire.close()


@harmless
async def head_9k(exchange: Exchange) -> None:
    """Sends one header of 9 KB."""
    await exchange.wire.speak(exchange.reply.but(("Content-Security-Policy", "x" * 9_000)))


@harmless
async def head_60k(exchange: Exchange) -> None:
    """Sends one header of 60 KB."""
    await exchange.wire.speak(exchange.reply.but(("X-Large", "x" * 60_000)))


@fault
async def head_70k(exchange: Exchange) -> None:
    """Sends one header of 70 KB."""
    await exchange.wire.speak(exchange.reply.but(("X-Large", "x" * 70_000)))


@fault
async def head_many(exchange: Exchange) -> None:
    """Sends 70 KB in a thousand headers."""
    more = tuple((f"X-Header-{n:04d}", "x" * 54) for n in range(1_000))
    await exchange.wire.speak(exchange.reply.but(*more))


@fault
async def head_control_bytes(exchange: Exchange) -> None:
    """Sends NUL, ESC and a bare carriage return inside a header."""
    head = head_bytes(exchange.reply, *framing_headers(exchange.reply))
    await _raw(exchange, head[:-2] + b"X-Dirty: a\x00b\x1b[31mc\rd\r\n\r\n")


@fault
async def head_not_http(exchange: Exchange) -> None:
    """Answers with the greeting of another protocol."""
    await exchange.wire.send(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
    exchange.wire.close()


@fault
async def head_bad_status(exchange: Exchange) -> None:
    """Sends a status that is no number."""
    await _raw(exchange, b"HTTP/1.1 OK fine\r\nContent-Type: application/zip\r\n\r\n")


@fault
async def head_without_colon(exchange: Exchange) -> None:
    """Sends a header line without a colon."""
    head = head_bytes(exchange.reply, *framing_headers(exchange.reply))
    await _raw(exchange, head[:-2] + b"no colon here\r\n\r\n")


@fault
async def http_09(exchange: Exchange) -> None:
    """Sends the body without any head."""
    await _raw(exchange, b"")


@harmless
async def early_hints(exchange: Exchange) -> None:
    """Sends an informational 103 before the answer."""
    await exchange.wire.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n")
    await exchange.wire.speak(exchange.reply)


@harmless
async def disposition_traversal(exchange: Exchange) -> None:
    """Names the file ../../etc/passwd in Content-Disposition."""
    name = 'attachment; filename="../../etc/passwd"'
    await exchange.wire.speak(exchange.reply.but(("Content-Disposition", name)))


@harmless
async def disposition_absolute(exchange: Exchange) -> None:
    """Names the file by an absolute path in an encoded Content-Disposition."""
    name = "attachment; filename*=UTF-8''%2Ftmp%2Fevil.csv"
    await exchange.wire.speak(exchange.reply.but(("Content-Disposition", name)))


@harmless
async def disposition_json(exchange: Exchange) -> None:
    """Calls the ZIP response.json, as Zoho's error replies are called."""
    name = "attachment; filename=response.json"
    await exchange.wire.speak(exchange.reply.but(("Content-Disposition", name)))


@harmless
async def content_type_html(exchange: Exchange) -> None:
    """Sends the ZIP as text/html."""
    await exchange.wire.speak(exchange.reply.but(("Content-Type", "text/html")))


@harmless
async def cookies(exchange: Exchange) -> None:
    """Sets a cookie with every attribute there is."""
    cookie = "session=secret; Domain=example.com; Path=/; HttpOnly; Secure"
    await exchange.wire.speak(exchange.reply.but(("Set-Cookie", cookie)))

"""Bodies that arrive as they were sent, but were wrong when sent."""

from __future__ import annotations

import gzip
import struct
from dataclasses import replace

from bulkfetch.sandbox.archives import Piece, deflated_zip, stored_zip
from bulkfetch.sandbox.bodies import Body, Joined, Part, Patched, Segments
from bulkfetch.sandbox.faults.registry import Exchange, fault, harmless


async def _speak(exchange: Exchange, body: Body, *headers: tuple[str, str]) -> None:
    await exchange.wire.speak(replace(exchange.reply.but(*headers), body=body))


def _whole(body: Body) -> bytes:
    return body.read(0, body.length)


@fault
async def gzip_encoding(exchange: Exchange) -> None:
    """Packs the ZIP in Content-Encoding gzip, unasked."""
    packed = gzip.compress(_whole(exchange.reply.body), 1)
    await _speak(exchange, Segments([packed]), ("Content-Encoding", "gzip"))


@fault
async def gzip_bomb(exchange: Exchange) -> None:
    """Sends 51 KB that Content-Encoding gzip makes 52 MB of."""
    packed = gzip.compress(bytes(52_000_000), 9)
    await _speak(exchange, Segments([packed]), ("Content-Encoding", "gzip"))


@harmless
async def encoding_claimed(exchange: Exchange) -> None:
    """Claims Content-Encoding gzip over a ZIP that is not packed."""
    await _speak(exchange, exchange.reply.body, ("Content-Encoding", "gzip"))


@harmless
async def encoding_twice(exchange: Exchange) -> None:
    """Sends Content-Encoding twice: none, and UTF-8."""
    twice = (("Content-Encoding", "none"), ("Content-Encoding", "UTF-8"))
    await _speak(exchange, exchange.reply.body, *twice)


@harmless
async def encoding_unknown(exchange: Exchange) -> None:
    """Claims a Content-Encoding that does not exist."""
    await _speak(exchange, exchange.reply.body, ("Content-Encoding", "rot13"))


@fault
async def zip_bit_flip(exchange: Exchange) -> None:
    """Flips one bit in the middle of the ZIP."""
    body = exchange.reply.body
    middle = body.length // 2
    flipped = bytes([body.read(middle, 1)[0] ^ 0x10]) if body.length else b""
    await _speak(exchange, Patched(body, middle, flipped))


@fault
async def zip_truncated(exchange: Exchange) -> None:
    """Sends two thirds of the ZIP, with a Content-Length to match."""
    body = exchange.reply.body
    await _speak(exchange, Part(body, 0, body.length * 2 // 3))


@fault
async def zip_wrong_crc(exchange: Exchange) -> None:
    """Sends a ZIP whose CRC-32 fits neither header nor data."""
    body = exchange.reply.body
    await _speak(exchange, Patched(body, 14, b"\xde\xad\xbe\xef"))


@fault
async def zip_zeros(exchange: Exchange) -> None:
    """Sends zeros in place of the middle third of the ZIP."""
    body = exchange.reply.body
    third = body.length // 3
    await _speak(exchange, Patched(body, third, bytes(third)))


@fault
async def zip_trailing_garbage(exchange: Exchange) -> None:
    """Sends a kilobyte of garbage after the ZIP, inside the Content-Length."""
    await _speak(exchange, Joined(exchange.reply.body, Segments([b"garbage!" * 128])))


@fault
async def zip_leading_garbage(exchange: Exchange) -> None:
    """Sends a kilobyte of garbage before the ZIP."""
    await _speak(exchange, Joined(Segments([b"garbage!" * 128]), exchange.reply.body))


@fault
async def zip_empty(exchange: Exchange) -> None:
    """Sends a ZIP without members."""
    await _speak(exchange, Segments([b"PK\x05\x06" + bytes(18)]))


@fault
async def zip_encrypted(exchange: Exchange) -> None:
    """Sends a ZIP whose member is marked as encrypted."""
    await _speak(exchange, _flagged(exchange.reply.body, 0x801))


@fault
async def zip_traversal(exchange: Exchange) -> None:
    """Sends a ZIP whose member is called ../../evil.csv."""
    await _speak(exchange, deflated_zip("../../evil.csv", [Piece.of(b"Id\n1\n")]))


@fault
async def zip_program(exchange: Exchange) -> None:
    """Sends a ZIP with a program in place of the CSV."""
    await _speak(exchange, stored_zip("setup.exe", [b"MZ" + bytes(1000)]))


@fault
async def zip_bomb(exchange: Exchange) -> None:
    """Sends a ZIP of some megabytes that unpacks to a hundred gigabytes, if one lets it."""
    piece = Piece.of(bytes(64 << 20), level=9)
    await _speak(exchange, deflated_zip("bomb.csv", [piece] * 1_600))


def _flagged(body: Body, flags: int) -> Body:
    """Set the flags of the first member in both of its headers."""
    raw = _whole(body)
    at = raw.rfind(b"PK\x01\x02")
    word = struct.pack("<H", flags)
    return Patched(Patched(body, 6, word), at + 8, word) if at >= 0 else body

"""ZIP archives put together from ready pieces, in flat memory and in no time.

Every piece is deflated by itself and ended by a full flush: it stands on a byte boundary and looks
back at nothing before it, so pieces in any order, any number of times, are one valid stream. The
CRC-32 of the whole is computed from those of the pieces (Mark Adler's crc32_combine in zlib).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from bulkfetch.sandbox.bodies import Segments

_POLYNOMIAL = 0xEDB88320
_MAX_32 = 0xFFFFFFFF
_END_OF_STREAM = b"\x03\x00"  # an empty last block
_STAMP = struct.pack("<HH", 0, (2026 - 1980) << 9 | 1 << 5 | 1)  # 2026-01-01 00:00


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of bytes: its size and CRC-32, and its deflated form, ended by a full flush."""

    size: int
    crc: int
    deflated: bytes

    @classmethod
    def of(cls, raw: bytes, level: int = 1) -> Piece:
        packer = zlib.compressobj(level, zlib.DEFLATED, -15)
        return cls(
            len(raw), zlib.crc32(raw), packer.compress(raw) + packer.flush(zlib.Z_FULL_FLUSH)
        )


def deflated_zip(name: str, pieces: Sequence[Piece]) -> Segments:
    """Make a ZIP with one deflated member out of `pieces` in this order."""
    stream = [piece.deflated for piece in pieces] + [_END_OF_STREAM]
    return _zip(
        name,
        8,
        stream,
        packed=sum(map(len, stream)),
        size=sum(piece.size for piece in pieces),
        crc=_crc_of([(piece.crc, piece.size) for piece in pieces]),
    )


def stored_zip(name: str, blocks: Sequence[bytes]) -> Segments:
    """Make a ZIP with one stored member; equal blocks are looked at once."""
    crcs = {
        id(block): zlib.crc32(block) for block in {id(block): block for block in blocks}.values()
    }
    size = sum(map(len, blocks))
    crc = _crc_of([(crcs[id(block)], len(block)) for block in blocks])
    return _zip(name, 0, blocks, packed=size, size=size, crc=crc)


def _zip(
    name: str, method: Literal[0, 8], stream: Sequence[bytes], *, packed: int, size: int, crc: int
) -> Segments:
    file_name = name.encode()
    large = max(packed, size) >= _MAX_32
    extra = struct.pack("<HHQQ", 1, 16, size, packed) if large else b""
    version, flags = (45 if large else 20), 0x800
    sizes = (_MAX_32, _MAX_32) if large else (packed, size)
    fields = (
        struct.pack("<HHH", version, flags, method)
        + _STAMP
        + struct.pack("<IIIHH", crc, *sizes, len(file_name), len(extra))
    )
    local = b"PK\x03\x04" + fields + file_name + extra
    central = (
        b"PK\x01\x02"
        + struct.pack("<H", version)
        + fields
        + struct.pack("<HHHII", 0, 0, 0, 0, 0)
        + file_name
        + extra
    )
    at = len(local) + packed
    end64 = b""
    if large or at >= _MAX_32:
        end64 = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1, 1, len(central), at)
        end64 += b"PK\x06\x07" + struct.pack("<IQI", 0, at + len(central), 1)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), min(at, _MAX_32), 0)
    return Segments([local, *stream, central, end64, end])


def _crc_of(pieces: Sequence[tuple[int, int]]) -> int:
    crc = 0
    for piece_crc, size in pieces:
        crc = _multiply(_shift(size), crc) ^ piece_crc
    return crc


def _multiply(a: int, b: int) -> int:
    """Multiply two polynomials over GF(2), modulo the CRC-32 one, bits reflected."""
    product, mask = 0, 1 << 31
    while mask:
        if a & mask:
            product ^= b
        mask >>= 1
        b = b >> 1 ^ _POLYNOMIAL if b & 1 else b >> 1
    return product


@cache
def _shift(size: int) -> int:
    """Return x to the power of 8 · `size`: what appending `size` bytes does to a CRC."""
    power, square, bits = 1 << 31, 1 << 30, size * 8
    while bits:
        if bits & 1:
            power = _multiply(square, power)
        square = _multiply(square, square)
        bits >>= 1
    return power

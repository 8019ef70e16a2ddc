"""Two decompressors with one interface: ISA-L for speed, zlib as a second opinion.

The caller treats both alike: it loops until `eof`, always with a max_length, and trusts only the
CRC and the size. (ISA-L accepts a few corrupted streams that zlib refuses.)
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import NamedTuple, Protocol, cast

from isal import igzip_lib, isal_zlib

Buffer = bytes | memoryview


class Inflater(Protocol):
    """One raw deflate stream.

    While `needs_input` is False there is more output, available with empty input. Bytes after the
    end of the stream are in `unused_data`.
    """

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: Buffer, max_length: int, /) -> bytes: ...


class InflateEngine(NamedTuple):
    """A decompressor, its CRC function, and the error that it raises for a bad stream."""

    inflater: Callable[[], Inflater]
    crc32: Callable[[Buffer, int], int]
    error: type[Exception]


class _ZlibInflater:
    """zlib's decompressor with the interface of bz2's, lzma's and ISA-L's."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: Buffer, max_length: int, /) -> bytes:
        # After a call that filled max_length zlib may still hold output without pending input: only
        # a shorter result shows that there is no more.
        pending = self._stream.unconsumed_tail
        output = self._stream.decompress(pending + data if pending else data, max_length)
        self.needs_input = len(output) < max_length and not self._stream.unconsumed_tail
        return output


# Not a zlib.error. (Its stub calls the class an instance.)
_ISAL_ERROR = cast(type[Exception], igzip_lib.error)
# IgzipDecompressor, not isal_zlib's decompressobj, whose unconsumed_tail is empty while output is
# still pending, which ends the usual loop too early.
ISAL = InflateEngine(igzip_lib.IgzipDecompressor, isal_zlib.crc32, _ISAL_ERROR)
ZLIB = InflateEngine(_ZlibInflater, zlib.crc32, zlib.error)

"""Two inflaters behind one shape: ISA-L's for speed, zlib's as a second opinion.

Both are held to the same rule by their caller: loop until `eof`, always with a max_length, and
believe only the CRC and the size. (ISA-L lets a few corrupted streams pass that zlib refuses.)
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import NamedTuple, Protocol, cast

from isal import igzip_lib, isal_zlib

Buffer = bytes | memoryview


class Inflater(Protocol):
    """One raw deflate stream.

    While `needs_input` is False there is output still to come, got with empty input. Bytes behind
    the stream's end are put into `unused_data`.
    """

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: Buffer, max_length: int, /) -> bytes: ...


class InflateEngine(NamedTuple):
    """How to inflate, how to sum up, and what a bad stream raises."""

    inflater: Callable[[], Inflater]
    crc32: Callable[[Buffer, int], int]
    error: type[Exception]


class _ZlibInflater:
    """zlib's object in the shape of bz2's, lzma's and ISA-L's."""

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
        # A call that filled max_length may have left output inside zlib with no input pending:
        # only a call that comes back short shows that it has nothing more to say.
        pending = self._stream.unconsumed_tail
        output = self._stream.decompress(pending + data if pending else data, max_length)
        self.needs_input = len(output) < max_length and not self._stream.unconsumed_tail
        return output


# Not a zlib.error. (Its stub calls the class an instance.)
_ISAL_ERROR = cast(type[Exception], igzip_lib.error)
# IgzipDecompressor, not isal_zlib's decompressobj: the latter's unconsumed_tail becomes empty while
# output is still pending, which cuts the usual loop short.
ISAL = InflateEngine(igzip_lib.IgzipDecompressor, isal_zlib.crc32, _ISAL_ERROR)
ZLIB = InflateEngine(_ZlibInflater, zlib.crc32, zlib.error)

"""The decompressor: ISA-L, two to three times as fast as zlib; tests put zlib in its place.

The caller loops until `eof`, always with a max_length, and trusts only the CRC and the size, since
ISA-L accepts a few corrupted streams that zlib refuses.
"""

from __future__ import annotations

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


# Not a zlib.error. (Its stub calls the class an instance.)
_ISAL_ERROR = cast(type[Exception], igzip_lib.error)
# IgzipDecompressor, not isal_zlib's decompressobj, whose unconsumed_tail is empty while output is
# still pending, which ends the usual loop too early.
ISAL = InflateEngine(igzip_lib.IgzipDecompressor, isal_zlib.crc32, _ISAL_ERROR)

"""zlib in the place of ISA-L: a second opinion on what is in an archive."""

from __future__ import annotations

import zlib

from bulkfetch.archive.inflate import Buffer, InflateEngine


class ZlibInflater:
    """zlib's decompressor with the interface of ISA-L's."""

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


ZLIB = InflateEngine(ZlibInflater, zlib.crc32, zlib.error)

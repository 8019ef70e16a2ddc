"""A CSV's bytes in blocks of whole records, so that each block can be parsed by itself."""

from __future__ import annotations

import csv
import io
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from bulkfetch.archive.inflate import Buffer
from bulkfetch.errors import NotConvertible

# What is parsed at once. Half of it takes a tenth longer for 200 columns; twice as much memory
# for the cells of a block buys nothing.
BLOCK_BYTES: Final = 1 << 20
# A record of more is taken for a quote that is never closed. The largest text of Zoho's has 32,000
# characters and a record 600 of them at most.
RECORD_BYTES: Final = 64 << 20
# A module of Zoho's has some 600 fields; what has very many more is no table of anybody's.
MOST_COLUMNS: Final = 10_000


class CsvBlocks:
    """The header of a CSV, as `names`, and an iterator over the blocks that follow it.

    Raises NotConvertible for a file without a header, and while it is read for one whose records
    cannot be told apart; whatever the batches raise.
    """

    def __init__(self, batches: Iterable[Sequence[Buffer]], block_bytes: int = BLOCK_BYTES) -> None:
        self._pieces = (piece for batch in batches for piece in batch)
        self._block_bytes = block_bytes
        self._rest = bytearray()
        self.names = self._header()

    def __iter__(self) -> Iterator[bytes]:
        """Yield blocks of whole records, the last of which may lack its line end."""
        while self._fill(self._block_bytes):
            while (end := record_end(self._rest)) is None and self._fill(len(self._rest) * 2):
                pass
            yield self._take(len(self._rest) if end is None else end)
        if self._rest:
            yield self._take(len(self._rest))

    def _header(self) -> list[str]:
        while (end := _first_record_end(self._rest)) is None:
            if not self._fill(len(self._rest) + 1):
                end = len(self._rest)
                break
        head = self._take(end).removeprefix(BOM_UTF8)
        try:
            text = head.decode()
        except UnicodeDecodeError:
            raise NotConvertible("its header is not UTF-8") from None
        try:
            names = next(csv.reader(io.StringIO(text, newline="")), None)
        except csv.Error:  # the only one that is possible: its text goes on for 128 KiB
            raise NotConvertible("a name in its header is too long") from None
        if not names:
            raise NotConvertible("it has no header")
        if len(names) > MOST_COLUMNS:
            raise NotConvertible(f"it has more than {MOST_COLUMNS} columns")
        return names

    def _fill(self, size: int) -> bool:
        """Read on until `size` bytes are there; return False where the file ends before."""
        while len(self._rest) < size:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._rest += piece
            if len(self._rest) > RECORD_BYTES:
                raise NotConvertible(
                    f"a record of more than {RECORD_BYTES >> 20} MiB: a quote may not be closed"
                )
        return True

    def _take(self, size: int) -> bytes:
        taken = bytes(memoryview(self._rest)[:size])
        del self._rest[:size]
        return taken


def record_end(text: bytes | bytearray) -> int | None:
    """Return where the last whole record ends of a text that begins with one; None if none does.

    A line end is one of LF or CRLF, outside of quotes.
    """
    end = len(text)
    within_quotes = text.count(b'"') % 2
    while (at := text.rfind(b"\n", 0, end)) >= 0:
        within_quotes ^= text.count(b'"', at, end) % 2
        if not within_quotes:
            return at + 1
        end = at
    return None


def _first_record_end(text: bytes | bytearray) -> int | None:
    at, quotes, seen = -1, 0, 0
    while (at := text.find(b"\n", at + 1)) >= 0:
        quotes += text.count(b'"', seen, at)
        seen = at
        if quotes % 2 == 0:
            return at + 1
    return None

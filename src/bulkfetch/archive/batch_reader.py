"""Batches of bytes as a file to read."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from bulkfetch.archive.inflate import Buffer

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class BatchReader(io.RawIOBase):
    """Reads batches one after the other; of each only what was asked for is copied."""

    def __init__(self, batches: Iterable[Sequence[Buffer]]) -> None:
        self._pieces = (memoryview(piece) for batch in batches for piece in batch)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill the buffer as far as the next piece does; return with how many bytes."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        target = memoryview(buffer).cast("B")
        size = min(len(target), len(self._rest))
        target[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

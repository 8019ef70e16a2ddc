"""Bodies that can be read anywhere without being in memory as a whole.

Random access is what makes ranges, cuts and single flipped bits one-liners, for a body of five
bytes as for one of two gibibytes.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path
from typing import Protocol


class Body(Protocol):
    """Something with a `length` in bytes that can be read at any offset."""

    @property
    def length(self) -> int: ...

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset` on; fewer only at the end."""
        ...


class Segments:
    """Byte strings end to end; a string that occurs a thousand times is held once."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = tuple(part for part in parts if part)
        self._ends = tuple(accumulate(map(len, self._parts)))

    @property
    def length(self) -> int:
        return self._ends[-1] if self._ends else 0

    def read(self, offset: int, size: int) -> bytes:
        out: list[bytes] = []
        index = bisect_right(self._ends, offset)
        while size > 0 and index < len(self._parts):
            part = self._parts[index]
            start = offset - (self._ends[index] - len(part))
            piece = part[start : start + size]
            out.append(piece)
            offset += len(piece)
            size -= len(piece)
            index += 1
        return b"".join(out)


class FileBody:
    """A file, read where asked. The file must not change while it is served."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._length = path.stat().st_size

    @property
    def length(self) -> int:
        return self._length

    def read(self, offset: int, size: int) -> bytes:
        with self._path.open("rb") as file:
            return os.pread(file.fileno(), size, offset)


class Part:
    """The bytes `start` to `stop` (not included) of another body."""

    def __init__(self, body: Body, start: int, stop: int) -> None:
        self._body, self._start, self._stop = body, start, min(stop, body.length)

    @property
    def length(self) -> int:
        return max(0, self._stop - self._start)

    def read(self, offset: int, size: int) -> bytes:
        size = min(size, self.length - offset)
        return self._body.read(self._start + offset, size) if size > 0 else b""


class Patched:
    """Another body with the bytes from `offset` on replaced by `patch`."""

    def __init__(self, body: Body, offset: int, patch: bytes) -> None:
        self._body, self._offset, self._patch = body, offset, patch

    @property
    def length(self) -> int:
        return self._body.length

    def read(self, offset: int, size: int) -> bytes:
        piece = bytearray(self._body.read(offset, size))
        low = max(offset, self._offset)
        high = min(offset + len(piece), self._offset + len(self._patch))
        if low < high:
            piece[low - offset : high - offset] = self._patch[
                low - self._offset : high - self._offset
            ]
        return bytes(piece)


class Joined:
    """One body after the other."""

    def __init__(self, first: Body, second: Body) -> None:
        self._first, self._second = first, second

    @property
    def length(self) -> int:
        return self._first.length + self._second.length

    def read(self, offset: int, size: int) -> bytes:
        cut = self._first.length
        head = self._first.read(offset, size) if offset < cut else b""
        rest = size - len(head)
        return head + self._second.read(max(0, offset - cut), rest) if rest > 0 else head

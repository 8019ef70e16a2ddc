"""Local files on their way to a destination, piece by piece."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from bulkfetch.disk import disk_errors

COPY_BYTES = 1 << 20


def size_of(source: str | os.PathLike[str]) -> int:
    """Return a local file's size in bytes. Raises NotWritable."""
    with disk_errors(source):
        return os.path.getsize(source)


def pieces_of(source: str | os.PathLike[str], check: Callable[[], object]) -> Iterator[bytes]:
    """Yield a local file's content; `check` before each piece. Raises NotWritable."""
    with disk_errors(source), open(source, "rb") as file:
        while piece := file.read(COPY_BYTES):
            check()
            yield piece

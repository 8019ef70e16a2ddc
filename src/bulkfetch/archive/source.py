"""Where an archive's bytes are read from: a file, or memory where it has just come."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from bulkfetch.disk import disk_errors
from bulkfetch.errors import ZipCorrupt


class Source(Protocol):
    """A complete archive, `size` bytes long."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, size: int) -> bytes:
        """Give exactly these bytes. Raises ZipCorrupt where they are not all there."""
        ...

    def pieces(self, start: int, size: int, piece_bytes: int) -> Iterator[memoryview]:
        """Give `size` bytes from `start` on, in turn; each piece is valid until the next.

        One reader at a time. Raises ZipCorrupt where they are not all there.
        """
        ...


@contextmanager
def opened(archive: Path | bytes) -> Iterator[Source]:
    """Open an archive for reading: the path of its file, or all of its bytes.

    Errors of reading a file, anywhere in the body, are told with its name. Raises NotWritable.
    """
    if isinstance(archive, bytes):
        yield _InMemory(archive)
        return
    with disk_errors(archive):
        fd = os.open(archive, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            yield _InFile(fd)
        finally:
            os.close(fd)


class _InMemory:
    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data = data

    def read(self, offset: int, size: int) -> bytes:
        return _whole(self._data[offset : offset + size], size)

    def pieces(self, start: int, size: int, piece_bytes: int) -> Iterator[memoryview]:
        data = memoryview(_whole(self._data[start : start + size], size))
        for at in range(0, size, piece_bytes):
            yield data[at : at + piece_bytes]


class _InFile:
    def __init__(self, fd: int) -> None:
        self.size = os.fstat(fd).st_size
        self._fd = fd

    def read(self, offset: int, size: int) -> bytes:
        return _whole(os.pread(self._fd, size, offset), size)

    def pieces(self, start: int, size: int, piece_bytes: int) -> Iterator[memoryview]:
        os.lseek(self._fd, start, os.SEEK_SET)
        buffer = memoryview(bytearray(min(piece_bytes, size)))
        while size:
            # readv into one buffer: no allocation, no copy.
            got = os.readv(self._fd, [buffer[:size]])
            if not got:
                raise ZipCorrupt("the file ends early")
            size -= got
            yield buffer[:got]


def _whole(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise ZipCorrupt("the file ends early")
    return data

"""The file that an archive's bytes are read from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bulkfetch.disk import disk_errors
from bulkfetch.errors import ZipCorrupt


class ArchiveFile:
    """A complete archive, `size` bytes long, open as `fd`. For one reader at a time."""

    def __init__(self, fd: int) -> None:
        self.size = os.fstat(fd).st_size
        self._fd = fd

    def read(self, offset: int, size: int) -> bytes:
        """Return exactly these bytes. Raises ZipCorrupt if the file is shorter."""
        data = os.pread(self._fd, size, offset)
        if len(data) != size:
            raise ZipCorrupt("the file ends early")
        return data

    def pieces(self, start: int, size: int, piece_bytes: int) -> Iterator[memoryview]:
        """Yield `size` bytes from `start` on; each piece is valid until the next one.

        Raises ZipCorrupt if the file is shorter.
        """
        os.lseek(self._fd, start, os.SEEK_SET)
        buffer = memoryview(bytearray(min(piece_bytes, size)))
        while size:
            # readv into one buffer: no allocation, no copy.
            got = os.readv(self._fd, [buffer[:size]])
            if not got:
                raise ZipCorrupt("the file ends early")
            size -= got
            yield buffer[:got]


@contextmanager
def open_archive(path: Path) -> Iterator[ArchiveFile]:
    """Open an archive for reading.

    Raises NotWritable, with the file's name, for any error of reading inside the block.
    """
    with disk_errors(path):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            yield ArchiveFile(fd)
        finally:
            os.close(fd)

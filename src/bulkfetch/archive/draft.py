"""A file on its way out of an archive, which nobody sees before it is published."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from bulkfetch.archive.inflate import Buffer
from bulkfetch.disk import disk_errors, remove, require_room
from bulkfetch.errors import RunError

# Free disk space is checked once per this many bytes: often enough to protect the reserve.
DISK_CHECK_BYTES = 16 << 20


class Draft(Protocol):
    """Where the bytes of one file go; for one thread. To be begun once, then written to."""

    def require_room(self, size: int) -> None:
        """Raise DiskFull if a file of `size` bytes, which may be a guess, does not fit."""

    def begin(self, size: int) -> None:
        """Make the empty draft; `size` is how large it will probably get. Raises RunError."""

    def write(self, pieces: Sequence[Buffer]) -> None:
        """Append these bytes; they may change once this returns. Raises RunError."""

    def drop(self) -> None:
        """Remove what was written, unless it is published. More calls do no harm."""


class FileDraft(Draft):
    """A draft in a file at `path`, where nothing may be yet; `reserve_bytes` of the disk stay free.

    It is not synced.
    """

    def __init__(self, path: str | os.PathLike[str], reserve_bytes: int = 0) -> None:
        self.path = os.fspath(path)
        self._folder = os.path.dirname(self.path)
        self._reserve = reserve_bytes
        self._fd: int | None = None
        self._is_ours = False
        self._expected = self._written = 0
        self._check_at = DISK_CHECK_BYTES

    def require_room(self, size: int) -> None:
        require_room(self._folder, size, "unpacked", self._reserve)

    def begin(self, size: int) -> None:
        """Make the file, where none may be."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with disk_errors(self.path):
            self._fd = os.open(self.path, flags, 0o666)
        self._is_ours = True
        self._expected = size

    def write(self, pieces: Sequence[Buffer]) -> None:
        """Append these bytes. Raises DiskFull before the reserve is used, too."""
        assert self._fd is not None, "it was begun"
        with disk_errors(self.path):
            _write(self._fd, pieces)
        self._written += sum(map(len, pieces))
        if self._written >= self._check_at:
            self._check_at += DISK_CHECK_BYTES
            self.require_room(max(0, self._expected - self._written))

    def copy(self, source: str | os.PathLike[str]) -> None:
        """Be a second link to a file, or a copy of it where links are not to be had.

        What a dead run left here is removed. Raises DiskFull, NotWritable.
        """
        with disk_errors(self.path):
            remove(self.path)
            self._is_ours = True
            try:
                os.link(source, self.path)
            except OSError:
                shutil.copyfile(source, self.path)

    def close(self) -> None:
        """Close the file, which is whole; more calls do no harm. Raises DiskFull, NotWritable."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            with disk_errors(self.path):
                os.close(fd)

    def published(self) -> None:
        """Note that the file has got another name."""
        self._is_ours = False

    def drop(self) -> None:
        """Close the file, and remove it if this draft made it and it is not published."""
        with suppress(RunError):  # what it could not write is not wanted
            self.close()
        if self._is_ours:
            self._is_ours = False
            remove(self.path)


class DraftWriter:
    """Writes to a draft, and knows how many bytes these were, and with `digest` their SHA-256."""

    def __init__(self, draft: Draft, *, digest: bool) -> None:
        self.bytes = 0
        self._draft = draft
        self._sha256 = hashlib.sha256() if digest else None

    @property
    def sha256(self) -> str | None:
        """The digest in hex, None if it was not requested."""
        return None if self._sha256 is None else self._sha256.hexdigest()

    def write(self, pieces: Sequence[Buffer]) -> None:
        """Append these bytes. Raises RunError."""
        self._draft.write(pieces)
        # While the pieces are in the processor's cache; it releases the interpreter's lock.
        for piece in pieces:
            self.bytes += len(piece)
            if self._sha256 is not None:
                self._sha256.update(piece)


def _write(fd: int, pieces: Sequence[Buffer]) -> None:
    written = os.writev(fd, pieces)
    if written < sum(map(len, pieces)):
        # The disk is full, or a limit is reached: the next call raises the error.
        rest = memoryview(b"".join(pieces))
        while written < len(rest):
            written += os.write(fd, rest[written:])

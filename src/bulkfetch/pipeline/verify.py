"""Whether a published file still is what the journal says of it."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from bulkfetch.archive.inflate import Buffer
from bulkfetch.models import PublishedFile


class Problem(NamedTuple):
    """What is wrong with a file: a stable word for programs, and a sentence's end for people."""

    kind: Literal["MISSING", "SIZE", "SHA256", "UNREADABLE"]
    text: str


_OTHER_CONTENT = Problem("SHA256", "has other content than was published")


def check(path: str, published: PublishedFile) -> Problem | None:
    """Return what is wrong with the file at `path`, None where it is as it was published.

    Blocking: reads the whole file where its digest is known. A link is not followed.
    """
    try:
        # Not kept waiting by a pipe that somebody put there.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return Problem("MISSING", "is gone")
    except OSError as error:
        if error.errno == errno.ELOOP:
            return Problem("MISSING", "is a link, not a regular file")
        return Problem("UNREADABLE", f"cannot be read: {error.strerror}")
    try:
        return _compare(fd, published)
    except OSError as error:
        return Problem("UNREADABLE", f"cannot be read: {error.strerror}")
    finally:
        os.close(fd)


def check_object(
    published: PublishedFile,
    size: int | None,
    read: Callable[[], Iterable[Buffer]] | None,
) -> Problem | None:
    """Return what is wrong with an object of so many bytes (None: there is none) in a bucket.

    `read` gives its content, None where it is not to be read. Blocking.
    """
    if size is None:
        return Problem("MISSING", "is gone")
    if size != published.bytes:
        return _other_size(size, published)
    if published.sha256 is None or read is None:
        return None
    digest = hashlib.sha256()
    for piece in read():
        digest.update(piece)
    return None if digest.hexdigest() == published.sha256 else _OTHER_CONTENT


def _other_size(size: int, published: PublishedFile) -> Problem:
    return Problem("SIZE", f"has {size} bytes, not {published.bytes}")


def _compare(fd: int, published: PublishedFile) -> Problem | None:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        return Problem("MISSING", "is not a regular file")
    if found.st_size != published.bytes:
        return _other_size(found.st_size, published)
    if published.sha256 is None:
        return None
    with open(fd, "rb", closefd=False) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return None if digest == published.sha256 else _OTHER_CONTENT

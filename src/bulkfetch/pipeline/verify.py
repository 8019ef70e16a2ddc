"""Whether a published file still is what the journal says of it."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from typing import Literal, NamedTuple

from bulkfetch.models import PublishedFile


class Problem(NamedTuple):
    """What is wrong with a file: a stable word for programs, and a sentence's end for people."""

    kind: Literal["MISSING", "SIZE", "SHA256", "UNREADABLE"]
    text: str


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


def _compare(fd: int, published: PublishedFile) -> Problem | None:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        return Problem("MISSING", "is not a regular file")
    if found.st_size != published.bytes:
        return Problem("SIZE", f"has {found.st_size} bytes, not {published.bytes}")
    if published.sha256 is None:
        return None
    with open(fd, "rb", closefd=False) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != published.sha256:
        return Problem("SHA256", "has other content than was published")
    return None

"""What lies in staging and quarantine, for who looks on and for housekeeping: names to jobs."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

# ACCOUNT.ID and what the file is: a body on its way or complete, or a file that is being made.
_NAME = re.compile(
    r"(?P<account>.+)\.(?P<id>[0-9]{1,20})\.(?P<kind>part|zip|[a-z.]+\.(?:out|keep))", re.ASCII
)


class StagedFile(NamedTuple):
    """A file that belongs to a job; `changed` is when it was written last, in seconds since 1970.

    `kind` is "part" for a body on its way, "zip" for a complete one, "draft" for
    what is made of it.
    """

    path: str
    account: str
    job_id: str
    kind: str
    bytes: int
    changed: float


def staged_files(folder: Path) -> Iterator[StagedFile]:
    """Yield the files of jobs in a folder, by name; others, links and folders are left out.

    Nothing where the folder is missing. Raises OSError where it cannot be read.
    """
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return
    for name in names:
        if (match := _NAME.fullmatch(name)) is None:
            continue
        path = os.path.join(folder, name)
        with suppress(FileNotFoundError):  # a run has just published it
            found = os.lstat(path)
            if stat.S_ISREG(found.st_mode):
                kind = match["kind"] if match["kind"] in ("part", "zip") else "draft"
                yield StagedFile(
                    path, match["account"], match["id"], kind, found.st_size, found.st_mtime
                )

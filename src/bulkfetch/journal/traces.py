"""What earlier runs leave beside their journal: told where the journal itself knows of none.

Somebody emptied or removed it, a copy was taken without it, or the disk lost it. The next run
begins anew all the same, but says so: what was done before will be asked for again.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from bulkfetch.filenames import without_ending
from bulkfetch.journal.schema import FILE_NAME


class Traces(NamedTuple):
    """What was there before a journal was opened for writing: its size in bytes, None without one.

    `log`: files of SQLite's beside it, which it does not leave at rest.
    """

    size: int | None
    log: bool


def found(folder: Path) -> Traces:
    """Look at a journal's file in `folder`, which is OUT/.bulkfetch, before it is opened."""
    path = folder / FILE_NAME
    log = any(os.path.exists(f"{path}{ending}") for ending in ("-wal", "-shm", "-journal"))
    try:
        return Traces(path.stat().st_size, log)
    except OSError:
        return Traces(None, log)


def afresh(folder: Path, before: Traces) -> str | None:
    """Say that an empty journal begins anew where there was something before; else None."""
    path = folder / FILE_NAME
    if before.size is None:
        if not before.log and not _holds_files(folder / "staging", folder / "quarantine"):
            return None
        what = f"the journal {path} is gone, and earlier runs left files beside it"
    elif before.size == 0 or _holds_files(folder / "staging", folder / "quarantine"):
        what = f"the journal {path} is empty"
    elif _has_published(folder.parent):
        what = f"the journal {path} is empty, though there are files in {folder.parent}"
    else:
        return None
    return f"{what}: starting afresh, nothing is known of earlier runs"


def _holds_files(*folders: Path) -> bool:
    for folder in folders:
        with suppress(OSError), os.scandir(folder) as entries:
            if next(entries, None) is not None:
                return True
    return False


def _has_published(out: Path) -> bool:
    with suppress(OSError), os.scandir(out) as entries:
        return any(without_ending(entry.name) != entry.name for entry in entries)
    return False

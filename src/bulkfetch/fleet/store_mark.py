"""Whether a folder that is a fleet's store is the one that its other hosts have.

The folder holds a mark, which the database knows. A host whose folder is its own finds another mark
there than the database has, and is refused before it publishes what nobody would find.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

import anyio.to_thread

from bulkfetch.disk import disk_errors, fsync_dir, remove
from bulkfetch.errors import ConfigError, NotWritable
from bulkfetch.fleet.journal import FleetJournal

MARK = ".bulkfetch-store"
_MARK = re.compile(r"[0-9a-f]{32}", re.ASCII)
_MOST_BYTES = 100


async def require_shared(root: Path, journal: FleetJournal) -> None:
    """Raise ConfigError where other hosts of the fleet have another folder under this path.

    The first host marks the folder, which must be there. Raises NotWritable, DiskFull. If
    cancelled: the folder may be marked.
    """
    mark, is_new = await anyio.to_thread.run_sync(_mark_of, root)
    known = await journal.store_mark(os.fspath(root), mark)
    if known == mark:
        return
    if is_new:
        await anyio.to_thread.run_sync(remove, root / MARK)
    raise ConfigError(
        f"{root} is not the folder in which the other hosts of the fleet publish",
        hint=f"Mount the folder that all hosts share. If this is it, write {known} into "
        f"{root / MARK}.",
    )


def _mark_of(root: Path) -> tuple[str, bool]:
    """Return a folder's mark, and whether it was made just now."""
    if not root.is_dir():
        raise NotWritable(
            f"there is no folder {root}", hint="Make it, or mount it: all hosts must share it."
        )
    path = root / MARK
    with disk_errors(path):
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return _read(path), False
        mark = secrets.token_hex(16)
        with open(file, "w", encoding="ascii") as opened:
            opened.write(f"{mark}\n")
            opened.flush()
            os.fsync(opened.fileno())
        fsync_dir(root)
    return mark, True


def _read(path: Path) -> str:
    with path.open("rb") as file:
        mark = file.read(_MOST_BYTES).decode("ascii", "replace").strip()
    if _MARK.fullmatch(mark) is None:
        raise ConfigError(
            f"{path} is not a mark of bulkfetch's",
            hint="Start again, since another worker may have been writing it; else remove it.",
        )
    return mark

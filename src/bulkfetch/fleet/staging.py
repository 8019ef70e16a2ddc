"""Whether a worker's staging folder can take anything."""

from __future__ import annotations

import os
from pathlib import Path

from bulkfetch.disk import disk_full, free_bytes
from bulkfetch.errors import DiskFull, NotWritable

_DISK_HINT = (
    "Free some space there, or lower free_bytes in [limits]: the worker goes on within a minute."
)
_ACCESS_HINT = "Mend that: the worker goes on within a minute."


def no_room(staging: Path, reserve: int, wanted: int = 0) -> DiskFull | NotWritable | None:
    """Return why not so many bytes fit into a folder now, None where they do. Blocking.

    `reserve` bytes are not for files.
    """
    if not os.access(staging, os.W_OK | os.X_OK):
        return NotWritable(f"{staging} cannot be written", hint=_ACCESS_HINT)
    free = free_bytes(staging)
    if free is None or free > reserve + wanted:
        return None
    error = disk_full(f"too little fits into {staging}: {free} bytes are free", reserve)
    return DiskFull(error.message, hint=_DISK_HINT)

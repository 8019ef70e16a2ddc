"""Who holds a database of ours just now, as far as the system tells."""

from __future__ import annotations

import os
from pathlib import Path

_LOCKS = Path("/proc/locks")


def holder(database: Path) -> str:
    """Return who has locked a database for writing: `process 4711 (sqlite3)`, or `another process`.

    Linux lists such locks by inode. In WAL mode it is the -shm file that is locked.
    """
    try:
        inodes = {os.stat(f"{database}{end}").st_ino for end in ("-shm", "") if _is(database, end)}
        lines = _LOCKS.read_text().splitlines()
    except OSError:
        return "another process"
    for line in lines:
        # 1: POSIX  ADVISORY  WRITE 4711 08:01:1234 120 120
        words = line.split()
        if len(words) < 6 or words[3] != "WRITE" or words[1] == "->":
            continue
        if int(words[5].rpartition(":")[2]) in inodes and int(words[4]) > 0:
            return f"process {words[4]}{_name(words[4])}"
    return "another process"


def _is(database: Path, end: str) -> bool:
    return os.path.exists(f"{database}{end}")


def _name(pid: str) -> str:
    try:
        name = Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return ""
    return f" ({name})" if name.isprintable() and name else ""

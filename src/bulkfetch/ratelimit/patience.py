"""Waiting for a file that another process holds or a database that is away, and telling of it."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from bulkfetch.ratelimit.interfaces import WindowEvent

# How soon to try again, in seconds: a transaction takes some 50 µs. After a second something else
# holds the file, and there is no hurry any more.
BUSY_S = 0.002
LONG_BUSY_S = 0.05
# From when on a file counts as held, for whoever looks; when that is told, and how often again.
SHOWN_AFTER_S = 0.1
TOLD_AFTER_S = 5.0
TOLD_AGAIN_S = 300.0
# How soon to try a database again that is away, at first and in the end.
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 5.0
_LOCKS = Path("/proc/locks")


class Patience:
    """Counts from the first try that found the file busy to the one that did not."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._now = clock
        self._since = math.inf
        self._tell_at = math.inf

    def succeeded(self) -> None:
        """Note that it was not busy."""
        self._since = self._tell_at = math.inf

    @property
    def held_s(self) -> float:
        """For how long somebody has held the file; 0 where that is no longer than usual."""
        seconds = self._now() - self._since
        return seconds if seconds >= SHOWN_AFTER_S else 0.0

    @property
    def again_s(self) -> float:
        """The seconds after which to try again; random, lest two processes keep in step."""
        return (LONG_BUSY_S if self.held_s > 1 else BUSY_S) * (0.5 + random.random())

    def due_s(self) -> float | None:
        """Note that it was busy; return for how long by now when that is to be told, else None."""
        now = self._now()
        if self._since == math.inf:
            self._since, self._tell_at = now, now + TOLD_AFTER_S
        if now < self._tell_at:
            return None
        self._tell_at = now + TOLD_AGAIN_S
        return now - self._since

    def busy(self, path: Path) -> WindowEvent | None:
        """Note that the file was busy; return who holds it, when that is to be told, else None."""
        if (for_s := self.due_s()) is None:
            return None
        text = (
            f"{path} has been held by {holder(path)} for {for_s:.0f} s: "
            "no request of this account can leave before it lets go"
        )
        return WindowEvent("held", text, for_s=for_s)


def pauses() -> Iterator[float]:
    """Yield the seconds to wait before each next try at a database that is away.

    They grow, and are random, so that hosts do not come all at once.
    """
    pause_s = SHORTEST_PAUSE_S
    while True:
        yield pause_s * random.uniform(0.5, 1.5)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def holder(database: Path) -> str:
    """Return who has locked a database for writing: `process 4711 (sqlite3)`, or `another process`.

    Linux lists such locks by inode. In WAL mode it is the -shm file that is locked.
    """
    try:
        files = [file for end in ("-shm", "") if os.path.exists(file := f"{database}{end}")]
        inodes = {os.stat(file).st_ino for file in files}
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


def _name(pid: str) -> str:
    try:
        name = Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return ""
    return f" ({name})" if name.isprintable() and name else ""

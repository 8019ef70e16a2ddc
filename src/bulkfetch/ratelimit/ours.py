"""What this process itself has used of each account, wherever each of its windows keeps it.

Clients of one process may keep an account's window in different places: in the files of two state
directories, in memory where a file cannot be had, and one of them goes from the file to memory when
the file fails. Each place knows its own uses only. Together they must let no more through than one
of them alone, so each counts what the others have let through in this process.

It outlives clients and event loops: a client that is opened when another has just been closed
finds the slots used that were used. A process made by fork begins anew.
"""

from __future__ import annotations

import asyncio
import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from weakref import WeakKeyDictionary

from bulkfetch.clock import boottime
from bulkfetch.ratelimit.database import MEMORY, Store, in_memory
from bulkfetch.ratelimit.fair_share import Request

# Uses are looked through for old ones when there are so many, and twice as many as were kept.
_PRUNE_AT = 200


class Ours:
    """The uses of one account by this process. `lock` is held by who looks and then takes.

    Nothing leaves before `closed_until`, on the clock of the uses. `in_memory` says whether one of
    the windows has ever kept its uses in memory.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.closed_until = -math.inf
        self.in_memory = False
        self._places: dict[str, dict[int, Request]] = {}
        self._keep_s = 0.0
        self._prune_at = _PRUNE_AT

    def keep(self, seconds: float) -> None:
        """Take part with a window whose slots come back after so many seconds."""
        self._keep_s = max(self._keep_s, seconds)

    def put(self, place: str, number: int, use: Request, now: float) -> None:
        """Note a use, or what has become of it. `place` and `number` say where it is kept."""
        uses = self._places.setdefault(place, {})
        uses[number] = use
        if len(uses) > self._prune_at:
            since = now - self._keep_s
            kept = {number: use for number, use in uses.items() if use.at > since}
            self._places[place] = kept
            self._prune_at = max(_PRUNE_AT, 2 * len(kept))

    def drop(self, place: str, number: int) -> None:
        """Forget a use that was none, or that is kept elsewhere now."""
        self._places.get(place, {}).pop(number, None)

    def of(self, place: str, owner: int) -> dict[int, Request]:
        """Return the uses of one window by their numbers."""
        return {n: use for n, use in self._places.get(place, {}).items() if use.owner == owner}

    def elsewhere(self, place: str, since: float) -> list[Request]:
        """Return the uses kept in other places that may fill a slot: those after `since`."""
        found: list[Request] = []
        for other in [other for other in self._places if other != place]:  # seldom one
            uses = self._places[other].values()
            found += (use for use in uses if use.at > since)
            if not any(use.at > since - self._keep_s for use in uses):
                del self._places[other]  # of no use to any window any more
        return found


class Process:
    """All that one process knows: `ours` by account, and a store in memory for its windows."""

    def __init__(self) -> None:
        self._ours: dict[str, Ours] = {}
        self._lock = threading.Lock()
        self._memory: sqlite3.Connection | None = None
        self._memory_lock = threading.Lock()

    def ours(self, account_key: str) -> Ours:
        """Return this process's uses of an account."""
        return self._ours.setdefault(account_key, Ours())

    def memory(self) -> Store:
        """Return the store in memory that all windows of this process share. It is never closed."""
        with self._lock:
            if self._memory is None:
                self._memory = in_memory()
            return Store(self._memory, MEMORY, lock=self._memory_lock)


# The last one is this process; those before it are its parents, kept since to free what another
# thread of theirs held in the moment of the fork may hang.
_processes = [Process()]
os.register_at_fork(after_in_child=lambda: _processes.append(Process()))
_others: WeakKeyDictionary[asyncio.AbstractEventLoop, Process] = WeakKeyDictionary()


def this_process(clock: Callable[[], float]) -> Process:
    """Return what this process knows. A clock of one's own is that of a world of its own.

    Stamps of two clocks cannot be compared: windows on one that is neither of the system's share
    only with those of the same event loop.
    """
    if clock in (boottime, time.monotonic):
        return _processes[-1]
    return _others.setdefault(asyncio.get_running_loop(), Process())

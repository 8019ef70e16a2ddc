"""A large body's bytes, brought to the device while the rest still arrives.

The sync at a body's end waits for all that is not on the device by then. To ask the system to begin
writing is half of it: disks, and the hosts of virtual machines, have caches of their own, which a
sync alone empties, in half a second for 500 MB. Whoever else syncs a few bytes meanwhile, as the
journal does all the time, waits for all of that, too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

# With more left to the end, large bodies take longer: with 64 MB by a tenth. With less, bodies of
# 15 MB cost CPU for a sync just before the one at their end (benchmarks/README.md).
EARLY_SYNC_BYTES = 16 << 20

# macOS has no other.
_sync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


class EarlySync:
    """Syncs a growing file again and again, in a thread of its own: who writes never waits.

    A context manager. Leaving it waits for the sync under way, after which the descriptor may be
    closed. Raises OSError where a sync failed: who opens the file later need not hear of that.
    """

    def __init__(self, fd: int, sync: Callable[[int], None] = _sync) -> None:
        """`sync` has what was written to a descriptor on the device when it returns."""
        self._fd = fd
        self._sync = sync
        self._thread = ThreadPoolExecutor(1, "bulkfetch-sync")  # none before it is needed
        self._latest: Future[None] | None = None
        self._asked_at = 0

    def grown(self, size: int) -> None:
        """Tell that `size` bytes are written; starts a sync where enough are new and none runs.

        Raises OSError where the one before failed.
        """
        if size - self._asked_at < EARLY_SYNC_BYTES:
            return
        if self._latest is not None:
            if not self._latest.done():
                return
            self._latest.result()
        self._asked_at = size
        self._latest = self._thread.submit(self._sync, self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown()
        if error is None and self._latest is not None:
            self._latest.result()

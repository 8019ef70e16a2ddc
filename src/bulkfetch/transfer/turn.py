"""Whose turn it is to move bytes: one thread of many, first come, first served.

Each record of TLS lets the interpreter go and wants it back. Ten threads that all do so spend a
fifth of their time on handing it around, and keep ten pairs of blocks where one stays in the cache.
So one moves at a time, for TURN_BYTES or until nothing more is at hand, with the blocks that lie
ready for whoever has the turn. Who waits for the network has given it back, needs none for the
first block that comes then, and keeps blocks that are partly full: what comes slowly is written in
blocks all the same, and hands nothing around.

A write that hangs in the disk keeps its turn, so nobody waits for one longer than PATIENCE_S: then
he goes without. The turn is there for speed; nothing breaks where two move at once.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

# One of ciphertext, one of plaintext. Smaller writes leave the page cache with more and smaller
# folios (at 256 KiB a transfer takes a sixth longer), larger blocks no longer stay in a core's
# second-level cache.
BLOCK_BYTES = 512 << 10
# About a hundredth of a second: nobody's server feels that, and one hand-over is 500 records.
TURN_BYTES = 8 << 20
# Long enough for ten to have their turns on a disk of 80 MB/s. Where the writes to one file hang,
# the others still come by TURN_BYTES in this time.
PATIENCE_S = 1.0


class Bench:
    """What a turn works with: `raw` takes ciphertext, `block` plaintext, each BLOCK_BYTES."""

    def __init__(self) -> None:
        self.raw = memoryview(bytearray(BLOCK_BYTES))
        self.block = memoryview(bytearray(BLOCK_BYTES))


class Turn:
    """Shared by all threads of a process that move bodies."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._mutex = threading.Lock()
        self._is_taken = False
        self._line: deque[threading.Lock] = deque()
        self._bench: Bench | None = None

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold the turn, or no turn after PATIENCE_S."""
        is_mine = self._take()
        try:
            yield
        finally:
            if is_mine:
                self._give()

    def bench(self) -> Bench:
        """Give a bench that nobody else has: the one put back last, else a new one."""
        with self._mutex:
            bench, self._bench = self._bench or Bench(), None
        return bench

    def put_back(self, bench: Bench) -> None:
        """Let the next one have a bench; one is kept, for one moves at a time."""
        self._bench = bench

    def _take(self) -> bool:
        with self._mutex:
            if not self._is_taken:
                self._is_taken = True
                return True
            called = threading.Lock()
            called.acquire()
            self._line.append(called)
        if called.acquire(timeout=self._patience_s):
            return True
        with self._mutex:
            if called not in self._line:
                return True  # called in this very moment
            self._line.remove(called)
            return False

    def _give(self) -> None:
        with self._mutex:
            if self._line:
                self._line.popleft().release()  # handed over: it stays taken
            else:
                self._is_taken = False

"""Stdout, written by a thread of its own.

A reader may pause (a pager, a slow consumer, a frozen terminal) or go away. Neither may block the
event loop: a blocked loop handles no signals, and its transfers time out. The queue is bounded, so
that a pausing reader only delays the results.

Everything queued during one write goes out in the next: a reader that keeps up gets each line at
once, and hundreds of thousands of lines need few system calls.
"""

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING

from bulkfetch.cli.loop_event import LoopEvent

if TYPE_CHECKING:
    import asyncio

# With more unwritten text than this, the producer waits.
_QUEUE_BYTES = 1 << 20


def write_all(descriptor: int, payload: bytes) -> None:
    """Write every byte, even if another process has made the descriptor non-blocking.

    Raises OSError, for example BrokenPipeError.
    """
    view = memoryview(payload)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            waiting = select.poll()
            waiting.register(descriptor, select.POLLOUT)
            waiting.poll()


class StdoutWriter:
    """Queues lines and writes them to a descriptor. `error` is set when writing has failed.

    `patience_s` is how long `put` and `close` wait for a pausing reader, None for ever.
    """

    def __init__(self, descriptor: int) -> None:
        self.error: OSError | None = None
        self.patience_s: float | None = None
        self._descriptor = descriptor
        self._queue: list[bytes] = []
        self._queued_bytes = 0
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._news = LoopEvent()

    def put(self, line: bytes) -> None:
        """Queue a line, waiting while the queue is full. Not for an event loop.

        Raises the OSError of an earlier write.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._queued_bytes < _QUEUE_BYTES or self.error, self.patience_s
            )
            self._add(line)

    async def send(self, line: bytes) -> None:
        """Queue a line, waiting in the event loop while the queue is full.

        Raises the OSError of an earlier write. If cancelled: the line is not queued.
        """
        while (room := self._take(line)) is not None:
            await room.wait()

    def close(self) -> None:
        """Wait until everything is written or writing has failed. No more lines can be queued."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(self.patience_s)

    def _take(self, line: bytes) -> asyncio.Event | None:
        """Queue a line; return what to wait for before the next try where the queue is full."""
        with self._changed:
            if self._queued_bytes < _QUEUE_BYTES or self.error:
                self._add(line)
                return None
            return self._news.expect()

    def _add(self, line: bytes) -> None:
        if self.error is not None:
            raise self.error
        if self._thread is None:
            # A daemon: a pausing reader does not delay an immediate stop.
            self._thread = threading.Thread(target=self._write, name="stdout", daemon=True)
            self._thread.start()
        self._queue.append(line)
        self._queued_bytes += len(line)
        self._changed.notify_all()

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return
                batch, self._queue = self._queue, []
            try:
                write_all(self._descriptor, b"".join(batch))
            except OSError as error:
                self.error = error
            with self._changed:
                self._queued_bytes -= sum(map(len, batch))
                self._changed.notify_all()
                self._news.set()
            if self.error is not None:
                return

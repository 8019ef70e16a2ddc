"""Stderr during a run, drawn by a thread of its own.

The event loop only drops values into a box: the newest progress wins, lines wait in a bounded
queue. A terminal that is frozen or gone costs news, never a transfer.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bulkfetch.pipeline.progress import Progress

# Lines that wait for a terminal that does not take them; older ones are dropped and counted.
_LINES = 2000


class Renderer(Protocol):
    """What draws: on a terminal, or into a log. Used by one thread. All may raise OSError."""

    def lines(self, texts: list[str]) -> None:
        """Show lines that stay."""
        ...

    def progress(self, progress: Progress) -> None:
        """Show where the run stands, if it is time to."""
        ...

    def close(self) -> None:
        """Take away what does not stay."""
        ...


class ProgressDisplay:
    """The box between the event loop and a face. Every method may be called from any thread."""

    def __init__(self, face: Renderer) -> None:
        self._face = face
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._progress: Progress | None = None
        self._closed = False
        self._changed = threading.Condition()
        # A daemon: a frozen terminal must not keep the program from ending.
        self._thread = threading.Thread(target=self._draw, name="stderr", daemon=True)
        self._thread.start()

    @property
    def has_room(self) -> bool:
        """Whether a line more would drop none; also when nobody looks any more."""
        return len(self._lines) < _LINES // 2 or not self._thread.is_alive()

    def line(self, text: str) -> None:
        """Show a line above the progress; never waits."""
        with self._changed:
            if len(self._lines) >= _LINES:
                self._lines.popleft()
                self._dropped += 1
            self._lines.append(text)
            self._changed.notify()

    def show(self, progress: Progress) -> None:
        """Show where the run stands; never waits."""
        with self._changed:
            self._progress = progress
            self._changed.notify()

    def close(self) -> None:
        """Wait until every line is shown, and take the progress away."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _draw(self) -> None:
        try:
            while self._step():
                pass
            self._face.close()
        except OSError:
            # The terminal is gone and nobody looks. The signal that comes with it stops the run;
            # results are on the disk, in the journal and on stdout.
            return

    def _step(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._progress or self._closed)
            lines, dropped = list(self._lines), self._dropped
            self._lines.clear()
            self._dropped = 0
            progress, self._progress = self._progress, None
            closed = self._closed
        if dropped:
            lines.insert(0, f"({dropped} lines were dropped: the terminal was too slow)")
        if lines:
            self._face.lines(lines)
        if progress is not None:
            self._face.progress(progress)
        return not closed

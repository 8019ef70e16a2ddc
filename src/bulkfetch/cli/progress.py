"""Stderr during a run, written by a thread of its own.

The event loop only hands over values: the latest progress, and lines in a bounded queue. A terminal
that is frozen or gone loses lines, but never delays a transfer.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bulkfetch.pipeline.progress import Progress

# The most lines that wait for a slow terminal; older ones are dropped and counted.
_LINES = 2000


class Renderer(Protocol):
    """Draws on a terminal or writes to a log. Used by one thread. Methods may raise OSError."""

    def lines(self, texts: list[str]) -> None:
        """Show permanent lines."""
        ...

    def progress(self, progress: Progress) -> None:
        """Show the state of the run, if it is time to."""
        ...

    def close(self) -> None:
        """Remove what is not permanent."""
        ...


class ProgressDisplay:
    """Hands lines and progress to a renderer in its own thread. Methods may be called anywhere."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
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
        """Whether more lines can be shown without dropping any, or nothing is shown any more."""
        return len(self._lines) < _LINES // 2 or not self._thread.is_alive()

    def line(self, text: str) -> None:
        """Show a line above the progress, without waiting."""
        with self._changed:
            if len(self._lines) >= _LINES:
                self._lines.popleft()
                self._dropped += 1
            self._lines.append(text)
            self._changed.notify()

    def show(self, progress: Progress) -> None:
        """Show the state of the run, without waiting."""
        with self._changed:
            self._progress = progress
            self._changed.notify()

    def close(self) -> None:
        """Wait until every line is shown, and remove the progress."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _draw(self) -> None:
        try:
            while self._step():
                pass
            self._renderer.close()
        except OSError:
            # The terminal is gone. The signal that comes with it stops the run; results are on the
            # disk, in the journal and on stdout.
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
            self._renderer.lines(lines)
        if progress is not None:
            self._renderer.progress(progress)
        return not closed

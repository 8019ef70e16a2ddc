"""Progress for log files: a line from time to time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bulkfetch.observe.summary import Meter, summarize

if TYPE_CHECKING:
    from bulkfetch.pipeline.progress import Progress


def pause_s(elapsed_s: float) -> float:
    """Return the pause between two lines, longer in long runs."""
    return 5.0 if elapsed_s < 300 else 30.0


class PlainRenderer:
    """Writes lines with `write`, which takes text including line ends."""

    def __init__(
        self,
        write: Callable[[str], None],
        periods_s: Mapping[str, float],
        *,
        stamp: Callable[[], str],
    ) -> None:
        """Begin; `stamp` gives the time that lines of progress begin with."""
        self._write = write
        self._periods_s = periods_s
        self._stamp = stamp
        self._meter = Meter()
        self._last_s = 0.0

    def lines(self, texts: list[str]) -> None:
        """Write lines."""
        self._write("".join(f"{text}\n" for text in texts))

    def progress(self, progress: Progress) -> None:
        """Write a line if the last one is old enough."""
        rate = self._meter.rate(progress.elapsed_s, progress.received_bytes)
        if progress.elapsed_s - self._last_s >= pause_s(progress.elapsed_s):
            self._last_s = progress.elapsed_s
            line = summarize(progress, rate, self._periods_s).line
            self._write(f"{self._stamp()} progress: {line}\n")

    def close(self) -> None:
        """Do nothing: all lines stay."""

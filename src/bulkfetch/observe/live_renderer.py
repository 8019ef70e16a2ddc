"""Progress on a terminal: a bar and a line of details below all other lines.

Importing this module imports rich: do it only to show progress.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bulkfetch.observe.summary import Meter, RunSummary, summarize

if TYPE_CHECKING:
    from bulkfetch.pipeline.progress import Progress

_BAR_COLUMNS = 40


class LiveRenderer:
    """Draws on `terminal`, respecting NO_COLOR and its size. For one thread."""

    def __init__(self, terminal: TextIO, periods_s: Mapping[str, float]) -> None:
        self._periods_s = periods_s
        self._meter = Meter()
        self._console = Console(
            file=terminal, force_terminal=True, highlight=False, markup=False, emoji=False
        )
        self._live = Live(
            console=self._console,
            # Drawn on each change, by the calling thread.
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def lines(self, texts: list[str]) -> None:
        """Write lines above the bar; the terminal wraps long ones."""
        self._console.print(Text("\n".join(texts)), soft_wrap=True)

    def progress(self, progress: Progress) -> None:
        """Redraw the bar."""
        rate = self._meter.rate(progress.elapsed_s, progress.received_bytes)
        self._live.start()
        self._live.update(_drawing(summarize(progress, rate, self._periods_s)), refresh=True)

    def close(self) -> None:
        """Remove the bar."""
        self._live.stop()


def _drawing(now: RunSummary) -> Group:
    head = Table.grid(padding=(0, 1))
    # The list may be empty yet. A total of None would be an endless animation.
    head.add_row(
        ProgressBar(total=max(now.to_do, 1), completed=now.ended, width=_BAR_COLUMNS),
        Text(now.counts, overflow="ellipsis", no_wrap=True),
    )
    details = Text(" · ".join(now.details), style="dim", overflow="ellipsis", no_wrap=True)
    return Group(head, details)

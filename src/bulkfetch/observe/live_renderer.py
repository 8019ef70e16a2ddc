"""Progress on a terminal: transfers, a bar and a line of details below all other lines.

Importing this module imports rich: do it only to show progress.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bulkfetch.observe.summary import Meter, RunSummary, summarize
from bulkfetch.observe.transfers import TransferMeter, TransferRow

if TYPE_CHECKING:
    from bulkfetch.pipeline.progress import Progress

_BAR_COLUMNS = 40
# Transfers are shown on a terminal of at least so many lines; the other lines are left to results.
_LEAST_LINES = 12
_OTHER_LINES = 8
# In narrower terminals there is a percentage only, and not how many bytes of how many.
_AMOUNT_FROM_COLUMNS = 100
# In wider ones the table stays so wide: the eye would lose the line between a name and its figures.
_TABLE_COLUMNS = 120


class LiveRenderer:
    """Draws on `terminal`, respecting NO_COLOR and its size. For one thread."""

    def __init__(self, terminal: TextIO, periods_s: Mapping[str, float]) -> None:
        self._periods_s = periods_s
        self._meter = Meter()
        self._transfers = TransferMeter()
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
        rows = self._transfers.rows(progress.transfers, progress.elapsed_s)
        self._live.start()
        now = summarize(progress, rate, self._periods_s)
        self._live.update(_drawing(now, rows, *self._console.size), refresh=True)

    def close(self) -> None:
        """Remove the bar."""
        self._live.stop()


def _drawing(now: RunSummary, rows: list[TransferRow], columns: int, lines: int) -> Group:
    head = Table.grid(padding=(0, 1))
    # The list may be empty yet. A total of None would be an endless animation.
    head.add_row(
        ProgressBar(total=max(now.to_do, 1), completed=now.ended, width=_BAR_COLUMNS),
        Text(now.counts, overflow="ellipsis", no_wrap=True),
    )
    details = Text(" · ".join(now.details), style="dim", overflow="ellipsis", no_wrap=True)
    shown = rows[: max(lines - _OTHER_LINES, 0)] if lines >= _LEAST_LINES else []
    parts: list[RenderableType] = [_table(shown, columns)] if shown else []
    if shown and (others := len(rows) - len(shown)):
        parts.append(Text(f"  and {others} more", style="dim"))
    return Group(*parts, head, details)


def _table(rows: list[TransferRow], columns: int) -> Table:
    table = Table.grid(padding=(0, 1))
    table.width = min(columns, _TABLE_COLUMNS)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column(justify="right", width=4)
    if columns >= _AMOUNT_FROM_COLUMNS:
        table.add_column(justify="right", width=20)
    table.add_column(justify="right", width=22, no_wrap=True)
    for row in rows:
        cells = [row.name, row.percent, row.amount, row.state]
        if columns < _AMOUNT_FROM_COLUMNS:
            del cells[2]
        table.add_row(*map(Text, cells))
    return table

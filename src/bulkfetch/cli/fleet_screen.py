"""What `bulkfetch fleet status --watch` draws on a terminal: the accounts under way, and a bar.

Importing this module imports rich: do it only to draw.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bulkfetch.fleet.accounts import FleetAccount
from bulkfetch.observe.summary import Meter
from bulkfetch.text import duration, escape, number

# Each account asks ten times a minute, all at once perhaps.
_RATE_OVER_S = 60.0
_BAR_COLUMNS = 40
# The bar, its details, the heads of the columns, and how many accounts are not shown.
_OTHER_LINES = 5
# In wider terminals the table stays so wide: the eye would lose the line.
_TABLE_COLUMNS = 120
_HEADS = ("account", "worker", "its turn", "done", "failed", "pending")


class FleetRow(NamedTuple):
    """A line of the table."""

    account: str
    worker: str
    turn: str
    done: str
    failed: str
    pending: str


def rows_of(accounts: Sequence[FleetAccount], now: float) -> list[FleetRow]:
    """Return the accounts under way, those with a turn first; `now` in seconds since 1970."""
    under_way = [each for each in accounts if each.is_under_way]
    under_way.sort(key=lambda each: not each.crashes)
    return [_row(each, now) for each in under_way]


def _row(each: FleetAccount, now: float) -> FleetRow:
    worker, turn = "", "waits for one"
    if each.crashes and each.worker is not None and each.turn_began_at is not None:
        worker = escape(each.worker)
        turn = f"for {duration(now - each.turn_began_at)}"
        if each.crashes > 1:
            turn += f", {each.crashes - 1} crashed"
    figures = (each.done, each.failed, each.pending)
    return FleetRow(escape(each.account), worker, turn, *(f"{figure:,}" for figure in figures))


def details_of(accounts: Sequence[FleetAccount], jobs_per_s: float) -> str:
    """Return who is at work, how fast, and until when: of jobs that no held account has."""
    turns = [each for each in accounts if each.crashes]
    workers = len({each.worker for each in turns})
    left = sum(each.pending for each in accounts if each.held is None)
    exports = sum(each.exports.pending for each in accounts if each.held is None)
    held = sum(each.held is not None for each in accounts)
    parts = [f"{number(len(turns), 'turn')} by {number(workers, 'worker')}"]
    if exports:
        parts.append(f"{number(exports, 'export')} pending")
    if jobs_per_s:
        parts.append(f"{60 * jobs_per_s:,.0f} jobs/min")
        if left:
            parts.append(f"{duration(left / jobs_per_s)} left")
    if held:
        parts.append(f"{held} held")
    return " · ".join(parts)


class FleetScreen:
    """Draws on the terminal that is stdout, respecting NO_COLOR and its size.

    A context manager that leaves nothing of it there.
    """

    def __init__(self) -> None:
        self._meter = Meter(_RATE_OVER_S)
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(self, accounts: Sequence[FleetAccount]) -> None:
        """Draw how they stand now."""
        ended = sum(each.done + each.failed for each in accounts)
        rate = self._meter.rate(time.monotonic(), ended)
        drawing = _drawing(accounts, rate, time.time(), *self._console.size)
        self._live.update(drawing, refresh=True)


def _drawing(
    accounts: Sequence[FleetAccount], rate: float, now: float, columns: int, lines: int
) -> Group:
    rows = rows_of(accounts, now)
    shown = rows[: max(lines - _OTHER_LINES, 0)]
    parts: list[RenderableType] = [_table(shown, columns)] if shown else []
    if others := len(rows) - len(shown):
        parts.append(Text(f"and {others} more", style="dim"))
    done = sum(each.done for each in accounts)
    failed = sum(each.failed for each in accounts)
    pending = sum(each.pending for each in accounts)
    head = Table.grid(padding=(0, 1))
    head.add_row(
        ProgressBar(
            total=max(done + failed + pending, 1), completed=done + failed, width=_BAR_COLUMNS
        ),
        Text(f"{done:,} done, {failed:,} failed, {pending:,} pending", overflow="ellipsis"),
    )
    details = Text(details_of(accounts, rate), style="dim", overflow="ellipsis", no_wrap=True)
    return Group(*parts, head, details)


def _table(rows: Sequence[FleetRow], columns: int) -> Table:
    table = Table.grid(padding=(0, 1))
    table.width = min(columns, _TABLE_COLUMNS)
    for ratio in (3, 3, 3, None, None, None):
        table.add_column(
            ratio=ratio, justify="left" if ratio else "right", no_wrap=True, overflow="ellipsis"
        )
    table.add_row(*(Text(head, style="dim") for head in _HEADS))
    for row in rows:
        table.add_row(*map(Text, row))
    return table

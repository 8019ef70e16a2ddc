"""Where a run stands, for whoever shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bulkfetch.journal import Counts

if TYPE_CHECKING:
    from bulkfetch.window import WindowState


class Progress(NamedTuple):
    """Where a run stands. `list_read` says whether `counts` covers the whole list."""

    counts: Counts
    list_read: bool
    stopping: bool
    requests: int
    in_flight: int
    waiting_retries: int
    received_bytes: int
    staged_bytes: int
    file_bytes: int
    elapsed_s: float
    windows: dict[str, WindowState]

"""Where a run stands, for whoever shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bulkfetch.journal import Counts

if TYPE_CHECKING:
    from bulkfetch.ratelimit import WindowState


class Progress(NamedTuple):
    """Where a run stands. `list_read` says whether `counts` covers the whole list.

    `finishing` jobs have come whole and are on their way to their file. `job_s` is how long a job
    takes from its request to its file, in seconds: the mean of those seen, before the first one how
    long the oldest under way has taken. `since_start_s` is how long ago the last request began.
    """

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
    finishing: int = 0
    job_s: float = 0.0
    since_start_s: float = 0.0

"""Where a run stands, and how long its jobs take, for whoever shows it. Pure.

Times are seconds on one clock, the event loop's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from bulkfetch.journal import Counts

if TYPE_CHECKING:
    from bulkfetch.ratelimit import WindowState


class Transfer(NamedTuple):
    """A job between its request and its file; `name` is its file's without an extension.

    `received_bytes` of `total_bytes` are here (None: not known, or not yet). `unpacking`: the
    archive is complete. `held`: it waits for the bandwidth of the run, not for its server.
    """

    account: str
    job_id: str
    name: str
    received_bytes: int = 0
    total_bytes: int | None = None
    unpacking: bool = False
    held: bool = False


class Progress(NamedTuple):
    """Where a run stands. `list_read` says whether `counts` covers the whole list.

    `finishing` jobs have come whole and are on their way to their file. `job_s` is how long a job
    takes from its request to its file, in seconds: the mean of those seen, before the first one how
    long the oldest under way has taken. `since_start_s` is how long ago the last request began.
    `preparing` results are known not to be ready yet. `exports` says where each is that is under
    way. `retried` is how often a job was put back to be requested again; `transfers` are those
    under way, in the order in which they began.
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
    preparing: int = 0
    exports: tuple[str, ...] = ()
    retried: int = 0
    transfers: tuple[Transfer, ...] = ()


class JobCounts(NamedTuple):
    """Where the jobs of an account stand, or those of several together; as in `Progress`."""

    requests: int = 0
    in_flight: int = 0
    waiting_retries: int = 0
    finishing: int = 0
    received_bytes: int = 0
    retried: int = 0


class JobTimes:
    """What one account has seen: the sum over jobs that ended, and when requests began."""

    def __init__(self) -> None:
        self.jobs = 0
        self.total_s = 0.0
        self.first_start: float | None = None
        self.last_start: float | None = None

    def started(self, now: float) -> None:
        """Count a request that begins."""
        if self.first_start is None:
            self.first_start = now
        self.last_start = now

    def ended(self, started: float, now: float) -> None:
        """Count a job whose file is there, and whose last request began at `started`."""
        self.jobs += 1
        self.total_s += now - started


class Typical(NamedTuple):
    """Over all accounts: seconds from a request to its file, and since the last request began."""

    job_s: float = 0.0
    since_start_s: float = 0.0


def typical(accounts: Iterable[JobTimes], now: float) -> Typical:
    """Return the mean over what the accounts have seen; how long the oldest took if none ended."""
    seen = [times for times in accounts if times.first_start is not None]
    if not seen:
        return Typical()
    ended = sum(times.jobs for times in seen)
    first = min(times.first_start for times in seen if times.first_start is not None)
    last = max(times.last_start for times in seen if times.last_start is not None)
    mean_s = sum(times.total_s for times in seen) / ended if ended else now - first
    return Typical(mean_s, now - last)

"""The state of a run in words. Pure, except for the meter, which remembers the last seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from bulkfetch.observe.eta import Pace, bytes_left, end_left_s, time_left_s
from bulkfetch.text import duration, jobs, size

if TYPE_CHECKING:
    from bulkfetch.pipeline.progress import Progress
    from bulkfetch.ratelimit import WindowState

# The rate shown is the average of so many seconds: steady, but current.
_RATE_OVER_S = 5.0
# Of more exports only the number is shown: the rest of the line has to fit.
_SHOWN_EXPORTS = 3


class Meter:
    """Measures how much a second a growing number grows, as bytes do, over the last `over_s`."""

    def __init__(self, over_s: float = _RATE_OVER_S) -> None:
        self._over_s = over_s
        self._samples: deque[tuple[float, int]] = deque()

    def rate(self, elapsed_s: float, count: int) -> float:
        """Add a sample, and return the rate over that time; 0 for the first sample."""
        samples = self._samples
        samples.append((elapsed_s, count))
        # Keep one older sample, as the beginning of the interval.
        while len(samples) > 2 and samples[1][0] <= elapsed_s - self._over_s:
            samples.popleft()
        first_s, first = samples[0]
        return (count - first) / (elapsed_s - first_s) if elapsed_s > first_s else 0.0


class RunSummary(NamedTuple):
    """The state of a run: `ended` of `to_do` jobs, and the words for it.

    `to_do` grows while the list is being read. `counts` are the jobs by status in words, `details`
    short independent phrases about the rest.
    """

    ended: int
    to_do: int
    counts: str
    details: tuple[str, ...]

    @property
    def line(self) -> str:
        """Everything in one line, for logs."""
        return f"{self.counts}; {', '.join(self.details)}" if self.details else self.counts


def summarize(progress: Progress, rate: float, periods_s: Mapping[str, float]) -> RunSummary:
    """Return the state of a run; `rate` in bytes per second, `periods_s` by account, with margins.

    Accounts missing in `periods_s` are left out of the estimate.
    """
    counts = progress.counts
    ended = counts.done + counts.failed
    to_do = ended + counts.pending
    total = jobs(to_do) if progress.list_read else f"{jobs(to_do)} or more"
    words = f"{counts.done} of {total} done"
    if counts.failed:
        words += f", {counts.failed} failed"
    if progress.retried:
        words += f", {progress.retried} retried"
    if counts.skipped:
        words += f", {counts.skipped} done before"
    details = list(progress.exports[:_SHOWN_EXPORTS])
    if (others := len(progress.exports) - len(details)) > 0:
        details.append(f"and {others} more")
    details.append(f"{progress.in_flight} in flight")
    if progress.preparing:
        details.append(f"{progress.preparing} not ready yet")
    if progress.waiting_retries:
        details.append(f"{progress.waiting_retries} waiting to retry")
    details.append(f"{size(progress.received_bytes)} received ({size(rate)}/s)")
    if progress.stopping:
        details.append("stopping")
    else:
        details += window_words(progress.windows)
        details += _left(progress, ended, periods_s, rate)
    return RunSummary(ended, to_do, words, tuple(details))


def window_words(windows: Mapping[str, WindowState]) -> list[str]:
    """Return how many slots of all accounts are free, and when the next one is."""
    if not windows:
        return []
    states = windows.values()
    held = [state.held_s for state in states if state.held_s > 0]
    if held:  # all share one file
        return [f"window held by another process for {duration(max(held))}"]
    shut = [state.closed_s for state in states if state.closed_s > 0]
    if len(shut) == len(windows):
        return [f"window closed for {duration(min(shut))}"]
    words = f"{sum(state.free for state in states)} of {sum(s.capacity for s in states)} slots free"
    nexts = [state.next_free_s for state in states if state.next_free_s is not None]
    if nexts and min(nexts) > 0:
        words += f", next in {duration(min(nexts))}"
    return [words, f"{len(shut)} window{'s' * (len(shut) > 1)} closed"] if shut else [words]


def _left(progress: Progress, ended: int, periods_s: Mapping[str, float], rate: float) -> list[str]:
    if not progress.list_read or not progress.counts.pending or progress.preparing:
        return []
    if any(state.held_s for state in progress.windows.values()):
        return []  # unknown until it is released
    to_start = progress.counts.pending - progress.in_flight - progress.finishing
    paces = [
        _pace(state, periods_s[account])
        for account, state in progress.windows.items()
        if account in periods_s
    ]
    start_left_s = time_left_s(to_start, ended, progress.elapsed_s, paces)
    left_s = end_left_s(to_start, start_left_s, progress.job_s, progress.since_start_s)
    if left_s is None:
        return []
    if to_start <= 0 and rate > 0:  # however long the others took: so much is still to come
        left_s = max(left_s, bytes_left(progress.transfers) / rate)
    if not left_s:
        # All have started longer ago than jobs take: the rest is unknown.
        return ["finishing"] if to_start <= 0 else []
    return [f"about {duration(max(1.0, round(left_s)))} left"]


def _pace(state: WindowState, period_s: float) -> Pace:
    # The next slot depends on a pending response: assume a full period.
    next_free_s = period_s if state.next_free_s is None else state.next_free_s
    return Pace(
        requests=max(state.capacity, 1),
        free=0 if state.closed_s > 0 else state.free,
        next_free_s=max(next_free_s, state.closed_s),
        period_s=period_s,
    )

"""How long a run will take, according to the schedule of the window. Pure.

The n-th request of an account starts ⌊(n−1)/requests⌋ periods after the first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bulkfetch.pipeline.progress import Transfer

# Zoho keeps a result for one day after its job was completed.
KEPT_S = 86_400.0


class Pace(NamedTuple):
    """The current state of an account's window.

    `requests` is the number of its slots, `free` of the free ones; `next_free_s` is the wait for
    the next free slot, 0 if there is one. `period_s` includes the margin.
    """

    requests: int
    free: int
    next_free_s: float
    period_s: float


def start_s(position: int, requests: int, period_s: float) -> float:
    """Return when the request at `position` (from 0) starts, with an unused window."""
    return position // requests * period_s


def starts_within(seconds: float, requests: int, period_s: float) -> int:
    """Return how many requests start within so many seconds (inclusive), with an unused window."""
    return (int(seconds // period_s) + 1) * requests


def end_left_s(
    to_start: int, start_left_s: float | None, job_s: float, since_start_s: float
) -> float | None:
    """Return an estimate of the seconds until the last file is published, None if unknown.

    `start_left_s` is the time until the last of `to_start` jobs starts, and `job_s` the duration of
    a job. If all have started, the last one did `since_start_s` ago: 0 then means that it takes
    longer than usual.
    """
    if to_start <= 0:
        return max(job_s - since_start_s, 0.0)
    return None if start_left_s is None else start_left_s + job_s


def bytes_left(transfers: Iterable[Transfer]) -> int:
    """Return how many bytes of transfers under way are still to come, as far as that is known."""
    return sum(
        max(each.total_bytes - each.received_bytes, 0)
        for each in transfers
        if each.total_bytes is not None
    )


def time_left_s(to_start: int, ended: int, elapsed_s: float, paces: list[Pace]) -> float | None:
    """Return an estimate of the seconds until the last of `to_start` jobs starts, None if unknown.

    If the window is the bottleneck, its schedule decides; if slots are free, the pace so far, which
    is that of the network or the disk. Several accounts are assumed to have equal shares of the
    remaining jobs.
    """
    if to_start <= 0:
        return 0.0
    if not paces:
        return None
    free = sum(pace.free for pace in paces)
    if free and ended and to_start > free:
        by_pace = to_start * elapsed_s / ended
        return max(by_pace, _by_schedule(to_start, paces))
    return _by_schedule(to_start, paces)


def _by_schedule(to_start: int, paces: list[Pace]) -> float:
    share = -(-to_start // len(paces))
    return max(_account_s(share, pace) for pace in paces)


def _account_s(to_start: int, pace: Pace) -> float:
    beyond = to_start - pace.free
    if beyond <= 0:
        return 0.0
    return pace.next_free_s + (beyond - 1) // pace.requests * pace.period_s

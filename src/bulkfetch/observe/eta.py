"""How long a run will take, from the schedule of the window. Pure.

The n-th request of an account leaves ⌊(n−1)/requests⌋ periods after the first one.
"""

from __future__ import annotations

from typing import NamedTuple

# Zoho keeps a result for one day after its job was completed.
KEPT_S = 86_400.0


class Pace(NamedTuple):
    """An account's window as it stands: slots in all and free now, seconds.

    `next_free_s` is how long until the next slot is free, 0 where one is. `period_s` includes the
    margin.
    """

    requests: int
    free: int
    next_free_s: float
    period_s: float


def start_s(position: int, requests: int, period_s: float) -> float:
    """Say when the request at `position` (from 0) of an account with a fresh window leaves."""
    return position // requests * period_s


def starts_within(seconds: float, requests: int, period_s: float) -> int:
    """Say how many requests of an account with a fresh window leave within so many seconds.

    The one at the very end of them is still asked for.
    """
    return (int(seconds // period_s) + 1) * requests


def end_left_s(
    to_start: int, start_left_s: float | None, job_s: float, since_start_s: float
) -> float | None:
    """Estimate the seconds until the last file is there, not only its request; None: no telling.

    `start_left_s` is how long until the last of `to_start` jobs has its request, and `job_s` how
    long a job takes from there to its file. With nothing more to start, the last one began
    `since_start_s` ago: 0 then means that it takes longer than jobs do.
    """
    if to_start <= 0:
        return max(job_s - since_start_s, 0.0)
    return None if start_left_s is None else start_left_s + job_s


def time_left_s(to_start: int, ended: int, elapsed_s: float, paces: list[Pace]) -> float | None:
    """Estimate the seconds until the last of `to_start` jobs has its request; None: no telling.

    Where the window holds jobs up, its schedule is the answer; else the pace up to now is, as the
    network or the disk is then what is waited for. Several accounts are taken to have equal shares
    of what is left.
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

"""The server's side of the limit: is this download one too many? Time is passed in.

Zoho: "Only 10 requests for download are allowed for one-minute interval. … All downloads will be
unsuccessful and the download request will be processed only after one minute." What kind of
interval, and what a refused request does to the lock-out, is not known: each is a switch.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from bulkfetch.sandbox.options import SandboxOptions


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request was admitted, and if not, after how many seconds the account is free."""

    admitted: bool
    wait_s: float = 0.0


class Quota:
    """The window of one account."""

    def __init__(self, options: SandboxOptions) -> None:
        self._options = options
        self._period_s = options.period_s
        self._lockout_s = options.period_s if options.lockout_s is None else options.lockout_s
        self._admitted: deque[float] = deque()
        self._locked_until = -math.inf

    def arrive(self, now: float) -> Verdict:
        """Count one request that arrives at `now` (seconds, never falling)."""
        if self._options.whole_seconds:
            now = math.floor(now)
        if now < self._locked_until:
            if self._options.reject_prolongs:
                self._locked_until = now + self._lockout_s
            return Verdict(False, self._locked_until - now)
        while self._admitted and self._is_over(self._admitted[0], now):
            self._admitted.popleft()
        if len(self._admitted) < self._options.requests:
            self._admitted.append(now)
            return Verdict(True)
        self._locked_until = now + self._lockout_s
        return Verdict(False, max(self._lockout_s, self._free_at(now) - now))

    def _is_over(self, stamp: float, now: float) -> bool:
        if self._options.window == "fixed":
            return stamp // self._period_s < now // self._period_s
        age = now - stamp
        return age > self._period_s if self._options.whole_seconds else age >= self._period_s

    def _free_at(self, now: float) -> float:
        if self._options.window == "fixed":
            return (now // self._period_s + 1) * self._period_s
        return self._admitted[0] + self._period_s


def worst_in(stamps: list[float], period_s: float) -> int:
    """Return the most of `stamps` that lie in any interval [t, t + `period_s`)."""
    worst, window = 0, deque[float]()
    for stamp in sorted(stamps):
        window.append(stamp)
        while stamp - window[0] >= period_s:
            window.popleft()
        worst = max(worst, len(window))
    return worst

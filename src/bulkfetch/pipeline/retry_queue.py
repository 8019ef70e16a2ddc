"""The jobs of an account that wait for a request. Pure: time is an argument.

First tries stand in list order. Retries wait until they are due; then they are taken in turn with
first tries, so that neither starves the other.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque

from bulkfetch.pipeline.active_job import ActiveJob


class RetryQueue:
    """First tries, `fresh`, due retries, and those whose backoff is not over; times in seconds."""

    def __init__(self) -> None:
        self.fresh: deque[ActiveJob] = deque()
        self._due: deque[ActiveJob] = deque()
        self._later: list[tuple[float, int, ActiveJob]] = []
        self._order = itertools.count()
        self._retry_turn = False

    @property
    def retries(self) -> int:
        """How many jobs wait to be tried again."""
        return len(self._due) + len(self._later)

    def retry(self, job: ActiveJob, *, due: float | None = None, first: bool = False) -> None:
        """Take a retry that is due at a time, None for now: behind the others, or `first`."""
        if due is not None:
            heapq.heappush(self._later, (due, next(self._order), job))
        elif first:
            self._due.appendleft(job)
        else:
            self._due.append(job)

    def ready(self, now: float) -> int:
        """Return how many jobs there are to take now."""
        while self._later and self._later[0][0] <= now:
            self._due.append(heapq.heappop(self._later)[2])
        return len(self.fresh) + len(self._due)

    def next_due(self) -> float:
        """Return when the next backoff is over, inf when there is none."""
        return self._later[0][0] if self._later else math.inf

    def take(self, now: float) -> ActiveJob:
        """Return the job whose turn it is now; there must be one that is `ready`."""
        self.ready(now)
        self._retry_turn = bool(self._due) and (not self.fresh or not self._retry_turn)
        return self._due.popleft() if self._retry_turn else self.fresh.popleft()

"""A virtual clock for an event loop, and the counting of grants. Shared by the drivers here."""

import asyncio
import selectors
from collections.abc import Sequence
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time jumps to the next timer whenever nothing else is to be done.

    Each turn lasts a nanosecond, for a limiter may wait for 1e-16 of a token.
    """

    def __init__(self) -> None:
        super().__init__(_Impatient(self))
        self.now = 0.0

    def time(self) -> float:
        """Say what time it is here."""
        return self.now


class _Impatient(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[Any, int]]:
        """Let the time asked for pass at once."""
        self._loop.now += 1e-9 + max(0.0, timeout or 0.0)
        return super().select(0)


def worst(times: Sequence[float], period_s: float) -> int:
    """Give the largest number of times in any half-open stretch of a period."""
    times = sorted(times)
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - period_s:
            first += 1
        most = max(most, last - first + 1)
    return most


def earliest(count: int, requests: int, period_s: float) -> float:
    """Give when the last of `count` may leave at the earliest."""
    return (count - 1) // requests * period_s

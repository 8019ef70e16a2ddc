"""Figures over time, whatever a run's length, in a bounded number of buckets."""

from __future__ import annotations

from collections.abc import Callable

BUCKETS = 240
_FIRST_WIDTH_S = 0.5


class Series:
    """Sums or peaks by time from 0 s on. Where it grows too long, two buckets become one.

    `join` makes one value of two: addition for sums, max for peaks.
    """

    def __init__(self, join: Callable[[float, float], float]) -> None:
        self.width_s = _FIRST_WIDTH_S
        self.values: list[float] = []
        self._join = join

    def add(self, at_s: float, value: float) -> None:
        """Join a value to that of its time."""
        at = self._index(at_s)
        self.values[at] = self._join(self.values[at], value)

    def spread(self, from_s: float, to_s: float, total: float) -> None:
        """Add a total evenly over an interval."""
        self._index(to_s)
        first, last = self._index(from_s), self._index(to_s)
        length_s = to_s - from_s
        for at in range(first, last + 1):
            begin, end = at * self.width_s, (at + 1) * self.width_s
            overlap_s = min(end, to_s) - max(begin, from_s)
            share = overlap_s / length_s if length_s > 0 else 1.0
            self.values[at] = self._join(self.values[at], total * max(0.0, share))

    def hold(self, from_s: float, to_s: float, value: float) -> None:
        """Join a value to all buckets of an interval."""
        self._index(to_s)
        for at in range(self._index(from_s), self._index(to_s) + 1):
            self.values[at] = self._join(self.values[at], value)

    def at_width(self, width_s: float) -> list[float]:
        """Return the values with wider buckets: `width_s` is ours, doubled some times."""
        values, width = self.values, self.width_s
        while width < width_s:
            values, width = self._halved(values), width * 2
        return values

    def _halved(self, values: list[float]) -> list[float]:
        pairs = [*values, 0.0] if len(values) % 2 else values
        return [self._join(a, b) for a, b in zip(pairs[::2], pairs[1::2], strict=True)]

    def _index(self, at_s: float) -> int:
        while (at := int(max(0.0, at_s) / self.width_s)) >= BUCKETS:
            self.values = self._halved(self.values)
            self.width_s *= 2
        if at >= len(self.values):
            self.values += [0.0] * (at + 1 - len(self.values))
        return at


def total() -> Series:
    """Return a series of sums."""
    return Series(lambda a, b: a + b)


def peak() -> Series:
    """Return a series of peaks."""
    return Series(max)

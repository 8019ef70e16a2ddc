"""From samples to figures. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.model import Medians, Sample

# What every process has, whatever the program tells of itself.
ACCOUNTS = ("wall_s", "cpu_s", "user_s", "sys_s", "rss_bytes", "page_faults", "switches")


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity over all samples of a case."""

    median: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        """(max - min) / median: how far the samples lie apart; 0 where the median is 0."""
        return (self.high - self.low) / self.median if self.median else 0.0


def sum_up(samples: Sequence[Sample]) -> dict[str, Figure]:
    """Give every figure of a case's samples, its own ones included."""
    own = {name for sample in samples for name in sample.figures}
    figures = {
        name: _figure([float(getattr(sample, name)) for sample in samples]) for name in ACCOUNTS
    }
    return figures | {
        name: _figure([sample.figures[name] for sample in samples if name in sample.figures])
        for name in sorted(own)
    }


def medians(samples: Mapping[str, Sequence[Sample]]) -> Medians:
    """Give the medians of a contest."""
    return Medians(
        {
            case: {name: figure.median for name, figure in sum_up(taken).items()}
            for case, taken in samples.items()
        }
    )


def _figure(values: Sequence[float]) -> Figure:
    return Figure(statistics.median(values), min(values), max(values))

"""The words of the harness: contests, cases, samples, targets. Plain values, no measuring.

A *scenario* is a module; it gives *contests*. A contest is one task with its *cases*, the rivals;
a case is measured several times, each time giving a *sample*. A *target* is a sentence and a bound
on a figure of the contest's medians.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# What a run must leave in its output folder: how many files of (bytes, CRC-32).
Contents = Counter[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Sample:
    """One whole process, as the system accounts for it, children included.

    `rss_bytes` is the largest single process's peak. `figures` are what the program itself told in
    the last line of its output, a JSON object of numbers with their units in the names.
    """

    wall_s: float
    user_s: float
    sys_s: float
    rss_bytes: int
    page_faults: int = 0
    switches: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def cpu_s(self) -> float:
        """Time on all cores."""
        return self.user_s + self.sys_s


@dataclass(frozen=True, slots=True)
class Case:
    """One rival of a contest.

    `argv` makes the command for an empty output folder. `missing` says what is lacking and how to
    get it, None when the case can run. `ours` marks this project's own code, which is run once more
    for each revision compared. `series` and `x` place a case in a chart of growth.
    """

    name: str
    argv: Callable[[Path], Sequence[str]]
    env: Mapping[str, str] = field(default_factory=dict)
    missing: str | None = None
    ours: bool = False
    series: str | None = None
    x: float | None = None
    leaves: Contents | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A bound that the contest is held to; `value` gives None where a rival was not measured."""

    says: str
    value: Callable[[Medians], float | None]
    at_most: float | None = None
    at_least: float | None = None

    def met(self, value: float) -> bool:
        """Say whether a measured value keeps the bound."""
        return (self.at_most is None or value <= self.at_most) and (
            self.at_least is None or value >= self.at_least
        )


@dataclass(frozen=True, slots=True)
class Contest:
    """One task and its rivals.

    `reference` is the case that ratios are told against. `gigabytes` is what CPU is divided by in
    the table, None where that says nothing. `repeats` overrides the number asked for; of a short
    one, `times` as many are taken. `hoards`: results are removed only after the last sample, where
    there are many small files. `x_label`, `y_figures` belong to a chart of growth.
    """

    name: str
    title: str
    cases: Sequence[Case]
    reference: str
    leaves: Contents | None = None
    gigabytes: float | None = None
    targets: Sequence[Target] = ()
    notes: str = ""
    repeats: int | None = None
    times: int = 1
    hoards: bool = False
    x_label: str = ""
    y_figures: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Medians:
    """The medians of a contest, by case, for targets."""

    cases: Mapping[str, Mapping[str, float]]

    def get(self, case: str, figure: str) -> float | None:
        """Give a figure (`wall_s`, `cpu_s`, `rss_bytes` or a case's own), None where unmeasured."""
        return self.cases.get(case, {}).get(figure)


def ratio(case: str, to: str, figure: str) -> Callable[[Medians], float | None]:
    """Make a target's value: one case's figure over another's."""

    def value(medians: Medians) -> float | None:
        top, bottom = medians.get(case, figure), medians.get(to, figure)
        return None if top is None or not bottom else top / bottom

    return value


def figure(case: str, name: str, scale: float = 1.0) -> Callable[[Medians], float | None]:
    """Make a target's value: a case's figure, times `scale`."""

    def value(medians: Medians) -> float | None:
        found = medians.get(case, name)
        return None if found is None else found * scale

    return value

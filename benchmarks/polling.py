"""Polling in a model: how often it asks, and how late it learns that a page is prepared.

    python -m benchmarks.polling

Twelve exports of one to three pages, night after night, on a virtual clock: ours beside a question
every 5 seconds and beside intervals that double up to 300 s. Modules differ in how long their pages
take, each page differs from the last, and the last page of an export is prepared sooner, as it has
fewer rows. Ours remembers from night to night what the journal would. Nothing is measured: the same
figures come out everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from statistics import fmean
from typing import NamedTuple

from bulkfetch.exports.polling import PollTimer, PreparationTimes

NIGHTS = 30
SIGMA = 0.35  # of the logarithm: two pages in three take between 0.7 and 1.4 times the median
MEDIANS_S = (10.0, 60.0, 300.0)

# The ages at which a page is asked for, given its module's times.
Asking = Callable[[PreparationTimes, Random], Iterator[float]]


class Score(NamedTuple):
    """Questions a page, and seconds from prepared to known: the mean and the 95th percentile."""

    polls: float
    delay_s: float
    delay95_s: float


def ours(times: PreparationTimes, random: Random) -> Iterator[float]:
    """Ask as `exports/polling` says."""
    timer = PollTimer.start(0.0, times.median_s, random.random(), now=0.0)
    while True:
        yield timer.next_at
        timer = timer.asked(timer.next_at, random.random())


def fixed(_: PreparationTimes, __: Random) -> Iterator[float]:
    """Ask every five seconds."""
    age_s = 0.0
    while True:
        yield (age_s := age_s + 5.0)


def doubling(_: PreparationTimes, __: Random) -> Iterator[float]:
    """Ask after 5 seconds, then after twice as long, up to 300 s."""
    age_s, step_s = 0.0, 5.0
    while True:
        yield (age_s := age_s + step_s)
        step_s = min(300.0, 2 * step_s)


WAYS: dict[str, Asking] = {"ours": ours, "every 5 s": fixed, "doubling to 300 s": doubling}


def play(asking: Asking, median_s: float, nights: int = NIGHTS, seed: int = 1) -> Score:
    """Play some nights of twelve exports, whose modules' pages take about `median_s`."""
    random = Random(seed)
    modules = [(number % 3 + 1, median_s * random.uniform(0.5, 2)) for number in range(12)]
    remembered = [PreparationTimes()] * len(modules)
    polls: list[int] = []
    delays: list[float] = []
    for _ in range(nights):
        for number, (pages, usual_s) in enumerate(modules):
            for page in range(1, pages + 1):
                rows = random.uniform(0.2, 1) if page == pages else 1.0
                takes_s = usual_s * rows**0.5 * random.lognormvariate(0, SIGMA)
                ages = enumerate(asking(remembered[number], Random(f"{seed}/{len(polls)}")), 1)
                count, age_s = next(each for each in ages if each[1] >= takes_s)
                polls.append(count)
                delays.append(age_s - takes_s)
                remembered[number] = remembered[number].after(age_s)
    return Score(fmean(polls), fmean(delays), sorted(delays)[int(0.95 * len(delays))])


def table(nights: int = NIGHTS) -> str:
    """Return the scores of all ways as a Markdown table."""
    lines = [
        "| usual preparation | way | polls a page | delay, mean | delay, 95 % |",
        "|---|---|---|---|---|",
    ]
    for median_s in MEDIANS_S:
        for name, asking in WAYS.items():
            score = play(asking, median_s, nights)
            lines.append(
                f"| {median_s:.0f} s | {name} | {score.polls:.1f} | {score.delay_s:.1f} s "
                f"| {score.delay95_s:.1f} s |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())

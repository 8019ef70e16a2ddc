"""When to ask whether a page is prepared. Pure: times are seconds of the caller's clock, `chance`
is random in 0 to 1.

Pages of one module take about as long as the last ones did. So the first question comes shortly
before that, the second at it, the others in growing steps: few questions for a long preparation,
and the delay after it stays a fraction of its own length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import NamedTuple, TypeVar

K = TypeVar("K")

# Of a module that nothing is known of.
FIRST_S = 2.0
FIRST_SHARE = 0.8
GROWTH = 1.5
LONGEST_S = 60.0
# What the step comes to that grows with a page's age.
AGE_SHARE = (GROWTH - 1) / GROWTH
JITTER = 0.1
# So many prepared results wait for slots for two minutes: nothing is gained by knowing of more.
PLENTY = 20
# Durations that are remembered of a module: some nights, so that a slow one is soon forgotten.
REMEMBERED = 9


class PreparationTimes(NamedTuple):
    """How long the last pages of a module took, from their creation until found prepared, in
    seconds, the newest last: what the journal stores."""

    seconds: tuple[float, ...] = ()

    @property
    def median_s(self) -> float | None:
        """The median, None if nothing is remembered."""
        return median(self.seconds) if self.seconds else None

    def after(self, took_s: float) -> PreparationTimes:
        """Return what is remembered after one more page."""
        return PreparationTimes((*self.seconds, round(max(0.0, took_s), 3))[-REMEMBERED:])


@dataclass(frozen=True, slots=True)
class PollTimer:
    """When to ask for one page that is being prepared.

    `next_at` is when it is due, `step_s` how long to wait after an answer that it is not prepared.
    `must_go_on` marks a chain that is asked for even while plenty of results wait for slots.
    """

    created_at: float
    next_at: float
    step_s: float
    must_go_on: bool = False

    @classmethod
    def start(
        cls,
        created_at: float,
        median_s: float | None,
        chance: float,
        *,
        now: float,
        must_go_on: bool = False,
    ) -> PollTimer:
        """Return the timer of a page created at `created_at`, which may be long ago.

        `median_s` is what its module is known to take, None if unknown. Of a page that is old by
        now the steps are as long as if it had been asked for all the while.
        """
        if median_s is None:
            first_s, step_s = FIRST_S, FIRST_S * GROWTH
        else:
            first_s = FIRST_SHARE * median_s
            step_s = max(FIRST_S, median_s - first_s)
        step_s = max(step_s, (now - created_at) * AGE_SHARE)
        return cls(created_at, created_at + _jittered(first_s, chance), step_s, must_go_on)

    def asked(self, now: float, chance: float) -> PollTimer:
        """Return the timer after an answer at `now` that the page is not prepared."""
        step_s = min(LONGEST_S, self.step_s)
        return replace(self, next_at=now + _jittered(step_s, chance), step_s=step_s * GROWTH)


def due(timers: Mapping[K, PollTimer], *, ready: int, now: float) -> list[K]:
    """Return the pages to ask for now, the oldest first.

    `ready` prepared results wait for slots.
    """
    found = [(key, timer) for key, timer in _askable(timers, ready) if timer.next_at <= now]
    return [key for key, _ in sorted(found, key=lambda pair: pair[1].created_at)]


def next_due_at(timers: Mapping[K, PollTimer], *, ready: int) -> float | None:
    """Return when the next page is due, None if none is to be asked for while so many wait."""
    return min((timer.next_at for _, timer in _askable(timers, ready)), default=None)


def _askable(timers: Mapping[K, PollTimer], ready: int) -> list[tuple[K, PollTimer]]:
    return [pair for pair in timers.items() if ready < PLENTY or pair[1].must_go_on]


def _jittered(seconds: float, chance: float) -> float:
    return seconds * (1 + JITTER * (2 * chance - 1))

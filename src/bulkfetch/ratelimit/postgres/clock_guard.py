"""Whether the database's clock has been set forward, by what passed on our own. Values only."""

from __future__ import annotations

import math

# How far ahead the database's clock may run unnoticed, in seconds: half of the window's margin.
TOLERATED_S = 0.5
# How much faster one clock may go than the other, as a part: more than NTP ever slews.
DRIFT = 0.001


class ClockGuard:
    """Keeps the most that the database's clock can be ahead of ours.

    A reply that was asked for at `asked` and here at `received` read its clock in between. So its
    clock is ahead by at least `now - received` and by at most `now - asked`.
    """

    def __init__(self) -> None:
        self._at_most = math.inf
        self._since = -math.inf

    def step_s(self, now: float, asked: float, received: float) -> float:
        """Note a reply; return by how much the clock was set forward before it, else 0.

        After a step the new time counts.
        """
        known = self._at_most
        if known < math.inf:
            known += DRIFT * max(0.0, received - self._since)
        step = (now - received) - known
        stepped = step > TOLERATED_S
        self._at_most = now - asked if stepped else min(known, now - asked)
        self._since = received
        return step if stepped else 0.0

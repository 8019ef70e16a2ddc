"""What calls may cost besides the window: credits of a rolling day, and creates per minute.

Every call that is let in costs its price, whatever becomes of it. Time is passed in.
"""

from __future__ import annotations

from collections import deque

from bulkfetch.sandbox.options import SandboxOptions

DAY_S = 86_400.0
MINUTE_S = 60.0
HEADER = "X-API-CREDITS-REMAINING"
_PRICES = {"create": 50, "deleted": 2, "token": 0}


def price(kind: str) -> int:
    """Return what a call costs in credits."""
    return _PRICES.get(kind, 1)


class CallBudget:
    """The budgets of one account. `spent` is all that it has ever cost."""

    def __init__(self, options: SandboxOptions) -> None:
        self._options = options
        self._costs: deque[tuple[float, int]] = deque()
        self._creates: deque[float] = deque()
        self.spent = 0

    def admit(self, kind: str, now: float) -> float | None:
        """Let a call in and charge it; return None, else after how many seconds to try again."""
        cost, left = price(kind), self.remaining(now)
        if left is not None and left < cost:
            return self._costs[0][0] + DAY_S - now if self._costs else DAY_S
        limit = self._options.creates_per_minute
        if kind == "create" and limit is not None:
            while self._creates and now - self._creates[0] >= MINUTE_S:
                self._creates.popleft()
            if len(self._creates) >= limit:
                return self._creates[0] + MINUTE_S - now
            self._creates.append(now)
        self._costs.append((now, cost))
        self.spent += cost
        return None

    def remaining(self, now: float) -> int | None:
        """Return how many credits are left of the day's; None where they are not counted."""
        total = self._options.credits_per_day
        if total is None:
            return None
        while self._costs and now - self._costs[0][0] >= DAY_S:
            self._costs.popleft()
        return total - sum(cost for _, cost in self._costs)

    def told(self, now: float) -> tuple[tuple[str, str], ...]:
        """Return the header that tells what is left: none before half of the day's are used."""
        left, total = self.remaining(now), self._options.credits_per_day
        if left is None or total is None or left * 2 > total:
            return ()
        return ((HEADER, str(left)),)

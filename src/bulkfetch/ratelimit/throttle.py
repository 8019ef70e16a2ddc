"""What a 429 teaches about an account. Values in, values out: no clock, no I/O.

**Close.** Nothing leaves for Retry-After + margin, else for a period + margin. Then one probe goes
alone; only its answer lets the others follow, since a server may prolong its lock-out for each.

**Learn**, once everything in flight has come in. Either somebody else uses the account: as many
slots are used as the server took of ours, at least half. Or the org's edition bears fewer requests
at once (5 to 25): fewer are in flight than when the refused one left. A 429 does not tell: both.

**Return.** After some quiet refills one slot more is used, then two, four…, each step on trial for
two refills; the cap in flight is lifted last. A foreign user lets no slot come back, a cap lets all
of them: a 429 just after the cap was lifted means the cap, and costs no slot. A 429 on trial
doubles the patience before the next, since each one also locks the other user out.
"""

from __future__ import annotations

import json
import math
from typing import NamedTuple

from bulkfetch.ratelimit.interfaces import End, RateLimit

# The longest Retry-After that is believed, in seconds: a probe an hour costs nobody anything.
LONGEST_CLOSE_S = 3600.0
# Quiet refills before the first trial and at most, and those of a trial. As simulated beside a user
# who takes 3 a minute: 2 costs 5 % in half an hour, 5 costs 8 % and returns minutes later.
PATIENCE, LONGEST_PATIENCE, TRIAL = 2, 32, 2
NO_PROBE, PROBE_DUE, PROBE_OUT = range(3)


class Throttle(NamedTuple):
    """The whole memory of an account's 429s. Times are in seconds of one clock.

    `probe` says whether one must go alone, or is on its way until `probe_until`. While a lesson is
    pending, `crowd` is the fewest in flight when a refused one left (else 0), and `taken` counts
    what the server took. `step` slots, or the `lifted` cap, are on trial since `changed_at`.
    """

    capacity: int
    closed_until: float = -math.inf
    probe: int = NO_PROBE
    probe_until: float = -math.inf
    in_flight_cap: int | None = None
    taken: int = 0
    crowd: int = 0
    changed_at: float = -math.inf
    patience: int = PATIENCE
    step: int = 0
    lifted: int | None = None

    @classmethod
    def from_json(cls, text: str | None, requests: int) -> Throttle:
        """Return what `to_json` wrote; None, or a part that is missing, means nothing.

        Raises ValueError for what is none.
        """
        try:
            known = json.loads(text) if text else {}
            known.pop("refused_at", None)  # of an earlier version
            return cls(requests)._replace(**known)
        except (AttributeError, TypeError) as error:
            raise ValueError("no throttle") from error

    def to_json(self, requests: int) -> str | None:
        """Return what differs from knowing nothing, so that each client fills in its own limit.

        None where nothing differs.
        """
        blank = Throttle(requests)._asdict()
        known = {name: value for name, value in self._asdict().items() if value != blank[name]}
        return json.dumps(known) if known else None

    def wait_s(self, now: float, in_flight: int) -> float:
        """Return how long a request is barred: 0 not at all, inf until something is settled."""
        if now < self.closed_until:
            return self.closed_until - now
        probed = self.probe == PROBE_OUT and now < self.probe_until
        full = self.in_flight_cap is not None and in_flight >= self.in_flight_cap
        return math.inf if probed or full else 0.0

    def granted(self, now: float, lease_s: float) -> tuple[Throttle, bool]:
        """Let one leave; say whether it is the probe, whose process may be dead after `lease_s`."""
        if self.probe == NO_PROBE:
            return self, False
        return self.lesson(now)._replace(probe=PROBE_OUT, probe_until=now + lease_s), True

    def settled(
        self, limit: RateLimit, end: End, now: float, *,
        probe: bool, in_flight: int, taken: int = 0, retry_after_s: float | None = None,
    ) -> Throttle:  # fmt: skip
        """Learn how a request ended that left with `in_flight` out, itself included.

        `taken` are those that the server took in the period before a 429.
        """
        if end == "rejected":
            wait_s = limit.period_s
            if retry_after_s is not None and not math.isnan(retry_after_s):
                wait_s = min(max(retry_after_s, 0.0), LONGEST_CLOSE_S)
            until = max(self.closed_until, now + wait_s + limit.margin_s)
            if probe:  # it shows that the account is still closed, and nothing else
                taken, in_flight = self.taken, self.crowd
            elif self.crowd:
                taken, in_flight = self.taken, min(self.crowd, in_flight)
            return self._replace(closed_until=until, probe=PROBE_DUE, taken=taken, crowd=in_flight)
        if probe and self.probe == PROBE_OUT:
            return self._replace(probe=NO_PROBE if end == "answered" else PROBE_DUE)
        counts = end == "answered" and self.crowd and not probe
        return self._replace(taken=self.taken + 1) if counts else self

    def lesson(self, now: float) -> Throttle:
        """Draw the lesson of a closing, if it is still to be drawn."""
        if not self.crowd:
            return self
        patience = min(2 * self.patience, LONGEST_PATIENCE) if self.on_trial else PATIENCE
        learned = Throttle(
            self.capacity, self.closed_until, self.probe, changed_at=now, patience=patience
        )
        if self.lifted is not None and self.crowd > self.lifted:
            return learned._replace(in_flight_cap=self.lifted)
        left = max(self.taken, math.ceil(self.capacity / 2))
        capacity = max(1, min(left, self.capacity - 1))
        return learned._replace(capacity=capacity, in_flight_cap=self.crowd - 1 or None)

    @property
    def on_trial(self) -> bool:
        """Whether more is used than the last lesson says, to see whether it still holds."""
        return self.step > 0 or self.lifted is not None

    def restrained(self, limit: RateLimit) -> bool:
        """Return whether less than everything is used, or a return to it is still on trial."""
        return self.in_flight_cap is not None or self.capacity < limit.requests or self.on_trial

    def aged(self, limit: RateLimit, now: float) -> Throttle:
        """Let time pass: use more again when it has been quiet for long enough."""
        aged = self
        while aged.restrained(limit) and not aged.crowd and aged.probe == NO_PROBE:
            due = aged.changed_at + (TRIAL if aged.on_trial else aged.patience) * limit.refill_s
            if now < due:
                break
            if aged.capacity < limit.requests:
                step = max(1, 2 * aged.step)
                more = min(limit.requests, aged.capacity + step)
                aged = aged._replace(capacity=more, step=step, changed_at=due)
            elif (cap := aged.in_flight_cap) is not None:
                aged = aged._replace(in_flight_cap=None, lifted=cap, step=0, changed_at=due)
            else:
                aged = Throttle(limit.requests, closed_until=aged.closed_until)
        return aged

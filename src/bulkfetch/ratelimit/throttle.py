"""What a 429 teaches about an account. Values in, values out: no clock, no I/O.

**Close.** Nothing leaves for Retry-After + margin, else for a period + margin. Then one probe goes
alone; only its answer lets the others follow, since a server may prolong its lock-out for each.

**Learn**, once everything in flight has come in. Our own count keeps the limit, so either somebody
else uses the account: as many slots are used from now on as the server took of ours, at least half.
Or the org's edition bears fewer requests at once (5 to 25): fewer are in flight than when the
refused one left. One 429 does not tell which, so both are done.

**Return.** After some quiet refills one slot more is used, then two, four…, each step on trial for
two refills; the cap on requests in flight is lifted last. A foreign user lets no slot come back, a
cap lets all of them: a 429 just after the cap was lifted means the cap, and costs no slot. A 429 on
trial doubles the patience before the next, since each one also locks the other user out.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from bulkfetch.ratelimit.interfaces import RateLimit

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


def wait_s(throttle: Throttle, now: float, in_flight: int) -> float:
    """Return how long a request is barred: 0 not at all, inf until something is settled."""
    if now < throttle.closed_until:
        return throttle.closed_until - now
    if throttle.probe == PROBE_OUT and now < throttle.probe_until:
        return math.inf
    cap = throttle.in_flight_cap
    return math.inf if cap is not None and in_flight >= cap else 0.0


def granted(throttle: Throttle, now: float, lease_s: float) -> tuple[Throttle, bool]:
    """Let one leave; return whether it is the probe, whose process may be dead after `lease_s`."""
    if throttle.probe == NO_PROBE:
        return throttle, False
    learned = _apply_rejection(throttle, now)
    return learned._replace(probe=PROBE_OUT, probe_until=now + lease_s), True


def answered(throttle: Throttle, probe: bool) -> Throttle:
    """Learn from an answer that is not a 429."""
    if probe:
        return throttle._replace(probe=NO_PROBE) if throttle.probe == PROBE_OUT else throttle
    return throttle._replace(taken=throttle.taken + 1) if throttle.crowd else throttle


def probe_failed(throttle: Throttle) -> Throttle:
    """Make the next request the probe, since this one came to nothing."""
    return throttle._replace(probe=PROBE_DUE) if throttle.probe == PROBE_OUT else throttle


def rejected(
    throttle: Throttle, limit: RateLimit, now: float, *,
    retry_after_s: float | None, taken: int, in_flight: int, probe: bool,
) -> Throttle:  # fmt: skip
    """Learn from a 429: `taken` requests in the period before, `in_flight` as the refused one left.

    A refused probe shows that the account is still closed, and nothing else.
    """
    wait = limit.period_s
    if retry_after_s is not None and not math.isnan(retry_after_s):
        wait = min(max(retry_after_s, 0.0), LONGEST_CLOSE_S)
    until = max(throttle.closed_until, now + wait + limit.margin_s)
    if not probe:
        taken, crowd = (throttle.taken, throttle.crowd) if throttle.crowd else (taken, in_flight)
        throttle = throttle._replace(taken=taken, crowd=min(crowd, in_flight))
    return throttle._replace(closed_until=until, probe=PROBE_DUE)


def _apply_rejection(throttle: Throttle, now: float) -> Throttle:
    """Draw the lesson of a closing, if it is still to be drawn."""
    if not throttle.crowd:
        return throttle
    patience = min(2 * throttle.patience, LONGEST_PATIENCE) if _on_trial(throttle) else PATIENCE
    learned = Throttle(
        throttle.capacity, throttle.closed_until, throttle.probe, changed_at=now, patience=patience
    )
    if throttle.lifted is not None and throttle.crowd > throttle.lifted:
        return learned._replace(in_flight_cap=throttle.lifted)
    left = max(throttle.taken, math.ceil(throttle.capacity / 2))
    capacity = max(1, min(left, throttle.capacity - 1))
    return learned._replace(capacity=capacity, in_flight_cap=throttle.crowd - 1 or None)


def restrained(throttle: Throttle, limit: RateLimit) -> bool:
    """Return whether less than everything is used, or a return to it is still on trial."""
    bounded = throttle.in_flight_cap is not None or throttle.capacity < limit.requests
    return bounded or _on_trial(throttle)


def aged(throttle: Throttle, limit: RateLimit, now: float) -> Throttle:
    """Let time pass: use more again when it has been quiet for long enough."""
    while restrained(throttle, limit) and not throttle.crowd and throttle.probe == NO_PROBE:
        quiet = TRIAL if _on_trial(throttle) else throttle.patience
        due = throttle.changed_at + quiet * limit.refill_s
        if now < due:
            break
        full, cap, step = limit.requests, throttle.in_flight_cap, max(1, 2 * throttle.step)
        if throttle.capacity < full:
            more = min(full, throttle.capacity + step)
            throttle = throttle._replace(capacity=more, step=step, changed_at=due)
        elif cap is not None:
            throttle = throttle._replace(in_flight_cap=None, lifted=cap, step=0, changed_at=due)
        else:
            throttle = Throttle(full, closed_until=throttle.closed_until)
    return throttle


def _on_trial(throttle: Throttle) -> bool:
    return throttle.step > 0 or throttle.lifted is not None

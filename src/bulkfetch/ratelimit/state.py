"""The state of a limiter as progress shows it. Values in, values out."""

from __future__ import annotations

import math

from bulkfetch.ratelimit.interfaces import WindowState
from bulkfetch.ratelimit.throttle import Throttle, wait_s


def window_state(
    throttle: Throttle,
    now: float,
    *,
    closed_s: float,
    capacity: int,
    requests: int,
    used: int,
    in_flight: int,
    waiting: int,
    refill_in_s: float,
) -> WindowState:
    """Return the state where `used` of `capacity` slots cannot be taken.

    `refill_in_s` is the time to the next refill, inf where that depends on an answer.
    """
    barred_s = max(closed_s, wait_s(throttle, now, in_flight))
    free = max(0, capacity - used)
    next_s = barred_s if free else max(barred_s, refill_in_s)
    return WindowState(
        free=0 if barred_s else free,
        in_flight=in_flight,
        waiting=waiting,
        next_free_s=None if next_s == math.inf else next_s,
        closed_s=closed_s,
        capacity=capacity,
        requests=requests,
        in_flight_cap=throttle.in_flight_cap,
    )

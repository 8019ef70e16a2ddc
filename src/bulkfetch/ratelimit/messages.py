"""What is told of a limiter: its state, what 429s have taught, what became of the file. Pure."""

from __future__ import annotations

import math

from bulkfetch.ratelimit.interfaces import RateLimit, WindowEvent, WindowState
from bulkfetch.ratelimit.throttle import PROBE_DUE, PROBE_OUT, Throttle


def alone(why: str, for_s: float) -> WindowEvent:
    """Return the news that the machine's limiter cannot be used."""
    wait = f", after waiting {for_s:.0f} s" if for_s else ""
    text = (
        f"the machine's window cannot be used ({why}); this process keeps the limit for itself"
        f"{wait}: start no other run for this account"
    )
    return WindowEvent("fallback", text, for_s=for_s)


def renewed(why: str, for_s: float) -> WindowEvent:
    """Return the news that the machine's limiter had to begin anew."""
    text = (
        f"the machine's window was lost ({why}); a new one takes its place, nothing is sent for "
        f"{for_s:.0f} s, since earlier requests are not known"
    )
    return WindowEvent("fallback", text, for_s=for_s)


def away(host: str, why: str, for_s: float) -> WindowEvent:
    """Return the news that the window's database cannot be reached, for `for_s` by now."""
    text = (
        f"the window's database {host} cannot be used for {for_s:.0f} s now ({why}): no request "
        "leaves before it is back, since other hosts may use the account meanwhile"
    )
    return WindowEvent("held", text, for_s=for_s)


def throttle_news(
    before: Throttle, after: Throttle, limit: RateLimit, now: float
) -> list[WindowEvent]:
    """Return what a change tells: each closing, and once that the account is shared."""
    events = []
    first = not before.crowd and after.crowd
    probe_refused = before.probe == PROBE_OUT and after.probe == PROBE_DUE
    if first or (probe_refused and after.closed_until > before.closed_until):
        for_s = after.closed_until - now
        text = f"the server refuses more requests; waiting {for_s:.0f} s"
        events.append(WindowEvent("closed", text, for_s=for_s))
    if before.crowd and not after.crowd:
        cap = after.in_flight_cap
        if after.capacity == before.capacity and before.lifted is not None:
            text = f"the account accepts only {cap} concurrent requests; lower concurrency to {cap}"
            events.append(WindowEvent("crowded", text, capacity=after.capacity, in_flight_cap=cap))
        elif not before.restrained(limit) and after.restrained(limit):
            text = (
                "another program uses this account too, or it accepts fewer concurrent requests: "
                f"using {after.capacity} of {limit.requests} slots for a while"
            )
            events.append(WindowEvent("shared", text, capacity=after.capacity, in_flight_cap=cap))
    if before.restrained(limit) and not after.restrained(limit):
        text = "the account accepts all requests again: using all slots"
        events.append(WindowEvent("restored", text, capacity=after.capacity))
    return events


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
    barred_s = max(closed_s, throttle.wait_s(now, in_flight))
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

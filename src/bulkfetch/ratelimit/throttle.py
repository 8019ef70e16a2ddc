"""What a 429 teaches: how long to stay closed, who goes first after, how many slots to use.

Values in, values out: no clock, no I/O. `Throttle` is the whole memory. The process window keeps it
in a variable, the machine window in a row that all processes read and write.

**Closing.** A 429 closes the account for Retry-After + margin, or a period + margin. Then one probe
goes alone; only its answer lets the others follow. Whether a server prolongs its lock-out for
each request in it is not known, and a probe costs one.

**Less.** A 429 although our own count keeps the promise has another cause: somebody else uses the
account, or too many requests run at once. How many of ours the server took in the period before
it refused is what was left for us: that many slots are used from then on, at least half of those
before (a lock-out that somebody else caused shows us a count of 0, which says little). Also no
more may be in flight at once than went well, which costs little.

**More.** After some quiet periods one slot is added, then two, four…, each step judged for two
refills, in which every slot is used at least once. A 429 on trial doubles the patience before the
next, since each one also locks the other user out. Slots grow back under the in-flight cap, which
is lifted last: a foreign user lets no slot come back, a cap on concurrency lets all of them. A 429
at that last step is therefore told apart as a cap on concurrency, and costs no slot.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from bulkfetch.ratelimit.interfaces import RateLimit, WindowEvent

# The longest a Retry-After is believed, in seconds: longer ones are faults or attacks, and a probe
# an hour costs nobody anything.
LONGEST_CLOSE_S = 3600.0
# Quiet refills before the first trial, and at most: two minutes, and about half an hour. Simulated
# beside a user who takes 3 a minute, 2 is 5 % above the floor in half an hour and 5 is 8 %, with
# as many 429s; and when that user has gone, 2 is back at all slots seven minutes earlier.
PATIENCE = 2
LONGEST_PATIENCE = 32
# Refills in which a larger share must stay unrefused: in one every slot is used, in two every
# rolling period of such use has been seen whole.
TRIAL_REFILLS = 2

# Throttle.probe
NO_PROBE, PROBE_DUE, PROBE_OUT = range(3)


class Throttle(NamedTuple):
    """An account as its 429s have shown it. Times are the book's clock, in seconds.

    `capacity` slots are in use. `closed_until` bars everybody, `probe` says whether one must go
    alone (PROBE_DUE), or is on its way until `probe_until` at the latest. `in_flight_cap` bounds
    the requests in flight, None leaves them alone.

    `refused_at` is the first 429 whose lesson is not drawn yet, None without one; `taken` counts
    what the server took of ours in the period before and of what was in flight, `crowd` the fewest
    requests in flight when a refused one left. `changed_at` is the last change of capacity or cap,
    `patience` the quiet refills before a trial, `step` the slots added by the trial under way,
    0 without one, `lifted` the cap that the trial has lifted.
    """

    capacity: int
    closed_until: float = -math.inf
    probe: int = NO_PROBE
    probe_until: float = -math.inf
    in_flight_cap: int | None = None
    refused_at: float | None = None
    taken: int = 0
    crowd: int = 1
    changed_at: float = -math.inf
    patience: int = PATIENCE
    step: int = 0
    lifted: int | None = None


def wait_s(share: Throttle, now: float, in_flight: int) -> float:
    """Say how long the account's past bars a request: 0 not at all, inf until something is settled.

    `in_flight` counts the account's unsettled permits.
    """
    if now < share.closed_until:
        return share.closed_until - now
    if share.probe == PROBE_OUT and now < share.probe_until:
        return math.inf
    if share.in_flight_cap is not None and in_flight >= share.in_flight_cap:
        return math.inf
    return 0.0


def granted(share: Throttle, now: float, lease_s: float) -> tuple[Throttle, bool]:
    """Let one go, and say whether it is the probe, whose holder may be silent for `lease_s`."""
    if share.probe == NO_PROBE:
        return share, False
    return _apply_rejection(share, now)._replace(probe=PROBE_OUT, probe_until=now + lease_s), True


def answered(share: Throttle, probe: bool) -> Throttle:
    """Take in an answer that is not a 429."""
    if probe and share.probe == PROBE_OUT:
        return share._replace(probe=NO_PROBE)
    if share.refused_at is not None and not probe:
        return share._replace(taken=share.taken + 1)
    return share


def probe_failed(share: Throttle) -> Throttle:
    """Take in that the probe came to nothing: the next one to go is the probe."""
    return share._replace(probe=PROBE_DUE) if share.probe == PROBE_OUT else share


def rejected(
    share: Throttle,
    settings: RateLimit,
    now: float,
    *,
    retry_after_s: float | None,
    taken: int,
    in_flight: int,
    probe: bool,
) -> Throttle:
    """Take in a 429.

    `taken` counts what the server took of ours in the period up to now, `in_flight` the permits
    out when the refused request left, itself included. A refused probe shows that the account is
    still closed, and nothing about throttles.
    """
    wait = settings.period_s
    if retry_after_s is not None and not math.isnan(retry_after_s):
        wait = min(max(retry_after_s, 0.0), LONGEST_CLOSE_S)
    until = max(share.closed_until, now + wait + settings.margin_s)
    share = share._replace(closed_until=until, probe=PROBE_DUE)
    if probe:
        return share
    if share.refused_at is None:
        return share._replace(refused_at=now, taken=taken, crowd=in_flight)
    return share._replace(crowd=min(share.crowd, in_flight))


def _apply_rejection(share: Throttle, now: float) -> Throttle:
    """Draw the lesson of a closing, once everything that was in flight has come in."""
    if share.refused_at is None:
        return share
    patience = min(share.patience * 2, LONGEST_PATIENCE) if _on_trial(share) else PATIENCE
    cap = share.crowd - 1 if share.crowd > 1 else None
    learned = share._replace(
        refused_at=None, taken=0, crowd=1, changed_at=now, patience=patience, step=0,
        lifted=None,
    )  # fmt: skip
    if share.lifted is not None and cap is not None and share.crowd > share.lifted:
        return learned._replace(in_flight_cap=share.lifted)
    left = max(share.taken, math.ceil(share.capacity / 2))
    return learned._replace(capacity=max(1, min(left, share.capacity - 1)), in_flight_cap=cap)


def restrained(share: Throttle, settings: RateLimit) -> bool:
    """Say whether less than everything is used, or a return to it is still on trial."""
    bounded = share.in_flight_cap is not None or share.lifted is not None
    return bounded or share.capacity < settings.requests or share.step > 0


def aged(share: Throttle, settings: RateLimit, now: float) -> Throttle:
    """Let time pass: use more again when it has been quiet for long enough."""
    if share.refused_at is not None or share.probe != NO_PROBE:
        return share
    while restrained(share, settings):
        quiet = TRIAL_REFILLS if _on_trial(share) else share.patience
        due = share.changed_at + quiet * settings.refill_s
        if now < due:
            break
        share = _grown(share, settings.requests, due)
    return share


def _grown(share: Throttle, full: int, at: float) -> Throttle:
    if share.capacity < full:
        step = max(1, share.step * 2)
        capacity = min(full, share.capacity + step)
        return share._replace(capacity=capacity, step=step, changed_at=at)
    if share.in_flight_cap is not None:
        cap = share.in_flight_cap
        return share._replace(lifted=cap, in_flight_cap=None, step=0, changed_at=at)
    return Throttle(full, closed_until=share.closed_until)


def _on_trial(share: Throttle) -> bool:
    return share.step > 0 or share.lifted is not None


def news(before: Throttle, after: Throttle, settings: RateLimit, now: float) -> list[WindowEvent]:
    """Say what of a change is worth telling: each closing, and once that the account is shared."""
    events = []
    first = before.refused_at is None and after.refused_at is not None
    probe_refused = before.probe == PROBE_OUT and after.probe == PROBE_DUE
    if first or (probe_refused and after.closed_until > before.closed_until):
        for_s = after.closed_until - now
        text = f"the server refuses more requests; waiting {for_s:.0f} s"
        events.append(WindowEvent("closed", text, for_s=for_s))
    if before.refused_at is not None and after.refused_at is None:
        cap = after.in_flight_cap
        if after.capacity == before.capacity and before.lifted is not None:
            text = f"the account bears only {cap} requests at once; lower concurrency to {cap}"
            events.append(WindowEvent("crowded", text, capacity=after.capacity, in_flight_cap=cap))
        elif not restrained(before, settings) and restrained(after, settings):
            text = (
                "the account's limit is used by somebody else too, or it bears fewer requests at "
                f"once: using {after.capacity} of {settings.requests} slots for a while"
            )
            events.append(WindowEvent("shared", text, capacity=after.capacity, in_flight_cap=cap))
    if restrained(before, settings) and not restrained(after, settings):
        text = "the account bears everything again: all slots are used"
        events.append(WindowEvent("restored", text, capacity=after.capacity))
    return events

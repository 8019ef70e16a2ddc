"""The window: at most ten result requests reach the server in any rolling minute.

**The promise.** For one account, the server counts no more than `requests` arrivals in any
`period_s`, whatever the network does to each of them, and within that every request leaves as
early as such a promise allows.

**The rule.** There are `requests` slots. A request takes a free one; a slot is free again
W = period_s + margin_s after its request's *answer* was seen, not after the request was sent.
Where no answer came, the end of the attempt + grace_s stands for the answer.

**The proof.** Watch one slot. It serves one request after another. Let a request take the slot at
s, be counted by the server at a, and be answered at r. The server cannot count before we send nor
answer before it counts: s ≤ a ≤ r. The slot's next request takes it at s' ≥ r + W and is counted at
a' ≥ s'. So a' − a ≥ s' − r ≥ W: whatever the delays of the two were, they only widen the gap. In
any stretch of time shorter than W a slot thus puts at most one arrival, and all of them together
put at most `requests`. Nothing was assumed about order, alignment or fairness of the network. For
an attempt of unknown end the proof needs a ≤ end + grace_s, which is what grace_s is for: the time
that packets may be under way. Our own kernel sends none of them once more after the end. A
request that was provably not sent has no a, and its slot was never used. An answer that had to be
read before it could be told from a refusal is settled a little after r, as of r: until then its
slot is out, so nothing is given out earlier.

**No rule is earlier.** A slot given out at s' < r + W could be the eleventh: all we know of its
last request is that it was counted by r, and it may have been counted just then. And with answers
that come at once the n-th request leaves at ⌊(n−1)/requests⌋ · W, the earliest that any schedule
may which keeps W between a request and the `requests`-th after it. The price of certainty is one
round trip a minute.

**The margin** is for servers that stamp whole seconds and count both ends, and for clocks that
slew. Stamping when sending, the usual way, was seen to let 17 to 20 through in a minute; the leaky
bucket AsyncLimiter(10, 60) lets 19 through by design.

**Two limiters in series.** The process's own slots, aiolimiter buckets, are in front of every
request; all clients of the process share them. Behind them stands the limiter that all processes of
the machine share. Should it fail, the process's own is closed for a refill and the grace, after
which nothing that others have sent counts any more, and goes on.

The rooms: `interfaces` the types, `limiter` the two in series and the permits, `slots` those of
the process. What one client may take of a shared account is decided in `grants`, over the rows that
`account_rows` describes, with `throttle` for what a 429 teaches and `fair_share` between processes
(all pure). `shared` is the machine's limiter (SQLite: `state_file` the file, `filesystem` where it
can be, `rows` what is in it, `patience` waiting for it, `glance` a look at it), `postgres/` that of
several hosts. `messages` are what is told (pure).

What must not live here: HTTP (a permit is told how its request ended; it never looks), retries and
backoff (whoever waits to try again holds no slot), tokens and secrets, wall-clock time, and any way
to send that takes no permit.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from bulkfetch.clock import boot_id, boottime
from bulkfetch.ratelimit.interfaces import (
    OnEvent,
    RateLimit,
    SharedLimiter,
    Unusable,
    WindowEvent,
    WindowState,
    ignore,
)
from bulkfetch.ratelimit.limiter import Permit, SlotLimiter
from bulkfetch.ratelimit.messages import alone
from bulkfetch.ratelimit.shared import MachineLimiter
from bulkfetch.ratelimit.slots import Process, this_process
from bulkfetch.state_dir import state_dir as default_state_dir

__all__ = [
    "MachineLimiter",
    "OnEvent",
    "Permit",
    "RateLimit",
    "SharedLimiter",
    "SlotLimiter",
    "Unusable",
    "WindowEvent",
    "WindowState",
    "open_limiter",
    "this_process",
]


async def open_limiter(
    limit: RateLimit,
    account_key: str,
    state_dir: Path | None,
    *,
    on_event: OnEvent = ignore,
    clock: Callable[[], float] = boottime,
    boot: Callable[[], str] = boot_id,
    process: Process | None = None,
) -> SlotLimiter:
    """Open the process's limiter, with the machine's behind it where that one can be had.

    `account_key` is an opaque name of the account that holds no secret. `state_dir` is the user's
    state directory, made if missing; None where there is none. A process on its own is closed for a
    period at first, since others may have run just before; the `fallback` event says so and why.
    For a server that no other client asks, make a SlotLimiter. If cancelled: nothing is left open.
    """
    slots = (process or this_process(clock)).slots(account_key)
    try:
        if state_dir is None:
            raise Unusable(_no_state_dir())
        shared = await MachineLimiter.open(
            limit, account_key, state_dir, on_event=on_event, clock=clock, boot=boot
        )
    except Unusable as why:
        limiter = SlotLimiter(limit, slots=slots, on_event=on_event)
        on_event(alone(str(why), limiter.close_once()))
        return limiter
    return SlotLimiter(limit, slots=slots, shared=shared, on_event=on_event)


def _no_state_dir() -> str:
    if default_state_dir(os.environ) is None:
        return "this user has no state directory; BULKFETCH_STATE_DIR can name one"
    return "the settings say no state directory is to be used"

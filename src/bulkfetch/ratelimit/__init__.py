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
an attempt of unknown end the proof needs a ≤ end + grace_s, which is what grace_s is for. A
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

**One window per account.** All clients of all processes of the machine share one file. Clients of
one process that cannot, or were told to use several, count one another's uses all the same.

The rooms: `interfaces` the words, `throttle` what a 429 teaches (pure), `turnstile` the line of
waiters, `limiter` a limiter that shares with no other (aiolimiter buckets), `shared` that of all
processes of the machine (SQLite: `database` the file, `rows` its statements, `stores` which file or
memory it is, `fair_share` between processes, `patience` and `holder` what is told of a file that
somebody holds), `ours` what all limiters of a process have used, `opening` where they come from.

What must not live here: HTTP (a permit is told how its request ended; it never looks), retries and
backoff (whoever waits to try again holds no slot), tokens and secrets, wall-clock time, and any way
to send that takes no permit.
"""

from bulkfetch.ratelimit.database import Unusable
from bulkfetch.ratelimit.interfaces import (
    OnEvent,
    Permit,
    RateLimit,
    RateLimiter,
    WindowEvent,
    WindowState,
)
from bulkfetch.ratelimit.limiter import SlotLimiter
from bulkfetch.ratelimit.opening import MachineLimiter, ProcessLimiter, open_limiter

__all__ = [
    "MachineLimiter",
    "OnEvent",
    "Permit",
    "ProcessLimiter",
    "RateLimit",
    "RateLimiter",
    "SlotLimiter",
    "Unusable",
    "WindowEvent",
    "WindowState",
    "open_limiter",
]

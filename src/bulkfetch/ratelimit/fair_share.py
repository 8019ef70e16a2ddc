"""Whose turn it is between the processes of a machine. Values in, values out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple


class Request(NamedTuple):
    """A request that fills a slot: `at` is its stamp, for an unsettled one the end of its lease."""

    at: float
    owner: int
    settled: int


class Waiter(NamedTuple):
    """Another process that waits, since when, and what it has promised."""

    owner: int
    since: float
    requests: int
    refill_s: float


def fair_share(
    owner: int, since: float, limit: int, uses: Sequence[Request], others: Sequence[Waiter]
) -> bool:
    """Say whether `owner`, waiting since `since`, may take one of the free slots now.

    A process uses no more than its part, rounded up, of the `limit` slots that it and the
    `others` share; and while somebody with room in his part has waited longer, one slot each is
    left for them. Rounding makes the parts unequal, waiting evens them out: who got less waits
    longer and comes first at the next refill.
    """
    if not others:
        return len(uses) < limit
    part = -(-limit // (len(others) + 1))
    used = Counter(use.owner for use in uses)
    longer = sum(other.since < since and used[other.owner] < part for other in others)
    return used[owner] < part and limit - len(uses) > longer

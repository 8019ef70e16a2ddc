"""Whose turn it is between the processes of a machine. Values in, values out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Request(NamedTuple):
    """A request of the client `owner`, which fills a slot until `at` + refill.

    `at` is when it was over, for one that is not `settled` the end of its lease. `taken`: the
    server did not refuse it.
    """

    at: float
    owner: int
    settled: bool
    taken: bool = False


class Waiter(NamedTuple):
    """Another process that waits, since when, and what it has promised."""

    owner: int
    since: float
    requests: int
    refill_s: float


def part_of(limit: int, others: Sequence[Waiter]) -> int:
    """Return how many of `limit` slots each of the waiting processes may use, rounded up."""
    return -(-limit // (len(others) + 1))


def fair_share(
    owner: int,
    since: float,
    limit: int,
    requests: Sequence[Request],
    others: Sequence[Waiter],
    served: Mapping[int, int],
) -> bool:
    """Return whether `owner`, waiting since `since`, may take one of the free slots now.

    A process uses no more than its part of the `limit` slots; and what others lack of theirs is
    left for those who come first. Rounding makes the parts unequal, so whoever was `served` less
    often in the last periods comes first, and among equals the one that has waited longer.
    """
    free = limit - len(requests)
    if not others:
        return free > 0
    part = part_of(limit, others)
    used = Counter(request.owner for request in requests)
    rank = (served.get(owner, 0), since)
    left = sum(
        max(0, part - used[other.owner])
        for other in others
        if (served.get(other.owner, 0), other.since) < rank
    )
    return used[owner] < part and free > left

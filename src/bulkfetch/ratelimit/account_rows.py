"""What a store knows of an account, and what can be written there; the same for every store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from bulkfetch.ratelimit.fair_share import Request, Waiter
from bulkfetch.ratelimit.throttle import Throttle


class Snapshot(NamedTuple):
    """How an account stands. Times are those of the store's clock, in seconds.

    `throttle` is what 429s have taught. `filled` counts the uses that still fill a slot by this
    client's settings, `out` those of them that are not settled. `since` is when this client began
    to wait, now where it does not; `others` are those that wait too. Nothing leaves before
    `closed_until`, which says that earlier uses are not known.
    """

    throttle: Throttle
    filled: int
    out: int
    since: float
    others: list[Waiter]
    closed_until: float


class AccountRows(Protocol):
    """The uses, waiters and throttle of one account, as one client reads and writes them.

    Nobody else changes them in the meantime: a caller holds what it takes for that.
    """

    owner: int  # the number of this client, which no other one has

    def settled(self, number: int, at: float, *, taken: bool) -> None:
        """Write when a request was over; anew if it is gone, its lease having ended."""
        ...

    def unused(self, number: int) -> None:
        """Take back a request that was not sent."""
        ...

    def renew(self, numbers: Iterable[int], until: float) -> None:
        """Write until when requests have a lease: new ones, and a later end of known ones."""
        ...

    def prune(self, now: float) -> None:
        """Forget what is long past; bring back what is further ahead than it can be."""
        ...

    def snapshot(self, now: float) -> Snapshot:
        """Return how the account stands."""
        ...

    def announce(self, since: float, until: float) -> None:
        """Write that this client waits, and is to be believed until then."""
        ...

    def withdraw(self) -> None:
        """Write that this client does not wait."""
        ...

    def requests(self, since: float) -> list[Request]:
        """Return the requests stamped later than `since`, the newest first."""
        ...

    def served(self, since: float) -> dict[int, int]:
        """Count the requests of each client since then, by its owner number."""
        ...

    def taken(self, since: float) -> int:
        """Count the requests that the server took since then."""
        ...

    def throttle(self) -> Throttle:
        """Return what 429s have taught."""
        ...

    def save(self, throttle: Throttle) -> None:
        """Write what 429s have taught."""
        ...

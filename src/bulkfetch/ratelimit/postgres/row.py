"""An account's row: all its uses, who waits, what 429s have taught. Values only.

It is read as a whole, changed by `ClientRow` as `grants` decides, and written as a whole; so it can
be tested without a database. All times are the database's, in seconds since 1970.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bulkfetch.ratelimit.account_rows import AccountRows, Snapshot
from bulkfetch.ratelimit.fair_share import Request, Waiter
from bulkfetch.ratelimit.grants import SERVED_REFILLS
from bulkfetch.ratelimit.interfaces import RateLimit
from bulkfetch.ratelimit.postgres.store import RowTable, as_arrays, from_arrays
from bulkfetch.ratelimit.throttle import Throttle

# The columns of a request, its number first.
_REQUEST = ("token", "stamp", "client", "settled", "taken")


class Waiting(NamedTuple):
    """A client that waits, since when, until when it is believed, and what it has promised."""

    since: float
    until: float
    requests: int
    refill_s: float


@dataclass(slots=True)
class WindowRow:
    """The row of one account. `hold_s` and `lease_s` are the longest that any client has named.

    `generation` is that of the fleet's newest turn, 0 where there was none; it is not written back.
    """

    uses: dict[int, Request] = field(default_factory=dict)
    waiting: dict[int, Waiting] = field(default_factory=dict)
    throttle: str | None = None
    closed_until: float = -math.inf
    hold_s: float = 0.0
    lease_s: float = 0.0
    generation: int = 0

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> WindowRow:
        """Return the row that these columns hold; others are not looked at."""
        waiting = json.loads(columns["waiting"])
        closed_until = columns["closed_until"]
        return cls(
            {token: Request(*use) for token, *use in from_arrays(columns, _REQUEST)},
            {int(client): Waiting(*of) for client, of in waiting.items()},
            columns["throttle"],
            -math.inf if closed_until is None else closed_until,
            columns["hold_s"],
            columns["lease_s"],
            columns.get("generation", 0),  # none in the tables of before
        )

    def columns(self) -> tuple[Any, ...]:
        """Return the values of the columns, in the order of WINDOW_TABLE."""
        return (
            *as_arrays([(token, *use) for token, use in self.uses.items()], len(_REQUEST)),
            json.dumps(self.waiting),
            self.throttle,
            None if self.closed_until == -math.inf else self.closed_until,
            self.hold_s,
            self.lease_s,
        )


WINDOW_TABLE = RowTable(
    "account_window",
    (*_REQUEST, "waiting", "throttle", "closed_until", "hold_s", "lease_s"),
    WindowRow.of,
    WindowRow.columns,
)


class ClientRow(AccountRows):
    """A row as one client reads and writes it."""

    def __init__(self, row: WindowRow, owner: int, limit: RateLimit) -> None:
        self._row = row
        self.owner = owner
        self._limit = limit
        row.lease_s = max(row.lease_s, limit.lease_s)
        row.hold_s = max(row.hold_s, limit.lease_s + limit.refill_s)

    @property
    def generation(self) -> int:
        """Return that of the fleet's newest turn of the account."""
        return self._row.generation

    def is_settled(self, number: int) -> bool:
        """Return whether the use of this number is known to be over."""
        use = self._row.uses.get(number)
        return use is not None and use.settled

    def settled(self, number: int, at: float, *, taken: bool) -> None:
        self._row.uses[number] = Request(at, self.owner, True, taken)

    def unused(self, number: int) -> None:
        self._row.uses.pop(number, None)

    def renew(self, numbers: Iterable[int], until: float) -> None:
        for number in numbers:
            if not self.is_settled(number):
                self._row.uses[number] = Request(until, self.owner, False, False)

    def prune(self, now: float) -> None:
        # A request that is over was so before now: a stamp ahead of that is from before the
        # database's clock went back.
        row = self._row
        keep_s = max(row.hold_s, SERVED_REFILLS * self._limit.refill_s)
        for number, use in list(row.uses.items()):
            latest = now + (self._limit.grace_s if use.settled else row.lease_s)
            if use.at > latest:
                row.uses[number] = use._replace(at=latest)
            elif use.at < now - keep_s:
                del row.uses[number]
        for owner, waiting in list(row.waiting.items()):
            if waiting.until < now or waiting.since > now:
                del row.waiting[owner]
        row.closed_until = min(row.closed_until, now + row.hold_s)

    def snapshot(self, now: float) -> Snapshot:
        row = self._row
        filling = self.requests(now - self._limit.refill_s)
        mine = row.waiting.get(self.owner)
        others = [
            Waiter(owner, one.since, one.requests, one.refill_s)
            for owner, one in row.waiting.items()
            if owner != self.owner and one.until >= now
        ]
        return Snapshot(
            self.throttle(),
            len(filling),
            sum(not use.settled and use.at > now for use in filling),
            mine.since if mine else now,
            others,
            row.closed_until,
        )

    def announce(self, since: float, until: float) -> None:
        limit = self._limit
        self._row.waiting[self.owner] = Waiting(since, until, limit.requests, limit.refill_s)

    def withdraw(self) -> None:
        self._row.waiting.pop(self.owner, None)

    def requests(self, since: float) -> list[Request]:
        return sorted((use for use in self._row.uses.values() if use.at > since), reverse=True)

    def served(self, since: float) -> dict[int, int]:
        return dict(Counter(use.owner for use in self._row.uses.values() if use.at > since))

    def taken(self, since: float) -> int:
        return sum(use.taken and use.at > since for use in self._row.uses.values())

    def throttle(self) -> Throttle:
        try:
            return Throttle.from_json(self._row.throttle, self._limit.requests)
        except ValueError:
            return Throttle(self._limit.requests)  # not ours: the uses hold all the same

    def save(self, throttle: Throttle) -> None:
        self._row.throttle = throttle.to_json(self._limit.requests)

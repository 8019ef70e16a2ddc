"""The usage of a budget that several hosts share: a row of PostgreSQL for each account.

A change has the row for itself, and the database's clock, read once the row was had, is that of
minutes and of days; the host's own measures ages only. So neither a host's clock nor a slow reply
makes a minute shorter: an answer counts from the time at which the row was had less its age, and a
place that is in a host's hands late is asked for anew.

**The database's clock** set forward makes calls look finished: each reply is compared with what
passed by the host's own clock, and at a step all accounts are closed for as long as any call may
count, a lease and a minute, before anything else is done; so after a fail-over, and where a row is
missing that was there. A host that connects for the first time after the step cannot see it: one
that was connected before must. Set back, what is stamped ahead of now counts from now. Days go by
it too: set forward by hours it gives back what was spent in the first of them, set back it takes
longer; no minute is crowded by either.

**The database is away**: calls wait, as results do, since other hosts may call meanwhile. What has
ended is written when it is back; what was under way in a host that died is over with its lease.

Imported only where several hosts share an account.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import anyio

from bulkfetch.clock import boottime
from bulkfetch.control.allowance import CountedCall, WaitingCall
from bulkfetch.control.ledger import Change, ControlLedger
from bulkfetch.control.usage import AccountUsage, ChangeTime
from bulkfetch.ratelimit.interfaces import OnEvent, ignore
from bulkfetch.ratelimit.postgres.store import (
    Moment,
    RowTable,
    WindowStore,
    as_arrays,
    from_arrays,
)

T = TypeVar("T")

# How long closing may take for what is still to be written; leases expire by themselves.
_LAST_WORDS_S = 1.0


class HostsLedger(ControlLedger):
    """The row of one account. Bound to the running loop.

    `account` is what all hosts call it. `clock` is that of the store, and must go on while the
    machine sleeps. `on_away` is told when the rows cannot be had for long.
    """

    def __init__(
        self,
        account: str,
        store: WindowStore,
        *,
        on_away: OnEvent = ignore,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._account, self._store, self._clock = account, store, clock
        self._loop = asyncio.get_running_loop()
        self._changes: set[asyncio.Task[Any]] = set()
        self._deafen: Callable[[], None] | None = store.listen(on_away)

    def clock(self) -> float:
        return self._clock()

    def submit(self, change: Change[T]) -> asyncio.Future[T]:
        def whole(usage: AccountUsage, moment: Moment) -> T:
            return change(usage, ChangeTime(moment.now, moment.now, moment.asked))

        task = self._loop.create_task(self._store.run(CONTROL_TABLE, self._account, whole))
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return task

    def close(self) -> None:
        """Give up what is not written yet."""
        if self._deafen is not None:
            self._deafen()
            self._deafen = None
        for task in self._changes:
            task.cancel()

    async def aclose(self) -> None:
        """Wait a moment for what was submitted, and end; the store stays open."""
        try:
            if self._changes:
                with anyio.move_on_after(_LAST_WORDS_S):
                    await asyncio.wait(self._changes)
        finally:
            self.close()


# The columns of a call, its number first; and those of a span of credits.
_CALL = ("number", "kind", "stamp", "client", "settled", "span")
_SPAN = ("span_start", "span_credits")


def _read(columns: Mapping[str, Any]) -> AccountUsage:
    """Return the usage that these columns hold; others are not looked at."""
    closed_until = columns["closed_until"]
    return AccountUsage(
        {number: CountedCall(*call) for number, *call in from_arrays(columns, _CALL)},
        {
            (client, kind): WaitingCall(since, until)
            for client, kind, since, until in json.loads(columns["waiting"])
        },
        dict(from_arrays(columns, _SPAN)),
        columns["paused_until"],
        columns["remaining"],
        columns["remaining_at"],
        0.0 if closed_until is None else closed_until,
        columns["hold_s"],
        columns["generation"] or 0,
    )


def _written(usage: AccountUsage) -> tuple[Any, ...]:
    """Return the values of the columns of CONTROL_TABLE."""
    return (
        *as_arrays([(number, *call) for number, call in usage.calls.items()], len(_CALL)),
        json.dumps([(*key, *waiting) for key, waiting in usage.waiting.items()]),
        *as_arrays(list(usage.spent.items()), len(_SPAN)),
        usage.paused_until,
        usage.remaining,
        usage.remaining_at,
        usage.closed_until,
        usage.hold_s,
    )


CONTROL_TABLE = RowTable(
    "account_control",
    (
        *_CALL, "waiting", *_SPAN, "paused_until", "remaining", "remaining_at", "closed_until",
        "hold_s",
    ),
    _read,
    _written,
    "(SELECT generation FROM bulkfetch.account_window AS newest"
    " WHERE newest.account = locked.account) AS generation",
)  # fmt: skip

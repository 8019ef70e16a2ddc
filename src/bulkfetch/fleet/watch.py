"""Looking at a submission: what became of its jobs, as it comes; and at jobs that failed.

Each outcome is written in a transaction whose number stands beside it, and numbers are given in
order. So what is new since a look is what has a number from the oldest transaction on that was
under way then: nothing is missed however late a transaction ends, and what is read twice is told
once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from typing import NamedTuple

import asyncpg

from bulkfetch.errors import ConfigError
from bulkfetch.fleet.codec import PENDING, REFUSED, failure_of, outcome_of
from bulkfetch.fleet.connections import Connections
from bulkfetch.models import Failure, Outcome

_PAGE = 2_000
# How soon to look again: at once where there was news, then more and more seldom.
_SOONEST_S, _LATEST_S = 0.2, 2.0

_OLDEST = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"
_SUBMISSION = """
    SELECT coalesce(max(item.position), -1) FROM bulkfetch.fleet_submission AS submission
    LEFT JOIN bulkfetch.fleet_item AS item ON item.submission = submission.id
    WHERE submission.id = $1 GROUP BY submission.id
"""
# The newer job that has got this one's name and is published under it, where there is one.
_NEWER = """
    (SELECT newer.id FROM bulkfetch.fleet_job AS newer
     WHERE NOT job.owns AND newer.account = job.account AND newer.claim = job.claim
        AND newer.owns AND newer.state = 1) AS superseded_by
"""
# A page is cut from one table, and its rows are looked up in the other one by one: whatever the
# planner thinks of tables that have just grown by a million rows, a page costs a page.
_ITEMS = f"""
    SELECT item.position, item.account, item.id, item.kind, item.refused, job.state, job.outcome,
        {_NEWER}
    FROM bulkfetch.fleet_item AS item LEFT JOIN LATERAL (
        SELECT * FROM bulkfetch.fleet_job AS job
        WHERE item.kind <> {REFUSED} AND job.account = item.account AND job.id = item.id LIMIT 1
    ) AS job ON true
    WHERE item.submission = $1 AND item.position > $2 AND item.position <= $2 + {_PAGE}
    ORDER BY item.position
"""
# Of what has ended in the whole fleet; `position` is NULL where the submission does not have it.
_ENDED = f"""
    WITH job AS MATERIALIZED (
        SELECT * FROM bulkfetch.fleet_job
        WHERE state <> {PENDING} AND (ended_in, key) > ($2::text::xid8, $3)
        ORDER BY ended_in, key LIMIT {_PAGE}
    )
    SELECT job.ended_in::text AS ended_in, job.key, item.position, item.kind, item.refused,
        job.account, job.id, job.state,
        CASE WHEN item.position IS NOT NULL THEN job.outcome END AS outcome, {_NEWER}
    FROM job LEFT JOIN LATERAL (
        SELECT * FROM bulkfetch.fleet_item AS item
        WHERE item.submission = $1 AND item.kind <> {REFUSED}
            AND item.account = job.account AND item.id = job.id LIMIT 1
    ) AS item ON true
    ORDER BY job.ended_in, job.key
"""
_HELD = """
    SELECT account, held FROM bulkfetch.fleet_account
    WHERE held IS NOT NULL AND account = ANY($1) ORDER BY account
"""
_FAILED = f"""
    SELECT job.key, job.account, job.id, job.state, job.outcome, NULL AS superseded_by
    FROM bulkfetch.fleet_job AS job
    WHERE job.state = 2 AND (job.account, job.key) > ($1, $2)
        AND ($3::text IS NULL OR job.account = $3)
    ORDER BY job.account, job.key LIMIT {_PAGE}
"""


class HeldAccount(NamedTuple):
    """An account for which nothing is asked until it is submitted anew, and why."""

    account: str
    failure: Failure


class Watch:
    """One submission as it is worked off. `held` is why what is left will not be, once it is known.

    `is_read` once every job of it was looked at.
    """

    def __init__(self, connections: Connections, submission: int) -> None:
        """Use `begin` first."""
        self._connections = connections
        self._submission = submission
        self._told = bytearray()  # a bit an item, by its position
        self._pending: Counter[str] = Counter()
        self.held: list[HeldAccount] = []
        self.is_read = False

    @property
    def left(self) -> int:
        """How many jobs have not ended, as far as was looked."""
        return self._pending.total()

    async def outcomes(self) -> AsyncGenerator[Outcome, None]:
        """Yield what became of each job, as it comes; end when nothing more can come.

        That is when all have ended, or what is left is of accounts that are held. Raises
        ConfigError where there is no such submission. If cancelled: nothing is lost, and another
        look begins anew.
        """
        last = await self._last_position()
        oldest = await self._oldest()
        async for row in self._items(last):
            if row["kind"] == REFUSED or row["state"] not in (None, PENDING):
                self._tell(row)
                yield outcome_of(row)
            elif row["state"] is not None:  # None: forgotten since
                self._pending[row["account"]] += 1
        self.is_read = True
        pause_s = _SOONEST_S
        held: list[HeldAccount] = []
        while self.left:
            since, oldest, found = oldest, await self._oldest(), False
            async for row in self._ended_since(since):
                if self._tell(row):
                    found = True
                    self._pending[row["account"]] -= 1
                    yield outcome_of(row)
            self._pending = +self._pending
            if found:
                pause_s, held = _SOONEST_S, []
            elif held:  # looked once more since
                self.held = held
                return
            else:
                held = await self._all_held()
            if self.left and not held:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LATEST_S)

    async def _last_position(self) -> int:
        number = self._submission
        last: int | None = await self._connections.read(
            lambda connection: connection.fetchval(_SUBMISSION, number)
        )
        if last is None:
            raise ConfigError(
                f"the fleet knows no submission {number}",
                hint="`bulkfetch fleet submit` prints the number; what has ended is known for "
                "submissions_keep_days.",
            )
        return last

    async def _oldest(self) -> str:
        oldest: str = await self._connections.read(lambda connection: connection.fetchval(_OLDEST))
        return oldest

    async def _items(self, last: int) -> AsyncIterator[asyncpg.Record]:
        for after in range(-1, last, _PAGE):
            for row in await self._page(_ITEMS, self._submission, after):
                yield row

    async def _ended_since(self, oldest: str) -> AsyncIterator[asyncpg.Record]:
        place: tuple[str, int] = oldest, 0
        while rows := await self._page(_ENDED, self._submission, *place):
            for row in rows:
                if row["position"] is not None:
                    yield row
            place = rows[-1]["ended_in"], rows[-1]["key"]

    async def _all_held(self) -> list[HeldAccount]:
        """Return why nothing more will come, nothing where it may."""
        rows = await self._page(_HELD, list(self._pending))
        if len(rows) < len(self._pending):
            return []
        return [HeldAccount(row["account"], _failure(row)) for row in rows]

    async def _page(self, statement: str, *values: object) -> list[asyncpg.Record]:
        return await _page(self._connections, statement, *values)

    def _tell(self, row: asyncpg.Record) -> bool:
        """Note that an item is told; return whether it was not yet."""
        place, bit = divmod(row["position"], 8)
        if place >= len(self._told):
            self._told.extend(bytes(max(place + 1 - len(self._told), len(self._told))))
        new = not self._told[place] & 1 << bit
        self._told[place] |= 1 << bit
        return new


async def failed_jobs(connections: Connections, account: str | None) -> AsyncIterator[Outcome]:
    """Yield the jobs that failed, of one account or of all, in the order of their submission."""
    place: tuple[str, int] = account or "", 0
    while rows := await _page(connections, _FAILED, *place, account):
        for row in rows:
            yield outcome_of(row)
        place = rows[-1]["account"], rows[-1]["key"]


async def _page(connections: Connections, statement: str, *values: object) -> list[asyncpg.Record]:
    return await connections.read(lambda connection: connection.fetch(statement, *values))


def _failure(row: asyncpg.Record) -> Failure:
    failure = failure_of(row["held"])
    assert failure is not None, "only rows of held accounts were asked for"
    return failure

"""What a submission asks for, as somebody looks at it: its jobs, and its exports.

Both are told in the same way: an item leads to the row of its job or of its export, which says what
became of it, and is written in a transaction whose number stands beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Generic, NamedTuple, TypeVar

import asyncpg

from bulkfetch.fleet.codec import PENDING, REFUSED, outcome_of
from bulkfetch.fleet.connections import Connections
from bulkfetch.fleet.export_codec import EndedExport, export_of
from bulkfetch.models import Outcome

T = TypeVar("T")

# The newer job that has got this one's name and is published under it, where there is one.
_JOB = """
    CASE WHEN item.position IS NOT NULL THEN row.outcome END AS outcome,
    (SELECT newer.id FROM bulkfetch.fleet_job AS newer
     WHERE NOT row.owns AND newer.account = row.account AND newer.claim = row.claim
        AND newer.owns AND newer.state = 1) AS superseded_by
"""
# With the pages of one that failed, which were not published.
_EXPORT = """
    CASE WHEN item.position IS NOT NULL THEN row.report END AS report,
    CASE WHEN item.position IS NOT NULL AND row.state = 2 THEN (
        SELECT json_agg(json_build_object(
            'job_id', coalesce(page.job_id, ''), 'page', page.number,
            'status', CASE page.state WHEN 'FAILED' THEN 'failed' ELSE 'pending' END,
            'zip_bytes', page.zip_bytes, 'records', page.records, 'attempts', page.requests,
            'error', CASE page.state WHEN 'FAILED' THEN page.error END
        ) ORDER BY page.chain, page.number)
        FROM bulkfetch.fleet_generation AS generation
        JOIN bulkfetch.fleet_page AS page ON page.generation = generation.key
        WHERE generation.export = row.key AND generation.state IN ('ACTIVE', 'PUBLISHING')
    ) END AS pages
"""


class Kind(NamedTuple, Generic[T]):
    """Statements about one kind of items, and what their rows tell.

    Each gives a page: from behind a position, or from behind a transaction and a key.
    """

    last: str
    known: str
    ended: str
    page: int
    told: Callable[[asyncpg.Record], T]


def _kind(
    items: str, rows: str, name: str, columns: str, page: int, told: Callable[[asyncpg.Record], T]
) -> Kind[T]:
    """Return a kind whose items and rows are in these tables, with the account under a name.

    A page is cut from one table, and its rows are looked up in the other one by one: whatever the
    planner thinks of tables that have just grown by a million rows, a page costs a page.
    """
    return Kind(
        f"SELECT coalesce(max(position), -1) FROM bulkfetch.{items} WHERE submission = $1",
        f"""
        SELECT item.position, item.account, item.{name}, item.kind, item.refused, row.state,
            {columns}
        FROM bulkfetch.{items} AS item LEFT JOIN LATERAL (
            SELECT * FROM bulkfetch.{rows} AS row
            WHERE item.kind <> {REFUSED} AND row.account = item.account AND row.{name} = item.{name}
            LIMIT 1
        ) AS row ON true
        WHERE item.submission = $1 AND item.position > $2 AND item.position <= $2 + {page}
        ORDER BY item.position
        """,
        # Of what has ended in the whole fleet; `position` is NULL where the submission does not
        # have it.
        f"""
        WITH row AS MATERIALIZED (
            SELECT * FROM bulkfetch.{rows}
            WHERE state <> {PENDING} AND (ended_in, key) > ($2::text::xid8, $3)
            ORDER BY ended_in, key LIMIT {page}
        )
        SELECT row.ended_in::text AS ended_in, row.key, item.position, item.kind, item.refused,
            row.account, row.{name}, row.state, {columns}
        FROM row LEFT JOIN LATERAL (
            SELECT * FROM bulkfetch.{items} AS item
            WHERE item.submission = $1 AND item.kind <> {REFUSED}
                AND item.account = row.account AND item.{name} = row.{name} LIMIT 1
        ) AS item ON true
        ORDER BY row.ended_in, row.key
        """,
        page,
        told,
    )


JOBS: Kind[Outcome] = _kind("fleet_item", "fleet_job", "id", _JOB, 2_000, outcome_of)
# Each has the outcomes of all its pages.
EXPORTS: Kind[EndedExport] = _kind(
    "fleet_export_item", "fleet_export", "name", _EXPORT, 200, export_of
)


class WatchedItems(Generic[T]):
    """The items of one kind of a submission. `pending` counts those that have not ended.

    By account, as far as was looked.
    """

    def __init__(self, connections: Connections, submission: int, kind: Kind[T]) -> None:
        self.pending: Counter[str] = Counter()
        self._connections = connections
        self._submission = submission
        self._kind = kind
        self._told = bytearray()  # a bit an item, by its position

    async def known(self) -> AsyncIterator[T]:
        """Yield what has ended already, in the order of the submission, and count the rest."""
        last: int = await self._connections.read(
            lambda connection: connection.fetchval(self._kind.last, self._submission)
        )
        for after in range(-1, last, self._kind.page):
            for row in await self._page(self._kind.known, after):
                if row["kind"] == REFUSED or row["state"] not in (None, PENDING):
                    self._tell(row)
                    yield self._kind.told(row)
                elif row["state"] is not None:  # None: forgotten since
                    self.pending[row["account"]] += 1

    async def ended_since(self, oldest: str) -> AsyncIterator[T]:
        """Yield what has ended from a transaction on, and was not yielded before."""
        place: tuple[str, int] = oldest, 0
        while self.pending and (rows := await self._page(self._kind.ended, *place)):
            for row in rows:
                if row["position"] is not None and self._tell(row):
                    self.pending[row["account"]] -= 1
                    yield self._kind.told(row)
            self.pending = +self.pending
            place = rows[-1]["ended_in"], rows[-1]["key"]

    async def _page(self, statement: str, *values: object) -> list[asyncpg.Record]:
        return await self._connections.fetch(statement, self._submission, *values)

    def _tell(self, row: asyncpg.Record) -> bool:
        """Note that an item is told; return whether it was not yet."""
        place, bit = divmod(row["position"], 8)
        if place >= len(self._told):
            self._told.extend(bytes(max(place + 1 - len(self._told), len(self._told))))
        new = not self._told[place] & 1 << bit
        self._told[place] |= 1 << bit
        return new

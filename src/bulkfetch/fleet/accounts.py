"""How the accounts of a fleet stand: a statement that counts every row, and what it gives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import asyncpg

from bulkfetch.fleet.codec import failure_of
from bulkfetch.models import Failure

# What is under way of an export is that of its one generation that is not over.
ACCOUNTS = """
    SELECT account, coalesce(jobs.done, 0) AS done, coalesce(jobs.failed, 0) AS failed,
        coalesce(jobs.pending, 0) AS pending, worker, turn_began_at, held,
        coalesce(crashes, 0) AS crashes, coalesce(exports.done, 0) AS exports_done,
        coalesce(exports.failed, 0) AS exports_failed,
        coalesce(exports.pending, 0) AS exports_pending,
        coalesce(exports.pages, 0)::bigint AS pages,
        coalesce(exports.credits, 0)::bigint AS credits, server
    FROM (
        SELECT account, count(*) FILTER (WHERE state = 1) AS done,
            count(*) FILTER (WHERE state = 2) AS failed,
            count(*) FILTER (WHERE state = 0) AS pending
        FROM bulkfetch.fleet_job GROUP BY account
    ) AS jobs FULL JOIN (
        SELECT export.account, count(*) FILTER (WHERE export.state = 1) AS done,
            count(*) FILTER (WHERE export.state = 2) AS failed,
            count(*) FILTER (WHERE export.state = 0) AS pending,
            sum(under_way.pages) AS pages, sum(under_way.credits) AS credits
        FROM bulkfetch.fleet_export AS export LEFT JOIN LATERAL (
            SELECT generation.spent AS credits, (
                SELECT count(*) FROM bulkfetch.fleet_page AS page
                WHERE page.generation = generation.key AND page.state = 'COUNTED'
            ) AS pages
            FROM bulkfetch.fleet_generation AS generation
            WHERE export.state = 0 AND generation.export = export.key
                AND generation.state IN ('ACTIVE', 'PUBLISHING')
        ) AS under_way ON true
        GROUP BY export.account
    ) AS exports USING (account) FULL JOIN bulkfetch.fleet_account USING (account)
    WHERE $1::text IS NULL OR account = $1
    ORDER BY account
"""


class AccountExports(NamedTuple):
    """How exports stand; of those that are pending, the pages that are home and credits spent."""

    done: int = 0
    failed: int = 0
    pending: int = 0
    pages: int = 0
    credits: int = 0

    @classmethod
    def sum_of(cls, exports: Iterable[AccountExports]) -> AccountExports:
        """Return those of several accounts together."""
        return cls(*map(sum, zip(cls(), *exports, strict=True)))


class FleetAccount(NamedTuple):
    """How an account stands. Of its newest turn: `worker` and since when, None if it had none.

    `done`, `failed` and `pending` are jobs of lists. `held` is why nothing is asked for it, None
    where there is no reason; `crashes` are its newest turns in a row that no worker has ended, the
    one under way included. `server` is where it is asked, None while that is not known.
    """

    account: str
    done: int
    failed: int
    pending: int
    worker: str | None
    turn_began_at: float | None
    held: Failure | None
    crashes: int
    exports: AccountExports
    server: str | None = None

    @classmethod
    def of(cls, row: asyncpg.Record) -> FleetAccount:
        """Return the account of a row; times in seconds since 1970."""
        began = row["turn_began_at"]
        return cls(
            row["account"],
            row["done"],
            row["failed"],
            row["pending"],
            row["worker"],
            None if began is None else began.timestamp(),
            failure_of(row["held"]),
            row["crashes"],
            AccountExports(
                row["exports_done"],
                row["exports_failed"],
                row["exports_pending"],
                row["pages"],
                row["credits"],
            ),
            row["server"],
        )

    @property
    def is_under_way(self) -> bool:
        """Whether something is to be done for it that can be done."""
        return (self.pending or self.exports.pending) > 0 and self.held is None

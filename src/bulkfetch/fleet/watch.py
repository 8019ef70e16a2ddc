"""Looking at a submission: what became of its jobs and exports, as it comes.

Each end is written in a transaction whose number stands beside it, and numbers are given in order.
So what is new since a look is what has a number from the oldest transaction on that was under way
then: nothing is missed however late a transaction ends, and what is read twice is told once.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator
from typing import NamedTuple

import asyncpg

from bulkfetch.errors import ConfigError
from bulkfetch.fleet.codec import PENDING, failure_of
from bulkfetch.fleet.connections import Connections
from bulkfetch.fleet.export_codec import EndedExport
from bulkfetch.fleet.watched_items import EXPORTS, JOBS, WatchedItems
from bulkfetch.models import Failure, Outcome

# How soon to look again: at once where there was news, then more and more seldom.
_SOONEST_S, _LATEST_S = 0.2, 2.0
# How often to look why exports wait: all of the fleet that are to be done are looked through.
_WHY_S = 10.0
# How long to wait before it is looked which accounts no worker has begun with: a worker without
# enough to do finds each within a minute.
UNBEGUN_S = 90.0

_OLDEST = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"
_IS_KNOWN = "SELECT EXISTS (SELECT 1 FROM bulkfetch.fleet_submission WHERE id = $1)"
_HELD = """
    SELECT account, held AS why FROM bulkfetch.fleet_account
    WHERE held IS NOT NULL AND account = ANY($1) ORDER BY account
"""
_UNBEGUN = """
    SELECT account, server FROM bulkfetch.fleet_account
    WHERE account = ANY($2) AND held IS NULL AND crashes = 0 AND coalesce(turn_began_at < (
        SELECT submitted_at FROM bulkfetch.fleet_submission WHERE id = $1
    ), true) ORDER BY account
"""
_WAITING = f"""
    SELECT export.account, export.name, export.report ->> 'error' AS why
    FROM bulkfetch.fleet_export AS export
    WHERE export.state = {PENDING} AND export.report ->> 'error' IS NOT NULL AND EXISTS (
        SELECT 1 FROM bulkfetch.fleet_export_item AS item
        WHERE item.submission = $1 AND item.account = export.account AND item.name = export.name
    )
    ORDER BY export.key
"""


class HeldAccount(NamedTuple):
    """An account for which nothing is asked until it is submitted anew, and why."""

    account: str
    failure: Failure


class WaitingExport(NamedTuple):
    """An export that does not go on for now, and why: as for credits."""

    account: str
    name: str
    failure: Failure


class UnbegunAccounts(NamedTuple):
    """Accounts that had no turn since the submission, with their servers, None if not known."""

    servers: dict[str, str | None]


News = Outcome | EndedExport | WaitingExport | UnbegunAccounts


class Watch:
    """One submission as it is worked off. `held` is why what is left will not be, once it is known.

    `is_read` once every job and export of it was looked at.
    """

    def __init__(self, connections: Connections, submission: int) -> None:
        """Look at nothing yet."""
        self._connections = connections
        self._submission = submission
        self._jobs = WatchedItems(connections, submission, JOBS)
        self._exports = WatchedItems(connections, submission, EXPORTS)
        self._why_at = -math.inf
        self._told_why: set[tuple[str, str]] = set()
        self._unbegun_at = math.inf
        self.held: list[HeldAccount] = []
        self.is_read = False

    @property
    def jobs_left(self) -> int:
        """How many jobs have not ended, as far as was looked."""
        return self._jobs.pending.total()

    @property
    def exports_left(self) -> int:
        """How many exports have not ended, as far as was looked."""
        return self._exports.pending.total()

    async def news(self) -> AsyncGenerator[News, None]:
        """Yield what became of each job and export, as it comes; end when nothing more can come.

        That is when all have ended, or what is left is of accounts that are held. Why an account's
        exports wait is yielded once, and so are the accounts that no worker has begun with. Raises
        ConfigError where there is no such submission. If cancelled: nothing is lost, and another
        look begins anew.
        """
        await self._require_known()
        self._unbegun_at = asyncio.get_running_loop().time() + UNBEGUN_S
        oldest = await self._oldest()
        async for export in self._exports.known():
            yield export
        async for outcome in self._jobs.known():
            yield outcome
        self.is_read = True
        pause_s = _SOONEST_S
        held: list[HeldAccount] = []
        while self._pending:
            since, oldest, found = oldest, await self._oldest(), False
            async for news in self._ended_since(since):
                found = True
                yield news
            if found:
                pause_s, held = _SOONEST_S, []
                continue
            if held:  # looked once more since
                self.held = held
                return
            for why in await self._new_reasons():
                yield why
            if unbegun := await self._unbegun():
                yield UnbegunAccounts(unbegun)
            held = await self._all_held()
            if not held:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LATEST_S)

    @property
    def _pending(self) -> set[str]:
        """The accounts of what has not ended."""
        return {*self._jobs.pending, *self._exports.pending}

    async def _ended_since(self, oldest: str) -> AsyncIterator[Outcome | EndedExport]:
        async for outcome in self._jobs.ended_since(oldest):
            yield outcome
        async for export in self._exports.ended_since(oldest):
            yield export

    async def _require_known(self) -> None:
        if not await self._connections.read(
            lambda connection: connection.fetchval(_IS_KNOWN, self._submission)
        ):
            raise ConfigError(
                f"the fleet knows no submission {self._submission}",
                hint="`bulkfetch fleet submit` prints the number; what has ended is known for "
                "submissions_keep_days.",
            )

    async def _oldest(self) -> str:
        oldest: str = await self._connections.read(lambda connection: connection.fetchval(_OLDEST))
        return oldest

    async def _all_held(self) -> list[HeldAccount]:
        """Return why nothing more will come, nothing where it may."""
        pending = self._pending
        rows = await self._connections.fetch(_HELD, list(pending))
        if len(rows) < len(pending):
            return []
        return [HeldAccount(row["account"], _why(row)) for row in rows]

    async def _unbegun(self) -> dict[str, str | None]:
        """Return the accounts that no worker has begun with, and their servers; asked once."""
        if asyncio.get_running_loop().time() < self._unbegun_at:
            return {}
        self._unbegun_at = math.inf
        rows = await self._connections.fetch(_UNBEGUN, self._submission, list(self._pending))
        return {row["account"]: row["server"] for row in rows}

    async def _new_reasons(self) -> list[WaitingExport]:
        """Return why exports wait, once for each account and cause; not asked each time."""
        now = asyncio.get_running_loop().time()
        if not self._exports.pending or now < self._why_at + _WHY_S:
            return []
        self._why_at = now
        found: list[WaitingExport] = []
        for row in await self._connections.fetch(_WAITING, self._submission):
            why = _why(row)
            if (row["account"], why.code) not in self._told_why:
                self._told_why.add((row["account"], why.code))
                found.append(WaitingExport(row["account"], row["name"], why))
        return found


def _why(row: asyncpg.Record) -> Failure:
    failure = failure_of(row["why"])
    assert failure is not None, "only rows with a cause were asked for"
    return failure

"""An account's exports in the fleet's journal, beside the turn that does them (`export_store`)."""

from __future__ import annotations

from typing import Any, NamedTuple

import asyncpg

from bulkfetch.fleet.connections import Connections
from bulkfetch.fleet.export_store import TurnExports, end_export
from bulkfetch.journal import ExportTables
from bulkfetch.models import ExportReport

_PENDING = """
    SELECT account, name, whole FROM bulkfetch.fleet_export
    WHERE account = $1 AND state = 0 ORDER BY key
"""
_UNDER_WAY = """
    SELECT export.name, generation.key, array(
        SELECT job_id FROM bulkfetch.fleet_page AS page
        WHERE page.generation = generation.key AND page.job_id IS NOT NULL
    ) AS job_ids
    FROM bulkfetch.fleet_export AS export
    JOIN bulkfetch.fleet_generation AS generation ON generation.export = export.key
    WHERE export.account = $1 AND generation.state IN ('ACTIVE', 'PUBLISHING')
"""
# What is left for the next export is in the row of its name; the newest generation is still shown.
_FORGET = """
    DELETE FROM bulkfetch.fleet_generation AS old
    WHERE state IN ('COMMITTED', 'ABANDONED') AND EXISTS (
        SELECT 1 FROM bulkfetch.fleet_generation AS newer
        WHERE newer.export = old.export AND newer.key > old.key
    )
"""


class PendingExport(NamedTuple):
    """An export to be done; `whole` in full, also where changes would do."""

    account: str
    name: str
    whole: bool


class ExportUnderWay(NamedTuple):
    """A generation that is not over, and the ids of the jobs of its pages."""

    name: str
    generation: int
    job_ids: frozenset[str]


class FleetExports:
    """The exports of all accounts. Its methods are as those of `FleetJournal`."""

    def __init__(self, connections: Connections) -> None:
        """Use `FleetJournal.exports`."""
        self._connections = connections

    async def pending(self, account: str) -> list[PendingExport]:
        """Return an account's exports that are to be done, in the order of their submission."""
        rows = await self._connections.fetch(_PENDING, account)
        return [PendingExport(*row) for row in rows]

    async def under_way(self, account: str) -> list[ExportUnderWay]:
        """Return what is under way of an account's exports."""
        rows = await self._connections.fetch(_UNDER_WAY, account)
        return [ExportUnderWay(row["name"], row["key"], frozenset(row["job_ids"])) for row in rows]

    def in_turn(self, account: str, generation: int, local: ExportTables) -> TurnExports:
        """Return what keeps an account's exports in a turn; `local` is that of this host."""
        return TurnExports(self._connections, account, generation, local)

    async def end(self, generation: int, report: ExportReport) -> None:
        """Write how an export ended in a turn. Raises Superseded where there is a newer one."""

        async def work(connection: asyncpg.Connection[Any]) -> None:
            await end_export(connection, generation, report)

        await self._connections.write(work)

    async def forget(self) -> None:
        """Delete the generations that are over and not the newest of their export."""
        await self._connections.write(lambda connection: connection.execute(_FORGET))

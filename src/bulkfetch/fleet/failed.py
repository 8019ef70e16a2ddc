"""The jobs and the exports of a fleet that failed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg

from bulkfetch.fleet.codec import FAILED, outcome_of
from bulkfetch.fleet.connections import Connections
from bulkfetch.fleet.export_codec import report_read
from bulkfetch.models import ExportReport, Outcome

_PAGE = 2_000


def _failed(table: str, columns: str) -> str:
    return f"""
        SELECT key, account, {columns} FROM bulkfetch.{table}
        WHERE state = {FAILED} AND (account, key) > ($1, $2) AND ($3::text IS NULL OR account = $3)
        ORDER BY account, key LIMIT {_PAGE}
    """


_JOBS = _failed("fleet_job", "id, state, outcome, NULL AS superseded_by")
_EXPORTS = _failed("fleet_export", "report")


async def failed_jobs(connections: Connections, account: str | None) -> AsyncIterator[Outcome]:
    """Yield the jobs that failed, of one account or of all, in the order of their submission."""
    async for row in _rows(connections, _JOBS, account):
        yield outcome_of(row)


async def failed_exports(
    connections: Connections, account: str | None
) -> AsyncIterator[ExportReport]:
    """Yield what became of the exports that failed, of one account or of all."""
    async for row in _rows(connections, _EXPORTS, account):
        yield report_read(row["report"])


async def _rows(
    connections: Connections, statement: str, account: str | None
) -> AsyncIterator[asyncpg.Record]:
    place: tuple[str, int] = account or "", 0
    while rows := await connections.fetch(statement, *place, account):
        for row in rows:
            yield row
        place = rows[-1]["account"], rows[-1]["key"]

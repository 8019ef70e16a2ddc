"""The exports of an account's turn, done by the turn's client.

How far each has come is kept by the turn's `TurnExports`; here it is said in which order they are
done, and what their ends mean for the account.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from bulkfetch.client import Client
from bulkfetch.config import Settings
from bulkfetch.errors import AccountError, ConfigError, NotReadyInTime, error_class
from bulkfetch.exporter.handle import ExportRun
from bulkfetch.fleet.exports import FleetExports, PendingExport
from bulkfetch.models import ExportReport, Failure


def known_exports(
    settings: Settings, pending: Sequence[PendingExport]
) -> tuple[list[PendingExport], tuple[str, ...]]:
    """Return the exports that the settings know, and the names of the others."""
    names = {export.name for export in settings.exports}
    known = [export for export in pending if export.name in names]
    return known, tuple(export.name for export in pending if export.name not in names)


def account_cause(reports: Sequence[ExportReport]) -> Failure | None:
    """Return why nothing more can be had for the account of exports, None where something can."""
    for report in reports:
        if report.status == "pending" and report.error is not None:
            kind = error_class(report.error.code)
            if issubclass(kind, AccountError) and not issubclass(kind, NotReadyInTime):
                return report.error
    return None


async def do_exports(
    client: Client,
    exports: Sequence[PendingExport],
    journal: FleetExports,
    generation: int,
    until: float,
    begun: Callable[[ExportRun], None],
) -> list[ExportReport]:
    """Do exports side by side, those first that were asked for in full; return their ends.

    Until then, on the loop's clock, pages are waited for. `begun` is told of each run before it is
    read, and may stop it. One that does not fit its module fails; the others are done. After the
    end of the account nothing is begun. Raises Superseded, RunError. If cancelled: as a client.
    """
    groups = [[each for each in exports if each.whole == whole] for whole in (True, False)]
    waiting = [group for group in groups if group]
    reports: list[ExportReport] = []
    while waiting and account_cause(reports) is None:
        left_s = max(0.0, until - asyncio.get_running_loop().time())
        group = waiting[0]
        run = client.export(
            *(each.name for each in group), full=group[0].whole, wait=left_s / len(waiting)
        )
        begun(run)
        del waiting[0]
        try:
            reports += await run.reports()
        except ConfigError as error:
            if len(group) > 1:  # of one of them: of which, each by itself shows
                waiting[:0] = [[each] for each in group]
                continue
            [export] = group
            failure = Failure.of(error)
            report = ExportReport(export.name, export.account, "failed", error=failure)
            await journal.end(generation, report)
            reports.append(report)
    return reports

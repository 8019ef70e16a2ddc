"""The exports of an account's turn, done by the turn's client.

How far each has come is kept by the turn's `TurnExports`; here it is said in which order they are
done, and what their ends mean for the account.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from bulkfetch.client import Client
from bulkfetch.config import Settings
from bulkfetch.errors import AccountError, ExportMisfit, NotReadyInTime, error_class
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


def must_wait(report: ExportReport) -> bool:
    """Return whether an export cannot go on at once, in a turn of its own.

    It can where a page was only not ready by the end of the time that was left in this one.
    """
    if report.status != "pending":
        return False
    return report.error is None or report.error.code != NotReadyInTime.code


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
    end of the account nothing is begun. Raises Superseded, RunError, ConfigError. If cancelled: as
    a client.
    """
    whole, changes = ([each for each in exports if each.whole == whole] for whole in (True, False))
    groups = [group for group in (whole, changes) if group]
    reports: list[ExportReport] = []
    while groups and account_cause(reports) is None:
        group = groups[0]
        left_s = max(0.0, until - asyncio.get_running_loop().time())
        names = (each.name for each in group)
        run = client.export(*names, full=group[0].whole, wait=left_s / len(groups))
        begun(run)
        try:
            reports += await run.reports()
        except ExportMisfit as error:
            [misfit] = (each for each in group if each.name == error.export)
            failure = Failure.of(error)
            report = ExportReport(misfit.name, misfit.account, "failed", error=failure)
            await journal.end(generation, report)
            reports.append(report)
            group.remove(misfit)
        else:
            group.clear()
        if not group:
            del groups[0]
    return reports

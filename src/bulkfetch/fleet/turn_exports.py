"""The exports of an account's turn, done by the turn's client.

How far each has come is kept by the turn's `TurnExports`; here it is said in which order they are
done, and what their ends mean for the account.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from bulkfetch.client import Client
from bulkfetch.config import Settings
from bulkfetch.errors import (
    AccountError,
    ExportMisfit,
    InvalidUrlPattern,
    NotReadyInTime,
    ScopeMismatch,
    error_class,
)
from bulkfetch.exporter.handle import ExportRun
from bulkfetch.fleet.exports import FleetExports, PendingExport
from bulkfetch.models import ExportReport, Failure

# How soon a turn is had again of exports that wait, in seconds: not at once however soon they can
# go on, and not after a day, since credits may come back, or be allowed, before that.
LEAST_S, MOST_S = 1.0, 900.0
# Where nothing tells when they can go on.
UNKNOWN_S = 60.0
# What keeps the control calls of an export from being answered, and no result of a job.
_OF_THE_CALLS = (ScopeMismatch, InvalidUrlPattern)


class ExportEnd(NamedTuple):
    """How an export ended in a turn; when it can go on, on the loop's clock, None if unknown."""

    report: ExportReport
    goes_on_at: float | None = None


def known_exports(
    settings: Settings, pending: Sequence[PendingExport]
) -> tuple[list[PendingExport], tuple[str, ...]]:
    """Return the exports that the settings know, and the names of the others."""
    names = {export.name for export in settings.exports}
    known = [export for export in pending if export.name in names]
    return known, tuple(export.name for export in pending if export.name not in names)


def account_cause(ends: Sequence[ExportEnd]) -> Failure | None:
    """Return why nothing more can be had for the account of exports, None where something can."""
    for report, _ in ends:
        if report.status == "pending" and report.error is not None:
            kind = error_class(report.error.code)
            if issubclass(kind, AccountError) and not issubclass(kind, NotReadyInTime):
                return report.error
    return None


def pause_s(ends: Sequence[ExportEnd], now: float, *, unknown: bool) -> float | None:
    """Return in how many seconds from now on exports that are left should have another turn.

    That is when the first of them can go on, within bounds.
    `unknown`: of some the settings do not know. None where none is left.
    """
    times = [each.goes_on_at for each in ends if each.report.status == "pending"]
    if unknown:
        times.append(None)
    waits_s = (UNKNOWN_S if each is None else each - now for each in times)
    soonest_s = min(waits_s, default=None)
    return None if soonest_s is None else min(max(soonest_s, LEAST_S), MOST_S)


def fails_alone(report: ExportReport) -> bool:
    """Return whether an export cannot go on before people mend something, as its account can."""
    if report.status != "pending" or report.error is None:
        return False
    return issubclass(error_class(report.error.code), _OF_THE_CALLS)


async def do_exports(
    client: Client,
    exports: Sequence[PendingExport],
    journal: FleetExports,
    generation: int,
    until: float,
    begun: Callable[[ExportRun], None],
) -> list[ExportEnd]:
    """Do exports side by side, those first that were asked for in full; return their ends.

    Until then, on the loop's clock, pages are waited for. `begun` is told of each run before it is
    read, and may stop it. One that does not fit its module fails, and so does one whose calls the
    token has no scope for; the others are done. After the end of the account nothing is begun.
    Raises Superseded, RunError, ConfigError. If cancelled: as a client.
    """
    whole, changes = ([each for each in exports if each.whole == whole] for whole in (True, False))
    groups = [group for group in (whole, changes) if group]
    ends: list[ExportEnd] = []
    while groups and account_cause(ends) is None:
        group = groups[0]
        left_s = max(0.0, until - asyncio.get_running_loop().time())
        names = (each.name for each in group)
        run = client.export(*names, full=group[0].whole, wait=left_s / len(groups))
        begun(run)
        try:
            reports = await run.reports()
        except ExportMisfit as error:
            [misfit] = (each for each in group if each.name == error.export)
            failure = Failure.of(error)
            report = ExportReport(misfit.name, misfit.account, "failed", error=failure)
            await journal.end(generation, report)
            ends.append(ExportEnd(report))
            group.remove(misfit)
        else:
            now, goes_on_s = asyncio.get_running_loop().time(), run.go_on_s()
            for report in reports:
                if fails_alone(report):
                    report = replace(report, status="failed")
                    await journal.end(generation, report)
                wait_s = goes_on_s.get(report.name)
                ends.append(ExportEnd(report, None if wait_s is None else now + wait_s))
            group.clear()
        if not group:
            del groups[0]
    return ends

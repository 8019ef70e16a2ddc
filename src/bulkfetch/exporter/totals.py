"""What became of the pages of all exports of a command, in one sum. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from bulkfetch.errors import RunError
from bulkfetch.exporter.work import ExportWork
from bulkfetch.journal import PageRow
from bulkfetch.models import Failure, Report


def totals(run: Report, works: Iterable[ExportWork], aborted: RunError | None) -> Report:
    """Return the report of a run of downloads with its counts of jobs as those of pages.

    A page counts as done with its export, since it is published with it. `aborted` is why nothing
    more could be done at all; else the first cause counts that keeps an export from its end.
    """
    begun = [work for work in works if work.begun]
    counts = Counter(_status(work, page) for work in begun for page in work.pages.values())
    reports = [work.report for work in works if work.report is not None]
    causes = (report.error for report in reports if report.status == "pending")
    cause = Failure.of(aborted) if aborted else next(filter(None, causes), None)
    return replace(
        run,
        done=counts["done"],
        failed=counts["failed"],
        pending=counts["pending"],
        skipped=counts["skipped"],
        aborted=cause,
    )


def phase(work: ExportWork) -> str:
    """Return where an export is that is under way, in words."""
    by_state = {page.state: page for page in sorted(work.pages.values(), key=_newest_first)}
    if work.finishing:
        words = "being published"
    elif "FAILED" in by_state:
        words = f"page {by_state['FAILED'].number} failed"
    elif "READY" in by_state:
        words = f"page {by_state['READY'].number} being downloaded"
    elif "PREPARING" in by_state:
        words = f"page {by_state['PREPARING'].number} being prepared"
    else:
        words = "page to be created"
        if work.can_ask and (setting := work.control.creates_wait_for):
            words += f", waits for {setting}"
    return f"{work.name}: {words}"


def _newest_first(page: PageRow) -> tuple[int, int]:
    return -page.number, page.chain


def _status(work: ExportWork, page: PageRow) -> str:
    if page.state == "FAILED":
        return "failed"
    if work.report is not None and work.report.status == "done":
        return "skipped" if work.report.skipped else "done"
    return "pending"

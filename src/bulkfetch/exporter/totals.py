"""What became of an export, and of the pages of all of a command in one sum. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from bulkfetch.errors import RunError
from bulkfetch.exporter.beginning import step_of
from bulkfetch.exporter.work import ExportWork
from bulkfetch.exports.manifest import MANIFEST
from bulkfetch.journal import GenerationRow, PageRow
from bulkfetch.models import ExportReport, Failure, Report, Status


def report_of(
    work: ExportWork,
    status: Status,
    error: Failure | None = None,
    *,
    generation: GenerationRow | None = None,
    skipped: bool = False,
) -> ExportReport:
    """Return what became of an export; `generation` is what its own will be, None: as it is."""
    generation = generation or work.generation
    step = step_of(generation)
    counted = [page for page in work.ordered if page.state == "COUNTED"]
    parts = tuple(work.outcome_of(page, generation) for page in counted)
    counts = [part.records for part in parts]
    manifest = None
    if status == "done" and generation.folder is not None:
        manifest = work.reported(generation.folder, MANIFEST)
    return ExportReport(
        name=work.name,
        account=work.account,
        status=status,
        mode=step.mode,
        parts=parts,
        records=None if None in counts else sum(count or 0 for count in counts),
        manifest=manifest,
        cursor_from=step.cursor_from,
        cursor_to=work.cursor_to,
        credits_spent=work.spent,
        credits_wasted=generation.wasted,
        error=error,
        warnings=generation.warnings,
        skipped=skipped,
    )


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

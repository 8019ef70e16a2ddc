"""What `bulkfetch fleet wait` has told, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from bulkfetch.models import ExportReport, Failure, Outcome, Report

if TYPE_CHECKING:
    from bulkfetch.fleet.export_codec import EndedExport

# How many failures are kept to be told at the end; --json has all of them.
_KEPT_FAILURES = 100


class Told:
    """The jobs and the exports of a submission by what became of them.

    `exports` is None where it has none. `failed_exports` are the first hundred, without their
    parts. `aborted` is why the wait ended early, None if it did not.
    """

    def __init__(self) -> None:
        self.exports: Counter[str] | None = None
        self.failed_exports: list[ExportReport] = []
        self.interrupted = False
        self.aborted: Failure | None = None
        self.elapsed_s = 0.0
        self._jobs: Counter[str] = Counter()
        self._pages: Counter[str] = Counter()
        self._sums: Counter[str] = Counter()
        self._failures: list[Outcome] = []
        self._is_read = False

    def job(self, outcome: Outcome) -> None:
        """Count a job of a list."""
        self._count(self._jobs, outcome)

    def export(self, ended: EndedExport) -> None:
        """Count an export and its pages."""
        for page in ended.pages:
            self._count(self._pages, page)
        self.exports = self.exports or Counter()
        self.exports[ended.report.status] += 1
        if ended.report.status == "failed" and len(self.failed_exports) < _KEPT_FAILURES:
            self.failed_exports.append(replace(ended.report, parts=()))

    def left(self, jobs: int, exports: int, *, is_read: bool) -> None:
        """Take how much has not ended, and whether all of the submission was looked at."""
        self._jobs["pending"] = jobs
        if exports:
            self.exports = self.exports or Counter()
            self.exports["pending"] = exports
        self._is_read = is_read

    def report(self) -> Report:
        """Return the report of the jobs; those of exports are their pages."""
        return self._report(self._jobs + self._pages)

    @property
    def exit_status(self) -> int:
        """The exit status: of exports those count that have ended, not their pages."""
        counts = self._jobs + (self.exports or Counter())
        return self._report(counts).exit_status

    def _report(self, counts: Counter[str]) -> Report:
        names = ("done", "failed", "pending", "skipped", "failed_before", "superseded")
        sums = ("requests", "zip_bytes", "file_bytes")
        return Report(
            **{name: counts[name] for name in names},
            **{name: self._sums[name] for name in sums},
            elapsed_s=self.elapsed_s,
            aborted=self.aborted,
            interrupted=self.interrupted,
            failures=tuple(self._failures),
            list_read=self._is_read,
        )

    def _count(self, counts: Counter[str], outcome: Outcome) -> None:
        if outcome.status == "done" and outcome.skipped:
            counts["skipped"] += 1
            counts["superseded"] += outcome.superseded_by is not None
            return
        counts[outcome.status] += 1
        if outcome.status == "failed":
            counts["failed_before"] += outcome.skipped
            if len(self._failures) < _KEPT_FAILURES:
                self._failures.append(outcome)
        if not outcome.skipped:
            self._sums["requests"] += outcome.attempts
            self._sums["zip_bytes"] += outcome.zip_bytes or 0
            self._sums["file_bytes"] += sum(file.bytes for file in outcome.files)

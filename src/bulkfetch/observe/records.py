"""Reports as JSON objects; outcomes have `to_dict`. Fields are added, never changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from bulkfetch.models import ExportReport, Report

Record = dict[str, Any]


def export_counts(exports: Iterable[ExportReport]) -> Counter[str]:
    """Return how many exports have ended in each way."""
    return Counter("skipped" if each.skipped else each.status for each in exports)


def summary_record(
    report: Report, exit_status: int, exports: Mapping[str, int] | None = None
) -> Record:
    """Return the last record: counts of jobs and requests, bytes, seconds, and the exit status.

    Of exports, jobs are pages, and the exports themselves are counted too: `export_counts`.
    """
    counted: Record = {}
    if exports is not None:
        names = ("done", "failed", "pending", "skipped")
        counted = {"exports": {name: exports.get(name, 0) for name in names}}
    return {
        "type": "summary",
        "done": report.done,
        "failed": report.failed,
        "pending": report.pending,
        "skipped": report.skipped,
        "missing": report.missing,
        "superseded": report.superseded,
        "failed_before": report.failed_before,
        "requests": report.requests,
        "zip_bytes": report.zip_bytes,
        "file_bytes": report.file_bytes,
        "elapsed_s": round(report.elapsed_s, 3),
        "list_read": report.list_read,
        **counted,
        "interrupted": report.interrupted,
        "error": report.aborted and asdict(report.aborted),
        "exit_status": exit_status,
    }

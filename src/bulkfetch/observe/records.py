"""Outcomes and reports as JSON objects. Fields are added, never changed."""

from __future__ import annotations

from typing import Any

from bulkfetch.models import Failure, Outcome, Report

Record = dict[str, Any]


def job_record(outcome: Outcome) -> Record:
    """Return a job's record: its status, its files, its error (None without one)."""
    record: Record = {
        "type": "job",
        "id": outcome.job_id,
        "account": outcome.account,
        "status": outcome.status,
        "files": [
            {"path": file.path, "bytes": file.bytes, "sha256": file.sha256}
            for file in outcome.files
        ],
        "zip_bytes": outcome.zip_bytes,
        "records": outcome.records,
        "attempts": outcome.attempts,
        "error": failure_record(outcome.error),
    }
    if outcome.skipped:
        record["skipped"] = True
    if outcome.missing:
        record["missing"] = True
    if outcome.superseded_by is not None:
        record["superseded_by"] = outcome.superseded_by
    if outcome.quarantine is not None:
        record["quarantine"] = outcome.quarantine
    return record


def failure_record(failure: Failure | None) -> Record | None:
    """Return an error's record, None without one; `http` is None if there was no response."""
    if failure is None:
        return None
    return {
        "code": failure.code,
        "http": failure.http,
        "message": failure.message,
        "hint": failure.hint,
    }


def summary_record(report: Report, exit_status: int) -> Record:
    """Return the last record: counts of jobs and requests, bytes, seconds, and the exit status."""
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
        "interrupted": report.interrupted,
        "error": failure_record(report.aborted),
        "exit_status": exit_status,
    }

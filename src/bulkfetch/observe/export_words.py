"""What became of an export, in words and as JSON. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from bulkfetch.models import ExportReport
from bulkfetch.observe.messages import cause_words, of_account
from bulkfetch.observe.records import Record
from bulkfetch.text import escape, number


def export_record(report: ExportReport) -> Record:
    """Return an export's record; `mode`, `records` and `manifest` are None if there are none."""
    record: dict[str, Any] = {
        "type": "export",
        "name": report.name,
        "account": report.account,
        "status": report.status,
        "mode": report.mode,
        "parts": len(report.parts),
        "records": report.records,
        "manifest": report.manifest,
        "cursor": {"from": report.cursor_from, "to": report.cursor_to},
        "credits": report.credits_spent,
        "credits_wasted": report.credits_wasted,
        "warnings": list(report.warnings),
        "error": report.error and asdict(report.error),
    }
    if report.skipped:
        record["skipped"] = True
    return record


def export_name(account: str, name: str) -> str:
    """Return what an export is called."""
    return f"export {name}{of_account(account)}"


def export_line(report: ExportReport) -> str:
    """Return what became of an export in one line."""
    words = "done before" if report.skipped else report.status
    parts = [f"{export_name(report.account, report.name)}: {words}"]
    if report.mode is not None:
        parts.append({"full": "full", "changes": "changes only"}.get(report.mode, report.mode))
        parts.append(number(len(report.parts), "page"))
        if report.records is not None:
            parts.append(f"{report.records} records")
        parts.append(f"{report.credits_spent} credits")
        if report.credits_wasted:
            parts.append(f"{report.credits_wasted} of them wasted")
    line = ", ".join(parts)
    return escape(f"{line}: {report.manifest}" if report.manifest else line)


def export_problem(report: ExportReport) -> tuple[str, str]:
    """Return the sentence about an export that has not been done, and its hint ("" without one)."""
    name, error = export_name(report.account, report.name), report.error
    if error is None:
        return f"{name}: {report.status}", ""
    return escape(f"{name}: {cause_words(report.account, error)}"), escape(error.hint)

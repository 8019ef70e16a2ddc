"""What became of an export, to columns of the fleet's journal and back. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from bulkfetch.fleet.codec import REFUSED, failure_of
from bulkfetch.models import ExportReport, Failure, Outcome, PublishedFile

if TYPE_CHECKING:
    import asyncpg


class EndedExport(NamedTuple):
    """What became of an export, and of all its pages, those included that failed with it."""

    report: ExportReport
    pages: tuple[Outcome, ...]


def report_written(report: ExportReport) -> str:
    """Return a report as a row holds it: JSON, with all parts."""
    return json.dumps(asdict(report))


def report_read(text: str) -> ExportReport:
    """Return the report that a row holds."""
    held: dict[str, Any] = json.loads(text)
    return ExportReport(
        **held
        | {
            "parts": tuple(_part(part) for part in held["parts"]),
            "error": _failure(held["error"]),
            "warnings": tuple(held["warnings"]),
        }
    )


def export_of(row: Mapping[str, Any] | asyncpg.Record) -> EndedExport:
    """Return the end of an export, of an item with account, name, kind and refused.

    Unless it was refused: with report, and pages as a list of outcomes where it failed.
    """
    account, name = row["account"], row["name"]
    if row["kind"] == REFUSED:
        failure = failure_of(row["refused"])
        return EndedExport(ExportReport(name, account, "failed", error=failure), ())
    report = report_read(row["report"])
    if report.status == "done":
        return EndedExport(report, report.parts)
    held: list[dict[str, Any]] = json.loads(row["pages"] or "[]")
    pages = ({**page, "account": account, "export": name, "files": ()} for page in held)
    return EndedExport(report, tuple(map(_part, pages)))


def _part(held: Mapping[str, Any]) -> Outcome:
    files = tuple(PublishedFile(**file) for file in held["files"])
    return Outcome(**{**held, "files": files, "error": _failure(held["error"])})


def _failure(held: Mapping[str, Any] | None) -> Failure | None:
    return None if held is None else Failure(**held)

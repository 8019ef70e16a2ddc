"""What became of an export, to a column of the fleet's journal and back. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from bulkfetch.exporter.reports import ExportReport
from bulkfetch.models import Failure, Outcome, PublishedFile


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


def _part(held: Mapping[str, Any]) -> Outcome:
    files = tuple(PublishedFile(**file) for file in held["files"])
    return Outcome(**{**held, "files": files, "error": _failure(held["error"])})


def _failure(held: Mapping[str, Any] | None) -> Failure | None:
    return None if held is None else Failure(**held)

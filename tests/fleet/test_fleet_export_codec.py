"""An export's report in a column of the fleet's journal."""

from __future__ import annotations

import pytest

from bulkfetch.fleet.export_codec import report_read, report_written
from bulkfetch.models import ExportReport, Failure, Outcome, PublishedFile

ERROR = Failure("EXPORT_FAILED", "Zoho says “no”", "Ask it again.", 400)
PARTS = (
    Outcome(
        "554023000000568002",
        "acme",
        "done",
        files=(
            PublishedFile("s3://exports/acme/Leads/x/part-00001.csv", 17, "ab" * 32),
            PublishedFile("s3://exports/acme/Leads/x/part-00001.parquet", 9, None),
        ),
        zip_bytes=12,
        records=3,
        attempts=2,
        export="Leads",
        page=1,
    ),
    Outcome("", "acme", "failed", error=ERROR, quarantine="/q/x.zip", export="Leads", page=2),
)
REPORTS = {
    "nothing": ExportReport("Leads", "acme", "pending"),
    "done": ExportReport(
        "Leads",
        "acme",
        "done",
        mode="changes",
        parts=PARTS[:1],
        records=3,
        manifest="s3://exports/acme/Leads/x/manifest.json",
        cursor_from="2026-09-29T02:00:01Z",
        cursor_to="2026-09-30T02:00:01Z",
        credits_spent=118,
        credits_wasted=50,
        warnings=("a formula", "a roll-up"),
        skipped=True,
    ),
    "failed": ExportReport("Leads", "acme", "failed", mode="full", parts=PARTS, error=ERROR),
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_is_read_back_as_it_was_written(name: str) -> None:
    """Whatever a report has, its column gives it back: parts, files, failures, warnings."""
    assert report_read(report_written(REPORTS[name])) == REPORTS[name]

import json

from bulkfetch.models import Failure, Outcome, PublishedFile, Report
from bulkfetch.observe.records import summary_record


def test_done_job() -> None:
    """A done job's line is the contract's, field by field, in this order."""
    outcome = Outcome(
        job_id="554023000000568002",
        account="default",
        status="done",
        files=(PublishedFile("exports/554023000000568002.csv", 81234567, "ab"),),
        zip_bytes=16234567,
        records=200000,
        attempts=1,
    )
    assert json.dumps(outcome.to_dict(), separators=(",", ":")) == (
        '{"type":"job","id":"554023000000568002","account":"default","status":"done",'
        '"files":[{"path":"exports/554023000000568002.csv","bytes":81234567,"sha256":"ab"}],'
        '"zip_bytes":16234567,"records":200000,"attempts":1,"error":null}'
    )


def test_failed_job() -> None:
    """A failed job has no files, and an error with code, status, message and hint."""
    error = Failure("RESOURCE_NOT_FOUND", "gone", "create it again", 404)
    record = Outcome("1", "a", "failed", error=error, quarantine="q.zip").to_dict()
    assert record["files"] == []
    assert record["error"] == {
        "code": "RESOURCE_NOT_FOUND",
        "http": 404,
        "message": "gone",
        "hint": "create it again",
    }
    assert record["quarantine"] == "q.zip"


def test_skipped_job() -> None:
    """A job done before is done, and marked."""
    record = Outcome("1", "a", "done", skipped=True).to_dict()
    assert (record["status"], record["skipped"]) == ("done", True)
    assert "skipped" not in Outcome("1", "a", "done").to_dict()


def test_summary() -> None:
    """The last line counts every job, and says how the run ended."""
    record = summary_record(Report(done=9, failed=1), 1)
    assert record["type"] == "summary"
    assert [record[key] for key in ("done", "failed", "pending", "skipped")] == [9, 1, 0, 0]
    assert (record["exit_status"], record["error"]) == (1, None)

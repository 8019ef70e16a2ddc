from typing import get_args

import pytest

from bulkfetch.events import Event, EventKind
from bulkfetch.models import ExportReport, Failure, Outcome, Report
from bulkfetch.observe.export_words import export_problem
from bulkfetch.observe.messages import event_level, event_line, failure_lines, summary_line

LEVELS = {
    "window_shared": "warning",
    "window_fallback": "warning",
    "window_held": "warning",
    "note": "warning",
    "account_ended": "error",
}
UNLESS_QUIET = {
    *("window_closed", "unconnected", "service_down", "window_crowded", "window_restored"),
    *("export_begun", "page_again", "export_again", "exports_held"),
}
OF_EACH_JOB = {
    *("account_opened", "slot_taken", "slot_settled", "head", "first_byte", "last_byte"),
    *("verified", "failed", "token_issued", "page_polled", "page_counted"),
}


@pytest.mark.parametrize("kind", get_args(EventKind))
def test_verbosity(kind: EventKind) -> None:
    """Warnings and errors are told always, what passes unless -q is given; more with -v, -vv."""
    event = Event(kind, "words")
    assert event_level(event) == LEVELS.get(kind, "note")
    assert (event_line(event, -1) is not None) == (kind in LEVELS)
    assert (event_line(event, 0) is not None) == (kind in UNLESS_QUIET | LEVELS.keys())
    assert event_line(event, 1) == (None if kind in OF_EACH_JOB else "words")
    assert event_line(event, 2) == f"{kind}: words"


def test_the_end_of_an_account_has_its_code() -> None:
    """An account's end reads as every error does: code, whose, cause."""
    event = Event("account_ended", "refused", "eu", data={"code": "INVALID_TOKEN", "hint": "Get."})
    assert event_line(event, 0) == "INVALID_TOKEN: account eu: refused"


def test_event_names_account_and_job() -> None:
    """An event says which account and job it is about; not of the default one."""
    assert event_line(Event("note", "words", "eu", "123"), 0) == "account eu, job 123: words"
    assert event_line(Event("note", "words", "default", "123"), 0) == "job 123: words"


def test_event_is_one_line() -> None:
    """Words from outside cannot write to the terminal or fake another line."""
    line = event_line(Event("note", "a\nerror: b\x1b[2J"), 0)
    assert line == "a\\nerror: b\\x1b[2J"


def test_an_account_is_named_once() -> None:
    """Also where the message of a failure would name it again."""
    failure = Failure("MISSING_CREDENTIALS", "account eu: no credentials", "Set them.")
    sentence, _ = export_problem(ExportReport("Leads", "eu", "pending", error=failure))
    assert sentence == "export Leads of account eu: MISSING_CREDENTIALS: no credentials"


def test_failure() -> None:
    """A failed job is told with code, status, requests used, cause, and what to do."""
    outcome = Outcome(
        "123", "eu", "failed", attempts=3, error=Failure("NOT_A_ZIP", "HTML\x07", "Look.", 200)
    )
    assert failure_lines(outcome) == (
        "job 123 of account eu: NOT_A_ZIP (HTTP 200) after 3 requests: HTML\\x07",
        "Look.",
    )


def test_quarantine_is_named() -> None:
    """Where a refused archive is kept is said."""
    error = Failure("ZIP_UNSAFE", "names")
    outcome = Outcome("1", "default", "failed", error=error, quarantine="out/q.zip")
    assert failure_lines(outcome) == ("job 1: ZIP_UNSAFE: names; kept as out/q.zip", "")


def test_summary() -> None:
    """The summary names what there is, and leaves out what there is not."""
    report = Report(done=2, requests=1, zip_bytes=1000, file_bytes=5000, elapsed_s=61.0)
    assert summary_line(report) == (
        "2 done; 5.0 kB of files from 1.0 kB of ZIPs, 1 request, 1 min 1 s"
    )
    report = Report(done=2, failed=1, pending=3, skipped=4, list_read=False)
    assert summary_line(report).startswith(
        "2 done, 1 failed, 3 pending, 4 done before, the list was not read to its end; "
    )

"""Which events are reported, at which verbosity, and in which words. Pure."""

from __future__ import annotations

from typing import Literal

from bulkfetch.events import Event, EventKind
from bulkfetch.models import Failure, Outcome, Report
from bulkfetch.text import duration, escape, jobs, number, size

QUIET, NORMAL, VERBOSE, DEBUG = -1, 0, 1, 2

Level = Literal["note", "warning", "error"]

# What needs the user's attention is reported with -q too. All other events are notes.
_LEVELS: dict[EventKind, Level] = {
    "window_shared": "warning",
    "window_fallback": "warning",
    "window_held": "warning",
    "note": "warning",
    "account_ended": "error",
}
# The lowest verbosity at which a note is reported; VERBOSE for kinds that are missing here.
_TOLD_FROM: dict[EventKind, int] = {
    "window_closed": NORMAL,
    "unconnected": NORMAL,
    "service_down": NORMAL,
    "window_crowded": NORMAL,
    "window_restored": NORMAL,
    "export_begun": NORMAL,
    "page_again": NORMAL,
    "export_again": NORMAL,
    "exports_held": NORMAL,
    # Several for each job.
    "account_opened": DEBUG,
    "slot_taken": DEBUG,
    "slot_settled": DEBUG,
    "head": DEBUG,
    "first_byte": DEBUG,
    "last_byte": DEBUG,
    "verified": DEBUG,
    "failed": DEBUG,  # failures are listed at the end
    "token_issued": DEBUG,
    "page_polled": DEBUG,
    "page_counted": DEBUG,
}

# How many failed jobs are listed at the end, in groups; --json and `status` have all of them.
SHOWN_FAILURES = 20


def event_level(event: Event) -> Level:
    """Return the level of an event."""
    return _LEVELS.get(event.kind, "note")


def event_line(event: Event, verbosity: int) -> str | None:
    """Return the line for an event, without its level; None if this verbosity omits it."""
    if event_level(event) == "note" and verbosity < _TOLD_FROM.get(event.kind, VERBOSE):
        return None
    whose = "" if event.account in (None, "default") else f"account {event.account}"
    about = [whose] if whose and not event.message.startswith(f"{whose}:") else []
    about += [f"job {event.job_id}"] if event.job_id and "export" not in event.data else []
    words = [", ".join(about)] if about else []
    if event_level(event) == "error" and "code" in event.data:
        words.insert(0, str(event.data["code"]))
    if verbosity >= DEBUG:
        words.insert(0, event.kind)
    return escape(": ".join([*words, event.message]))


def of_account(account: str) -> str:
    """Return the words that follow what is an account's; none for the account `default`."""
    return "" if account == "default" else f" of account {account}"


def cause_words(account: str, failure: Failure) -> str:
    """Return the code and the message of a failure, where its account is named already."""
    return f"{failure.code}: {message_words(account, failure)}"


def message_words(account: str, failure: Failure) -> str:
    """Return the message of a failure, where its account is named already."""
    return failure.message.removeprefix(f"account {account}: ")


def failure_lines(outcome: Outcome) -> tuple[str, str]:
    """Return the sentence about a failed job, and its hint ("" without one)."""
    error = outcome.error
    if error is None:
        return f"job {outcome.job_id} failed", ""
    http = f" (HTTP {error.http})" if error.http else ""
    tried = f" after {outcome.attempts} requests" if outcome.attempts > 1 else ""
    kept = f"; kept as {outcome.quarantine}" if outcome.quarantine else ""
    what = f"job {outcome.job_id}"
    if outcome.export is not None:
        what = f"export {outcome.export}, page {outcome.page}"
        what += f" (job {outcome.job_id})" if outcome.job_id else ""
    sentence = (
        f"{what}{of_account(outcome.account)}: {error.code}{http}{tried}: {error.message}{kept}"
    )
    return escape(sentence), escape(error.hint)


def summary_line(report: Report) -> str:
    """Return a run's result in one line."""
    parts = [f"{report.done} done"]
    for count, word in (
        (report.failed, "failed"),
        (report.pending, "pending"),
        (report.skipped, "done before"),
        (report.missing, "of these with their file gone or changed"),
        (report.superseded, "of these superseded by a newer job"),
    ):
        if count:
            parts.append(f"{count} {word}")
    if not report.list_read:
        parts.append("the list was not read to its end")
    figures = f"{size(report.file_bytes)} of files from {size(report.zip_bytes)} of ZIPs"
    requests = number(report.requests, "request")
    return f"{', '.join(parts)}; {figures}, {requests}, {duration(report.elapsed_s)}"


def notes_on_skipped(report: Report) -> list[str]:
    """Return notes on jobs that were not requested, with the options that request them."""
    lines = []
    if report.failed_before:
        lines.append(
            f"{jobs(report.failed_before)} failed permanently in an earlier run and "
            f"{'was' if report.failed_before == 1 else 'were'} not requested again; "
            "--failed requests them"
        )
    if report.missing:
        lines.append(
            f"{jobs(report.missing)} done before {'has' if report.missing == 1 else 'have'} lost "
            "the file, or it has changed; --again missing fetches it again"
        )
    return lines


def more_failures_line(count: int, listing: str) -> str:
    """Return the note that more jobs have failed than were listed, which a command lists."""
    return f"and {jobs(count)} more failed; `{listing}` lists all of them"

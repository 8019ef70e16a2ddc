"""Lines of an events file into a tally, one after the other, in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bulkfetch.observe.messages import of_account
from bulkfetch.observe.report.tally import STAGES, Tally

# Longer lines are none of an events file.
MOST_LINE_BYTES = 1 << 20
_MARKS = {
    *("window_closed", "window_shared", "window_crowded", "window_held", "window_fallback"),
    *("unconnected", "service_down", "account_ended", "token_renewed", "token_issued"),
    "exports_held",
}
# Different notes that are kept in their words.
_MOST_NOTES = 100


@dataclass
class Gathered:
    """What a file has told: the tally of its last run, and what else it held.

    `torn` says that the last line has no end, `unread` how many lines were no events.
    """

    tally: Tally = field(default_factory=Tally)
    runs: int = 0
    lines: int = 0
    unread: int = 0
    torn: bool = False


@dataclass
class _Job:
    """A job under way: its last request's steps, in seconds of the run."""

    taken_s: float | None = None
    head_s: float | None = None
    body_s: float | None = None
    verified_s: float | None = None


def gather(lines: Iterable[bytes]) -> Gathered:
    """Return what lines tell; those of an earlier run in the same file are dropped."""
    gathered, jobs = Gathered(), dict[str, _Job]()
    for line in lines:
        event = _event(line)
        if event is None:
            if line.endswith(b"\n"):
                gathered.unread += bool(line.strip())
            else:
                gathered.torn = True
            continue
        gathered.lines += 1
        if event["kind"] == "run_started":
            gathered.runs += 1
            gathered.tally, jobs = Tally(), {}
        _take(gathered.tally, jobs, event)
    for window in gathered.tally.windows.values():
        window.move(gathered.tally.last_s)
    return gathered


def _event(line: bytes) -> dict[str, Any] | None:
    if len(line) > MOST_LINE_BYTES:
        return None
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    fits = (
        isinstance(event, dict)
        and isinstance(event.get("v"), int)
        and isinstance(event.get("kind"), str)
        and isinstance(event.get("elapsed_s"), int | float)
        and isinstance(event.get("data"), dict)
    )
    return event if fits else None


def _number(data: dict[str, Any], name: str) -> float:
    value = data.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def _take(tally: Tally, jobs: dict[str, _Job], event: dict[str, Any]) -> None:
    kind, data, at_s = event["kind"], event["data"], max(0.0, float(event["elapsed_s"]))
    account, job_id = str(event.get("account", "")), str(event.get("job_id", ""))
    named = job_id + (of_account(account) if account else "")
    message = str(event.get("message", ""))
    tally.last_s = max(tally.last_s, at_s)
    if kind in _MARKS:
        tally.window(account).mark(at_s, kind)
    if kind.startswith(("page_", "export")):
        _take_export(tally, kind, data)
    match kind:
        case "run_started":
            tally.started = str(event.get("time", ""))
            tally.version, tally.command = str(data.get("version")), str(data.get("command"))
        case "run_ended":
            tally.ended = {key: int(_number(data, key)) for key in data}
        case "account_opened":
            window = tally.window(account)
            window.known = True
            window.requests = int(_number(data, "requests"))
            window.period_s = _number(data, "period_s")
        case "events_lost":
            tally.lost_events += int(_number(data, "events"))
        case "note":
            if message in tally.notes or len(tally.notes) < _MOST_NOTES:
                tally.notes[message] += 1
        case "attempt_failed":
            job = jobs.pop(f"{account} {job_id}", None)
            failures = tally.failures_of(str(data.get("code")))
            failures.attempts += 1
            failures.example = failures.example or message
            failures.job = failures.job or named
            tally.retried += 1
            received = int(_number(data, "received_bytes"))
            if job is not None and job.head_s is not None and received:
                tally.received_bytes += received
                tally.bytes.spread(job.head_s, at_s, received)
        case "failed":
            jobs.pop(f"{account} {job_id}", None)
            failures = tally.failures_of(str(data.get("code")))
            failures.jobs += 1
            failures.example, failures.job = message, named
            failures.hint = str(data.get("hint", ""))
            tally.failed += 1
        case _ if job_id:
            job = jobs.setdefault(f"{account} {job_id}", _Job())
            if not _take_step(tally, job, event, at_s):
                jobs.pop(f"{account} {job_id}", None)


def _take_step(tally: Tally, job: _Job, event: dict[str, Any], at_s: float) -> bool:
    """Take in a step of a job; return whether more may follow."""
    data, window = event["data"], tally.window(str(event.get("account", "")))
    job_id = str(event.get("job_id", ""))
    match event["kind"]:
        case "slot_taken":
            waited_s = _number(data, "waited_s") + _number(data, "connection_waited_s")
            window.taken(at_s, job_id)
            _stage(tally, "slot", at_s - waited_s, at_s)
            job.taken_s = at_s
        case "slot_settled":
            window.settled(at_s, job_id, str(data.get("end")), _number(data, "back_in_s"))
        case "head":
            job.head_s = at_s
            if job.taken_s is not None:
                _stage(tally, "connection", job.taken_s, at_s)
        case "last_byte":
            job.body_s = at_s
            received = int(_number(data, "received_bytes"))
            tally.received_bytes += received
            if job.head_s is not None:
                _stage(tally, "body", job.head_s, at_s)
                tally.bytes.spread(job.head_s, at_s, received)
        case "verified":
            job.verified_s = at_s
        case "done":
            begun_s = job.body_s if job.body_s is not None else job.verified_s
            if begun_s is not None:
                _stage(tally, "unpack", begun_s, at_s)
            if job.taken_s is not None:
                tally.jobs.add(at_s - job.taken_s)
            tally.done += 1
            tally.file_bytes += int(_number(data, "bytes"))
            return False
        case "attempt_started" | "first_byte" | "salvaged" | "resumed" | "restarted":
            return True
        case _:  # of a page, or news to come: no step of a download
            return job.taken_s is not None
    return True


def _stage(tally: Tally, stage: str, from_s: float, to_s: float) -> None:
    assert stage in STAGES
    tally.stages[stage].add(to_s - from_s)
    from_s = max(0.0, from_s)
    if to_s > from_s:
        tally.busy[stage].spread(from_s, to_s, to_s - from_s)


def _take_export(tally: Tally, kind: str, data: dict[str, Any]) -> None:
    export = tally.export(str(data.get("export")))
    match kind:
        case "page_created":
            export.created += 1
        case "page_polled":
            export.polled += 1
        case "page_ready":
            export.ready += 1
        case "page_counted":
            export.counted += 1
            export.records += int(_number(data, "records"))
        case "page_again":
            export.again += 1
        case "export_published":
            export.published = True

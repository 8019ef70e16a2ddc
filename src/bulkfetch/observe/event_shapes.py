"""What each line of an events file may hold, and its JSON Schema. Pure.

Kinds and fields are added, never changed: a reader ignores what it does not know.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

# The version of the lines' shape, in each line.
VERSION = 1

FileKind = Literal[
    "run_started",  # the first line of a run; a file may hold several runs
    "run_ended",  # the last line of a run; missing where it was killed
    "events_lost",  # what could not be written in time, because the file is slow
]
Figure = Literal["integer", "number", "string"]


class Shape(NamedTuple):
    """What a kind means, and its `data`: the name of each figure with its type.

    A name that ends in "?" may be missing.
    """

    meaning: str
    data: dict[str, Figure]


_EXPORT: dict[str, Figure] = {"export": "string"}
_PAGE: dict[str, Figure] = {"export": "string", "page": "integer"}
_WINDOW: dict[str, Figure] = {
    "for_s?": "number",
    "capacity?": "integer",
    "in_flight_cap?": "integer",
}
_FAILING: dict[str, Figure] = {"code": "string", "delay_s": "number"}

SHAPES: dict[str, Shape] = {
    "run_started": Shape(
        "the first line of a run", {"version": "string", "command": "string", "pid": "integer"}
    ),
    "account_opened": Shape(
        "an account's window and connections",
        {
            "requests": "integer",
            "period_s": "number",
            "margin_s": "number",
            "connections": "integer",
        },
    ),
    "token_issued": Shape("an access token was issued", {"by": "string"}),
    "token_renewed": Shape("a refused access token was replaced", {}),
    "slot_taken": Shape(
        "a slot of the window was taken for a job's request, after these waits",
        {"waited_s": "number", "connection_waited_s": "number"},
    ),
    "attempt_started": Shape("the request of a job leaves", {"attempt": "integer"}),
    "head": Shape(
        "the head of the response has come; `length` of the body in bytes, if it is told",
        {"status": "integer", "length?": "integer"},
    ),
    "slot_settled": Shape(
        'how the request ended for the window ("answered", "rejected", "lost" or "unused"), and '
        "when the slot is free again",
        {"end": "string", "back_in_s": "number"},
    ),
    "first_byte": Shape(
        "the body is a file's; bytes before `offset` are those of an earlier attempt",
        {"offset": "integer"},
    ),
    "last_byte": Shape(
        "the body is complete; `received_bytes` of it have come in this attempt",
        {"bytes": "integer", "received_bytes": "integer"},
    ),
    "attempt_failed": Shape(
        "why an attempt failed, and what is done about it",
        {
            "code": "string",
            "next": "string",
            "delay_s": "number",
            "attempt": "integer",
            "received_bytes": "integer",
        },
    ),
    "resumed": Shape("a broken transfer went on where it stopped", {"gained_bytes": "integer"}),
    "restarted": Shape("a broken transfer starts again", {"lost_bytes": "integer"}),
    "salvaged": Shape(
        "a complete ZIP of an earlier run is used; nothing is asked", {"zip_bytes": "integer"}
    ),
    "verified": Shape("the ZIP is sound, and is unpacked next", {"zip_bytes": "integer"}),
    "quarantined": Shape("a refused ZIP is kept", {"path": "string"}),
    "done": Shape(
        "the job's files are published; `path` and `bytes` of the first one, `took_s` since its "
        "request (0 where nothing was asked)",
        {"path": "string", "bytes": "integer", "took_s": "number", "records?": "integer"},
    ),
    "failed": Shape(
        "the job failed for good", {"code": "string", "hint": "string", "attempts": "integer"}
    ),
    "preparing": Shape("a result is not ready yet", {"state": "string"}),
    "window_closed": Shape("Zoho refused a request (429): nothing leaves for a while", _WINDOW),
    "window_shared": Shape("somebody else uses the account's limit", _WINDOW),
    "window_crowded": Shape("the account accepts fewer requests at once", _WINDOW),
    "window_restored": Shape("all slots are used again", _WINDOW),
    "window_fallback": Shape("the machine's window cannot be used as it was", _WINDOW),
    "window_held": Shape("somebody keeps the window's file from all others", _WINDOW),
    "unconnected": Shape("the account waits: its server cannot be reached", _FAILING),
    "service_down": Shape(
        "the account waits: its server fails", {"code": "string", "delay_s?": "number"}
    ),
    "account_ended": Shape(
        "nothing more is asked for the account in this run", {"code": "string", "hint": "string"}
    ),
    "export_begun": Shape("a new generation of an export", _EXPORT),
    "page_created": Shape("Zoho prepares a page; `job_id` is its job", _PAGE),
    "page_polled": Shape("Zoho was asked for a page's state", {**_PAGE, "state": "string"}),
    "page_ready": Shape("a page is ready to be downloaded", _PAGE),
    "page_counted": Shape(
        "a page is downloaded and has the records it should", {**_PAGE, "records?": "integer"}
    ),
    "page_again": Shape("a page is created again, and why", _PAGE),
    "export_again": Shape(
        "an export begins again; `wasted` credits", {**_EXPORT, "wasted": "integer"}
    ),
    "exports_held": Shape("no more pages are created or asked for, for a while or at all", _EXPORT),
    "export_published": Shape("an export's files are published together", _EXPORT),
    "note": Shape("what a user should know", {"export?": "string"}),
    "events_lost": Shape(
        "so many events are missing here: the file could not be written in time",
        {"events": "integer"},
    ),
    "run_ended": Shape(
        "the last line of a run; missing where it was killed",
        {
            "exit_status": "integer",
            "done?": "integer",
            "failed?": "integer",
            "pending?": "integer",
            "skipped?": "integer",
            "requests?": "integer",
            "zip_bytes?": "integer",
            "file_bytes?": "integer",
        },
    ),
}


def event_schema() -> dict[str, Any]:
    """Return the JSON Schema of a line of an events file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of an events file of bulkfetch",
        "type": "object",
        "required": ["v", "time", "elapsed_s", "kind", "message", "data"],
        "properties": {
            "v": {"const": VERSION, "description": "the version of this shape"},
            "time": {
                "type": "string",
                "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
                "description": "when it happened, by the machine's clock, in UTC",
            },
            "elapsed_s": {
                "type": "number",
                "minimum": 0,
                "description": "seconds since the run's first line, by a clock that is never set",
            },
            "kind": {"enum": sorted(SHAPES)},
            "account": {"type": "string", "description": "missing where it is about none"},
            "job_id": {"type": "string", "description": "missing where it is about none"},
            "message": {"type": "string", "description": "for people; not to be taken apart"},
            "data": {"type": "object"},
        },
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": kind}}},
                "then": {
                    "description": shape.meaning,
                    "properties": {"data": _data_schema(shape.data)},
                },
            }
            for kind, shape in SHAPES.items()
        ],
    }


def _data_schema(figures: dict[str, Figure]) -> dict[str, Any]:
    return {
        "properties": {name.rstrip("?"): {"type": figures[name]} for name in figures},
        "required": [name for name in figures if not name.endswith("?")],
    }

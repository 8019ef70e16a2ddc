"""What the answers of control calls say. Pure: JSON in, values out.

Whatever Zoho leaves open is taken in every form: a result that is missing or stands on an
unfinished job, ids as numbers, an object in place of a list of one. Only `state` says how far a job
is. What cannot be read raises BadResponse, and is never guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from bulkfetch.errors import BadResponse
from bulkfetch.models import Failure, is_job_id
from bulkfetch.text import escape

State = Literal["ADDED", "QUEUED", "IN PROGRESS", "COMPLETED", "FAILURE"]
_STATES: Mapping[str, State] = {
    "ADDED": "ADDED",
    "QUEUED": "QUEUED",
    "IN PROGRESS": "IN PROGRESS",
    "INPROGRESS": "IN PROGRESS",
    "COMPLETED": "COMPLETED",
    "FAILURE": "FAILURE",
    "FAILED": "FAILURE",
}
_BETWEEN_WORDS = re.compile(r"[\s_-]+")
_NO_REASON = Failure("FAILURE", "the service gave no reason")
FAILURE_HINT = "The service could not prepare this export; it is no fault of the download."


class Created(NamedTuple):
    """The answer to a create call. `created_time` as the server wrote it, "" where it did not."""

    job_id: str
    created_time: str
    state: str


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How far a job is.

    `count` and the rest of its result are those of a COMPLETED job; `count` None: the service did
    not say, and neither what else there is. `failure` says why, of FAILURE only.
    """

    job_id: str
    state: State
    count: int | None = None
    page: int | None = None
    more_records: bool = False
    next_page_token: str | None = field(default=None, repr=False)
    module: str | None = None
    file_type: str | None = None
    created_time: str | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Module:
    """A module of the org. None and False where the service does not say."""

    api_name: str
    api_supported: bool = False
    viewable: bool = False
    visible: bool = False
    generated_type: str | None = None
    status: str | None = None
    plural_label: str | None = None


@dataclass(frozen=True, slots=True)
class ModuleField:
    """A field of a module. None and False where the service does not say.

    `lookup_module` is the module of a lookup's records, `formula_type` what a formula gives.
    """

    api_name: str
    data_type: str
    json_type: str | None = None
    length: int | None = None
    decimal_place: int | None = None
    visible: bool = False
    virtual_field: bool = False
    custom_field: bool = False
    lookup_module: str | None = None
    formula_type: str | None = None
    field_label: str | None = None


@dataclass(frozen=True, slots=True)
class DeletedRecord:
    """A record that is gone. `type` is `recycle` or `permanent`; None where nothing is said."""

    id: str
    display_name: str | None = None
    type: str | None = None
    deleted_time: str | None = None
    deleted_by: str | None = None
    created_by: str | None = None


class DeletedPage(NamedTuple):
    """A page of deletions, and whether others follow; `next_page_token` if that asks for them."""

    records: tuple[DeletedRecord, ...]
    more_records: bool
    next_page_token: str | None


def read_json(body: bytes) -> Any:
    """Return what a body holds. Raises BadResponse for what is no JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        kind = "nothing" if not body.strip() else "something else"
        raise BadResponse(f"the answer holds {kind} instead of JSON") from None


def read_created(answer: Any) -> Created | None:
    """Return the job of the answer to a create call; None where it names none, or an error."""
    for entry in entries(answer):
        details = entry.get("details")
        holder = details if isinstance(details, dict) else entry
        job_id = _id(holder.get("id"))
        if job_id is not None and str(entry.get("status", "success")).lower() == "success":
            state = _text(holder.get("state")) or "ADDED"
            return Created(job_id, _text(holder.get("created_time")) or "", state)
    return None


def read_status(answer: Any, job_id: str) -> JobStatus:
    """Return the status of a job. Raises BadResponse."""
    jobs = [entry for entry in entries(answer) if "state" in entry]
    job = next((entry for entry in jobs if _id(entry.get("id")) == job_id), None)
    if job is None:
        raise BadResponse(f"the answer does not tell of job {job_id}")
    state = _STATES.get(_BETWEEN_WORDS.sub(" ", str(job["state"]).strip()).upper())
    if state is None:
        raise BadResponse(f"unknown state of a job: {escape(str(job['state']), 40)}")
    result = job.get("result")
    if not isinstance(result, dict):
        result = {}
    query = job.get("query")
    told = result if state == "COMPLETED" else {}
    return JobStatus(
        job_id,
        state,
        count=_whole(told.get("count")),
        page=_whole(told.get("page")),
        more_records=_flag(told.get("more_records")),
        next_page_token=_text(told.get("next_page_token")),
        module=_name(query.get("module") if isinstance(query, dict) else None),
        file_type=_text(job.get("file_type")),
        created_time=_text(job.get("created_time")),
        failure=_failure(result, job) if state == "FAILURE" else None,
    )


def read_modules(answer: Any) -> tuple[Module, ...]:
    """Return the modules of an org. Raises BadResponse."""
    return tuple(
        Module(
            name,
            api_supported=_flag(each.get("api_supported")),
            viewable=_flag(each.get("viewable")),
            visible=_flag(each.get("visible")),
            generated_type=_text(each.get("generated_type")),
            status=_text(each.get("status")),
            plural_label=_text(each.get("plural_label")),
        )
        for each in _listed(answer, "modules")
        if (name := _text(each.get("api_name")))
    )


def read_fields(answer: Any) -> tuple[ModuleField, ...]:
    """Return the fields of a module. Raises BadResponse."""
    return tuple(
        ModuleField(
            name,
            _text(each.get("data_type")) or "",
            json_type=_text(each.get("json_type")),
            length=_whole(each.get("length")),
            decimal_place=_whole(each.get("decimal_place")),
            visible=_flag(each.get("visible")),
            virtual_field=_flag(each.get("virtual_field")),
            custom_field=_flag(each.get("custom_field")),
            lookup_module=_name(_below(each, "lookup", "module")),
            formula_type=_text(_below(each, "formula", "return_type")),
            field_label=_text(each.get("field_label")),
        )
        for each in _listed(answer, "fields")
        if (name := _text(each.get("api_name")))
    )


def read_count(answer: Any) -> int:
    """Return a number of records. Raises BadResponse."""
    count = _whole(answer.get("count")) if isinstance(answer, dict) else None
    if count is None:
        raise BadResponse("the answer holds no count")
    return count


def read_deleted(answer: Any) -> DeletedPage:
    """Return a page of deletions. Raises BadResponse, also for an entry without an id."""
    records = []
    for each in _listed(answer, "data"):
        record_id = _id(each.get("id"))
        if record_id is None:
            raise BadResponse("a deleted record without an id")
        records.append(
            DeletedRecord(
                record_id,
                display_name=_text(each.get("display_name")),
                type=_text(each.get("type")),
                deleted_time=_text(each.get("deleted_time")),
                deleted_by=_person(each.get("deleted_by")),
                created_by=_person(each.get("created_by")),
            )
        )
    more = _flag(_below(answer, "info", "more_records"))
    return DeletedPage(tuple(records), more, _text(_below(answer, "info", "next_page_token")))


def remaining_credits(headers: Mapping[str, str]) -> int | None:
    """Return what the service says remains of the day's credits; None where it does not."""
    return _whole(headers.get("X-API-CREDITS-REMAINING"))


def entries(answer: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects that an answer may be about: those in `data`, else itself."""
    held = answer.get("data", answer) if isinstance(answer, dict) else answer
    for each in held if isinstance(held, list) else [held]:
        if isinstance(each, dict):
            yield each


def _listed(answer: Any, key: str) -> list[dict[str, Any]]:
    found = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(found, list):
        raise BadResponse(f"the answer holds no list of {key}")
    return [each for each in found if isinstance(each, dict)]


def _below(holder: Any, *keys: str) -> Any:
    for key in keys:
        if not isinstance(holder, dict):
            return None
        holder = holder.get(key)
    return holder


def _failure(result: Mapping[str, Any], job: Mapping[str, Any]) -> Failure:
    said = result.get("error_message") or job.get("error_message") or result
    if isinstance(said, str):
        return Failure("FAILURE", escape(said, 300), FAILURE_HINT)
    if not isinstance(said, dict):
        return _NO_REASON
    code, message = _text(said.get("code")), _text(said.get("message"))
    if code is None and message is None:
        return _NO_REASON
    words = ": ".join(part for part in (escape(message or "", 300), describe(said)) if part)
    return Failure(escape(code or "FAILURE", 60), words, FAILURE_HINT)


def describe(error: Mapping[str, Any]) -> str:
    """Return an error's details in words: `supported: equal, in; api_name: Leads`."""
    details = error.get("details")
    if not isinstance(details, dict):
        return ""
    parts = [f"{key}: {words}" for key, value in details.items() if (words := _in_words(value))]
    return escape("; ".join(parts), 300)


def _in_words(value: Any) -> str:
    match value:
        case list():
            return ", ".join(words for each in value if (words := _in_words(each)))
        case dict():
            return _name(value) or ""
        case bool():
            return str(value).lower()
        case str() | int() | float():
            return str(value)
        case _:
            return ""


def _id(value: Any) -> str | None:
    """Return an id, which may have come as a number."""
    text = str(value) if type(value) is int else value
    return text if isinstance(text, str) and is_job_id(text) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _flag(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _whole(value: Any) -> int | None:
    """Return a number of things, which may have come as a text."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        return int(value.strip()[:18])
    return value if type(value) is int and value >= 0 else None


def _name(value: Any) -> str | None:
    """Return the name of a module, which is an object in later versions."""
    return _text(value.get("api_name")) if isinstance(value, dict) else _text(value)


def _person(value: Any) -> str | None:
    return _text(value.get("name")) if isinstance(value, dict) else _text(value)

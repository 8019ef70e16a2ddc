"""Why the service creates no export: its codes, what to do about each, and what an answer means.

Nothing was created whenever this room says so: `CreateUnknown` is the one error after which the
export may exist. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bulkfetch.control.refusals import pause_s
from bulkfetch.control.responses import Created, describe, entries, read_created, read_json
from bulkfetch.errors import (
    BadResponse,
    BulkfetchError,
    ControlPaused,
    CreateRefused,
    CreateUnknown,
    EncodedBody,
    LimitReached,
    NotAZip,
    NotReady,
    ResourceNotFound,
    ServerError,
    TooManyRequests,
    UnexpectedStatus,
)
from bulkfetch.text import escape
from bulkfetch.zoho.responses import Head, response_error

_CRITERIA = "Correct criteria: "
_FIELDS = "`bulkfetch fields` lists the fields of a module."
_COMPATIBLE = _CRITERIA + "the comparator, the value and the field's type must fit."
_BUG = "Report it: bulkfetch has sent what this version of the service does not take."
# Every code that Zoho documents for a create call, with what to do about it. They are permanent:
# the same export would be refused again.
_HINTS: Mapping[str, str] = {
    "CRITERIA_LIMIT_EXCEEDED": _CRITERIA + "there can be 25 at most.",
    "VALUE_LIMIT_EXCEEDED_IN_CRITERIA": _CRITERIA + "one may hold 200 values at most.",
    "INVALID_CRITERIA": _CRITERIA + "a field, a comparator and a value, or a group of such.",
    "AMBIGUOUS_CRITERIA": _CRITERIA + "one criterion or one group, not both.",
    "AMBIGUOUS_GROUP_IN_CRITERIA": _CRITERIA + "a group is a criterion or a group, not both.",
    "FIELD_IN_CRITERIA_NOT_SUPPORTED": _CRITERIA + "no export can be selected by this field.",
    "FIELD_IN_CRITERIA_NOT_AVAILABLE": _CRITERIA + _FIELDS,
    "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED": _CRITERIA + "take a comparator of its type.",
    "COMPARATOR_AND_VALUE_NOT_COMPATIBLE": _COMPATIBLE,
    "FIELD_AND_COMPARATOR_NOT_COMPATIBLE": _COMPATIBLE,
    "FIELD_AND_VALUE_NOT_COMPATIBLE": _COMPATIBLE,
    "VALUE_TYPE_NOT_SUPPORTED": _COMPATIBLE,
    "VALUE_IN_CRITERIA_NOT_SUPPORTED": _COMPATIBLE,
    "GROUP_OPERATOR_NOT_SUPPORTED": _CRITERIA + 'group_operator is "and" or "or".',
    "JOIN_LIMIT_EXCEEDED": "Name fewer fields of parents, such as Owner.last_name.",
    "FIELD_NOT_AVAILABLE": _FIELDS,
    "FIELD_NOT_SUPPORTED": f"Leave this field out: it cannot be exported. {_FIELDS}",
    "MODULE_NOT_AVAILABLE": "`bulkfetch modules` lists what this user may export.",
    "MODULE_NOT_SUPPORTED": "This module cannot be exported; `bulkfetch modules` lists the others.",
    "CVID_NOT_SUPPORTED": "Correct custom_view: the id of a view of this module.",
    "PAGE_RANGE_EXCEEDED": "Divide the export: with split, or by criteria.",
    "PAGE_NOT_SUPPORTED": _BUG,
    "INVALID_CALLBACK_URL": "Correct the callback's url: https, and reachable for the service.",
    "INVALID_CALLBACK_METHOD": 'Correct the callback\'s method: it is "post".',
    "REQUEST_BODY_NOT_SUPPORTED": _BUG,
    "REQUEST_BODY_NOT_READABLE": _BUG,
    "REQUEST_BODY_IS_EMPTY": _BUG,
    "INVALID_REQUEST": _BUG,
    "INVALID_DATA": "Correct what the message names.",
    "MANDATORY_NOT_FOUND": _BUG,
    "NOT_ALLOWED": "Ask the CRM administrator what this user, or this edition, may export.",
    "MEDIA_TYPE_NOT_SUPPORTED": "A proxy may be changing requests; check it.",
}


def _class(code: str, hint: str) -> type[CreateRefused]:
    name = "".join(word.capitalize() for word in code.split("_"))
    known = {"code": code, "default_hint": hint, "__module__": __name__}
    return type(name, (CreateRefused,), {"__doc__": CreateRefused.__doc__, **known})


#: By Zoho's code; every class has it as its own.
CREATE_ERRORS: Mapping[str, type[CreateRefused]] = {
    code: _class(code, hint) for code, hint in _HINTS.items()
}


def created_or_error(head: Head, body: bytes) -> Created | BulkfetchError:
    """Return what came of a create call.

    CreateUnknown means that the export may exist; with every other error it does not.
    """
    status = head.status
    answer = _json(body)
    said = error_in(answer)
    if 200 <= status < 300 and (created := read_created(answer)) is not None:
        return created
    if said is not None and status < 500:
        if (refused := CREATE_ERRORS.get(said.code)) is not None:
            return refused(said.message, http=status)
        if said.code == LimitReached.code:
            return LimitReached(said.message, http=status, retry_after_s=pause_s(head))
    error = response_error(head, body)
    match error:
        case TooManyRequests():
            return ControlPaused(error.message, http=status, retry_after_s=pause_s(head))
        case ServerError():
            return CreateUnknown(f"the service failed: {error.message}", http=status)
        case None | BadResponse() | EncodedBody() | NotAZip() | NotReady() | UnexpectedStatus():
            if said is not None and (said.explicit or status >= 300):
                return CreateRefused(f"{said.code}: {said.message}".rstrip(": "), http=status)
            if status < 300:
                return CreateUnknown("the answer cannot be read", http=status)
            return error or UnexpectedStatus(f"HTTP {status}", http=status)
        case ResourceNotFound():  # there is no job yet
            if said is not None:
                return CreateRefused(f"{said.code}: {said.message}".rstrip(": "), http=status)
            return UnexpectedStatus(error.message, http=status)
        case _:
            return error


class CreateError(NamedTuple):
    """An error in an answer: its code, message and details, escaped. `explicit`: it says so."""

    code: str
    message: str
    explicit: bool


def error_in(answer: Any) -> CreateError | None:
    """Return the error of an answer, at its top or inside `data`; None where there is none."""
    top = [answer] if isinstance(answer, dict) else []
    for entry in (*top, *entries(answer)):
        code, message = entry.get("code"), entry.get("message")
        explicit = str(entry.get("status", "")).lower() == "error"
        if isinstance(code, str) and code and (explicit or entry.get("status") != "success"):
            parts = (escape(message, 300) if isinstance(message, str) else "", describe(entry))
            words = "; ".join(part for part in parts if part)
            return CreateError(escape(code[:200], 60), words, explicit)
    return None


def _json(body: bytes) -> Any:
    try:
        return read_json(body)
    except BadResponse:
        return None

"""How Zoho puts things: addresses, error bodies, job details. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

#: code → (HTTP status, message), as documented.
ERRORS: Mapping[str, tuple[int, str]] = {
    "INVALID_URL_PATTERN": (
        404,
        "Please check if the URL trying to access is a correct one",
    ),
    "OAUTH_SCOPE_MISMATCH": (401, "Unauthorized"),
    "INVALID_TOKEN": (401, "invalid oauth token"),
    "AUTHENTICATION_FAILURE": (401, "Authentication failed"),
    "NO_PERMISSION": (403, "Permission denied to read"),
    "AUTHORIZATION_FAILED": (400, "User does not have sufficient privilege to read."),
    "INVALID_REQUEST_METHOD": (400, "The http request method type is not a valid one"),
    "RESOURCE_NOT_FOUND": (404, "The requested resource doesn't exist."),
    "INTERNAL_ERROR": (500, "Internal Server Error"),
    "TOO_MANY_REQUESTS": (429, "Too many requests. Please try again after some time."),
    "MEDIA_TYPE_NOT_SUPPORTED": (415, "Media type is not supported"),
    "INVALID_DATA": (400, "invalid data"),
    "MANDATORY_NOT_FOUND": (400, "required field not found"),
    "INVALID_MODULE": (400, "the module name given seems to be invalid"),
}

#: What only a create call is told; all of them are 400.
CREATE_ERRORS: Mapping[str, str] = {
    "REQUEST_BODY_IS_EMPTY": "The request body is empty",
    "REQUEST_BODY_NOT_READABLE": "The request body cannot be read",
    "REQUEST_BODY_NOT_SUPPORTED": "The request body is not supported",
    "INVALID_REQUEST": "The request is invalid",
    "MODULE_NOT_AVAILABLE": "The module is not available",
    "MODULE_NOT_SUPPORTED": "The module is not supported",
    "FIELD_NOT_AVAILABLE": "The field is not available",
    "FIELD_NOT_SUPPORTED": "The field is not supported",
    "JOIN_LIMIT_EXCEEDED": "The number of joins exceeds the limit",
    "CVID_NOT_SUPPORTED": "The cvid is not supported",
    "PAGE_RANGE_EXCEEDED": "The page exceeds the range",
    "PAGE_NOT_SUPPORTED": "The page is not supported",
    "INVALID_CALLBACK_URL": "The callback URL is invalid",
    "INVALID_CALLBACK_METHOD": "The callback method is invalid",
    "CRITERIA_LIMIT_EXCEEDED": "The number of criteria exceeds the limit",
    "VALUE_LIMIT_EXCEEDED_IN_CRITERIA": "The number of values exceeds the limit",
    "INVALID_CRITERIA": "The criteria are invalid",
    "AMBIGUOUS_CRITERIA": "The criteria are ambiguous",
    "AMBIGUOUS_GROUP_IN_CRITERIA": "A group in the criteria is ambiguous",
    "GROUP_OPERATOR_NOT_SUPPORTED": "The group operator is not supported",
    "FIELD_IN_CRITERIA_NOT_AVAILABLE": "A field in the criteria is not available",
    "FIELD_IN_CRITERIA_NOT_SUPPORTED": "A field in the criteria is not supported",
    "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED": "The comparator is not supported for the field",
    "COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE": "Comparator and value are not compatible",
    "VALUE_TYPE_NOT_SUPPORTED": "The type of the value is not supported",
    "VALUE_IN_CRITERIA_NOT_SUPPORTED": "A value in the criteria is not supported",
    "LIMIT_REACHED": "The limit is reached",
    "NOT_ALLOWED": "This is not allowed",
}

PAGE_TOKENS_SINCE = 7.0

Kind = Literal["result", "status", "create", "token", "modules", "fields", "count", "deleted"]

_METADATA = re.compile(
    r"/crm/v(?P<version>[2-8](?:\.\d)?)/"
    r"(?:settings/(?P<settings>modules|fields)"
    r"|(?P<module>\w{1,100})/(?P<records>actions/count|deleted))",
    re.ASCII,
)
_PATH = re.compile(
    r"/crm/(?P<bulk>bulk/)?v(?P<version>[2-8](?:\.\d)?)/read"
    r"(?:/(?P<id>[0-9]{1,20})(?P<result>/result)?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Route:
    """What an address means. `version` is 8.0 for v8. `module` is one that the path names."""

    kind: Kind
    version: float = 8.0
    job_id: str | None = None
    module: str | None = None


def route(path: str, forms: Literal["bulk", "plain", "both"]) -> Route | None:
    """Read a path; None where no such address exists."""
    if path == "/oauth/v2/token":
        return Route("token")
    if (found := _METADATA.fullmatch(path)) is not None:
        kind = found["settings"] or found["records"].removeprefix("actions/")
        return Route(cast(Kind, kind), float(found["version"]), module=found["module"])
    match = _PATH.fullmatch(path)
    if match is None or forms == ("plain" if match["bulk"] else "bulk"):
        return None
    version = float(match["version"])
    if match["id"] is None:
        return Route("create", version)
    return Route("result" if match["result"] else "status", version, match["id"])


def status_of(code: str) -> int:
    """Return the HTTP status that an error has."""
    return ERRORS[code][0] if code in ERRORS else 400


def error(code: str, message: str | None = None, details: Any = None) -> dict[str, Any]:
    """Return the body of an error. A code that nobody has documented is its own message."""
    known = ERRORS[code][1] if code in ERRORS else CREATE_ERRORS.get(code, code)
    return {
        "code": code,
        "message": known if message is None else message,
        "details": details or {},
        "status": "error",
    }


def created(job_id: str, created_time: str) -> dict[str, Any]:
    """Return the body of the answer to a create call."""
    details = {
        "id": job_id,
        "operation": "read",
        "state": "ADDED",
        "created_by": USER,
        "created_time": created_time,
    }
    return {
        "data": [
            {
                "status": "success",
                "code": "ADDED_SUCCESSFULLY",
                "message": "Added successfully.",
                "details": details,
            }
        ],
        "info": {},
    }


#: Who has created whatever is created.
USER: Mapping[str, str] = {"id": "5725767000000411001", "name": "Patricia Boyle"}

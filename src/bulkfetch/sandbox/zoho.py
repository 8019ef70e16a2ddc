"""How Zoho puts things: addresses, error bodies, job details. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

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
}

PAGE_TOKENS_SINCE = 7.0

_PATH = re.compile(
    r"/crm/(?P<bulk>bulk/)?v(?P<version>[2-8](?:\.\d)?)/read"
    r"(?:/(?P<id>[0-9]{1,20})(?P<result>/result)?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Route:
    """What an address means. `version` is 8.0 for v8."""

    kind: Literal["result", "status", "create", "token"]
    version: float = 8.0
    job_id: str | None = None


def route(path: str, forms: Literal["bulk", "plain", "both"]) -> Route | None:
    """Read a path; None where no such address exists."""
    if path == "/oauth/v2/token":
        return Route("token")
    match = _PATH.fullmatch(path)
    if match is None or forms == ("plain" if match["bulk"] else "bulk"):
        return None
    version = float(match["version"])
    if match["id"] is None:
        return Route("create", version)
    return Route("result" if match["result"] else "status", version, match["id"])


def error(code: str, message: str | None = None, details: Any = None) -> dict[str, Any]:
    """Return the body of an error."""
    return {
        "code": code,
        "message": ERRORS[code][1] if message is None else message,
        "details": details or {},
        "status": "error",
    }


def created(job_id: str, created_time: str) -> dict[str, Any]:
    """Return the body of the answer to a create call."""
    details = {
        "id": job_id,
        "operation": "read",
        "state": "ADDED",
        "created_by": _USER,
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


@dataclass(frozen=True, slots=True)
class Details:
    """What the status of a job tells, next to its state."""

    job_id: str
    state: str
    file_type: str
    query: Mapping[str, Any]
    created_time: str
    version: float
    page: int = 1
    per_page: int = 200_000
    count: int = 0
    next_page_token: str | None = None

    def body(self) -> dict[str, Any]:
        """Return the body of the answer to a status call."""
        job: dict[str, Any] = {"id": self.job_id, "operation": "read", "state": self.state}
        if self.state == "COMPLETED":
            job["result"] = self._result()
        elif self.state == "FAILURE":
            failure = error("INTERNAL_ERROR", "Internal server error occurred.")
            failure["code"] = "INTERNAL_SERVER_ERROR"
            job["result"] = {"error_message": failure}
        job["query"] = dict(self.query)
        job["created_by"] = _USER
        job["created_time"] = self.created_time
        job["file_type"] = self.file_type
        return {"data": [job]}

    def _result(self) -> dict[str, Any]:
        result: dict[str, Any] = {
            "page": self.page,
            "per_page": self.per_page,
            "count": self.count,
            "download_url": f"/crm/bulk/v{self.version:g}/read/{self.job_id}/result",
            "more_records": self.next_page_token is not None,
        }
        if self.next_page_token is not None and self.version >= PAGE_TOKENS_SINCE:
            result["next_page_token"] = self.next_page_token
        return result


_USER = {"id": "5725767000000411001", "name": "Patricia Boyle"}

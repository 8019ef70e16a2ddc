"""What each control call is: its address, its price, how much of an answer is taken. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from yarl import URL

from bulkfetch.errors import ConfigError, InvalidJobId
from bulkfetch.models import is_job_id

# How the budget tells calls apart; a `read` is metadata or a count.
Kind = Literal["create", "status", "read", "deleted"]
# What a call takes of the org's credits for 24 hours, by Zoho's price list.
CREDITS: Mapping[Kind, int] = {"create": 50, "status": 1, "read": 1, "deleted": 2}
# The metadata of a module with 500 fields and long picklists is some 2 MB.
METADATA_BYTES = 10_000_000
ANSWER_BYTES = 1_000_000
DELETED_PER_PAGE = 200

_MODULE = re.compile(r"[A-Za-z0-9_]{1,100}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `path` begins with a slash; `body` is sent as JSON, None for a GET.

    `cap_bytes` is the longest answer that is taken; `scopes` are those that the token needs.
    """

    kind: Kind
    path: str
    query: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold a page token
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    cap_bytes: int = ANSWER_BYTES
    scopes: str = "ZohoCRM.bulk.read"

    def url(self, api_domain: str) -> URL:
        """Return the address at the account's own server."""
        return URL(api_domain).join(URL(self.path)).with_query(dict(self.query))


def create_call(version: str, body: Mapping[str, Any]) -> Call:
    """Return the call that creates an export."""
    return Call("create", f"/crm/bulk/{version}/read", body=body, scopes=_create_scopes(body))


def status_call(version: str, job_id: str) -> Call:
    """Return the call that asks for a job's state. Raises InvalidJobId."""
    if not is_job_id(job_id):
        raise InvalidJobId(f"not a job id: {job_id[:40]!a}")
    return Call("status", f"/crm/bulk/{version}/read/{job_id}")


def modules_call(version: str) -> Call:
    """Return the call for the list of modules."""
    return Call(
        "read",
        f"/crm/{version}/settings/modules",
        cap_bytes=METADATA_BYTES,
        scopes="ZohoCRM.settings.modules.READ",
    )


def fields_call(version: str, module: str) -> Call:
    """Return the call for a module's fields. Raises ConfigError for no module's name."""
    return Call(
        "read",
        f"/crm/{version}/settings/fields",
        {"module": _checked(module)},
        cap_bytes=METADATA_BYTES,
        scopes="ZohoCRM.settings.fields.READ",
    )


def count_call(version: str, module: str) -> Call:
    """Return the call for a module's number of records. Raises ConfigError for no module's name."""
    name = _checked(module)
    path = f"/crm/{version}/{name}/actions/count"
    return Call("read", path, scopes=f"ZohoCRM.modules.{name}.READ")


def deleted_call(version: str, module: str, since: datetime, page: int, token: str | None) -> Call:
    """Return the call for a page of what was deleted since then, the first one without a token.

    Raises ConfigError for no module's name, ValueError for a time without a zone.
    """
    if since.tzinfo is None:
        raise ValueError("a time with a zone is needed")
    name = _checked(module)
    place = {"page": str(page)} if token is None else {"page_token": token}
    return Call(
        "deleted",
        f"/crm/{version}/{name}/deleted",
        {"type": "all", **place, "per_page": str(DELETED_PER_PAGE)},
        headers={"If-Modified-Since": since.astimezone(UTC).isoformat(timespec="seconds")},
        scopes=f"ZohoCRM.modules.{name}.READ",
    )


def _create_scopes(body: Mapping[str, Any]) -> str:
    query = body.get("query")
    module = query.get("module") if isinstance(query, Mapping) else None
    name = module.get("api_name") if isinstance(module, Mapping) else module
    known = isinstance(name, str) and _MODULE.fullmatch(name)
    return f"ZohoCRM.bulk.read and ZohoCRM.modules.{f'{name}.READ' if known else 'ALL'}"


def _checked(module: str) -> str:
    """Return a module's name, which becomes part of an address."""
    if _MODULE.fullmatch(module) is None:
        raise ConfigError(
            f"not a module's API name: {module[:64]!a}",
            hint="`bulkfetch modules` lists them: letters, digits and underscores.",
        )
    return module

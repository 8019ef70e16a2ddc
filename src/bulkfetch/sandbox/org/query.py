"""The body of a create call, read and refused as Zoho does. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from bulkfetch.sandbox.org.columns import Column, NoSuchField, OrgView, all_columns, column_of
from bulkfetch.sandbox.org.criteria import Conditions, read_criteria
from bulkfetch.sandbox.org.refusal import BadCreate
from bulkfetch.sandbox.org.specs import ModuleSpec
from bulkfetch.sandbox.org.values import class_of

OBJECT_MODULES_SINCE = 2.1  # before, modules and fields were named plainly
_CALENDAR = "Events"
_TOP = {"query", "callback", "file_type"}
_QUERY = {"module", "cvid", "fields", "criteria", "page", "page_token", "file_type"}


@dataclass(frozen=True, slots=True)
class OrgQuery:
    """What a job asks for, checked. `told` is the query as statuses repeat it, without a page."""

    module: str
    file_type: Literal["csv", "ics"]
    columns: tuple[Column, ...]
    conditions: tuple[Conditions, ...]
    told: Mapping[str, Any]


def query_part(body: Any) -> Mapping[str, Any]:
    """Return the query of a create call's body. Raises BadCreate."""
    if not isinstance(body, Mapping) or not set(body) <= _TOP:
        raise BadCreate("REQUEST_BODY_NOT_SUPPORTED")
    query = body.get("query")
    if not isinstance(query, Mapping):
        raise BadCreate("MANDATORY_NOT_FOUND", {"api_name": "query"})
    if not set(query) <= _QUERY:
        raise BadCreate("REQUEST_BODY_NOT_SUPPORTED", {"unknown": sorted(set(query) - _QUERY)})
    return query


def read_query(
    body: Mapping[str, Any],
    version: float,
    org: OrgView,
    specs: Mapping[str, ModuleSpec],
    joins_max: int,
) -> OrgQuery:
    """Read what a create call asks for. Raises BadCreate."""
    query, plain = query_part(body), version < OBJECT_MODULES_SINCE
    module = _module(query, plain)
    if module not in org or not specs[module].api_supported:
        raise BadCreate("MODULE_NOT_AVAILABLE", {"api_name": module, "reason": "no such module"})
    if not specs[module].exportable:
        raise BadCreate("MODULE_NOT_SUPPORTED", {"api_name": module})
    file_type = body.get("file_type", query.get("file_type", "csv"))
    if file_type not in ("csv", "ics") or (file_type == "ics" and module != _CALENDAR):
        raise BadCreate("INVALID_DATA", {"api_name": "file_type"})
    if file_type == "ics" and "fields" in query:
        raise BadCreate("INVALID_REQUEST", {"api_name": "fields"})
    columns = _columns(query, org, module, joins_max)
    conditions = []
    if "cvid" in query:
        views, view_id = specs[module].views, str(query["cvid"])
        if view_id not in views:
            raise BadCreate("CVID_NOT_SUPPORTED", {"cvid": query["cvid"]})
        criterion = views[view_id]
        if criterion is not None:
            conditions.append(read_criteria(criterion, org, module))
    if "criteria" in query:
        conditions.append(read_criteria(query["criteria"], org, module, plain=plain))
    told = {key: value for key, value in query.items() if key != "page"}
    told["module"] = {"id": "4150868000000002175", "api_name": module}
    return OrgQuery(module, file_type, columns, tuple(conditions), told)


def callback_of(body: Mapping[str, Any]) -> str | None:
    """Return where the end of a job is to be told; None for nowhere. Raises BadCreate."""
    callback = body.get("callback")
    if callback is None:
        return None
    if not isinstance(callback, Mapping) or callback.get("method") != "post":
        raise BadCreate("INVALID_CALLBACK_METHOD", {"supported_callback_methods": ["post"]})
    url = callback.get("url")
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        known = parts.scheme in ("http", "https") and parts.hostname
    except ValueError:
        known = None
    if not known or not isinstance(url, str):
        raise BadCreate("INVALID_CALLBACK_URL", {"supported_callback_methods": ["post"]})
    return url


def _module(query: Mapping[str, Any], plain: bool) -> str:
    module = query.get("module")
    name = module if plain else module.get("api_name") if isinstance(module, Mapping) else None
    if not isinstance(name, str) or not name:
        raise BadCreate("MANDATORY_NOT_FOUND", {"api_name": "module"})
    return name


def _columns(
    query: Mapping[str, Any], org: OrgView, module: str, joins_max: int
) -> tuple[Column, ...]:
    if "fields" not in query:
        return tuple(all_columns(org, module))
    asked = query["fields"]
    if not isinstance(asked, list) or not asked or not all(isinstance(n, str) for n in asked):
        raise BadCreate("INVALID_DATA", {"api_name": "fields"})
    columns = {"Id": column_of(org, module, "Id")}
    for name in asked:
        try:
            column = column_of(org, module, name)
        except NoSuchField:
            raise BadCreate("FIELD_NOT_AVAILABLE", {"api_name": name, "module": module}) from None
        if class_of(column.spec) == "refused":
            raise BadCreate("FIELD_NOT_SUPPORTED", {"api_name": name, "module": module})
        columns[column.name] = column
    joined = {column.lookup.api_name for column in columns.values() if column.lookup is not None}
    if len(joined) > joins_max:
        raise BadCreate("JOIN_LIMIT_EXCEEDED", {"limit": joins_max})
    return tuple(columns.values())

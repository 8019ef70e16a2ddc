"""An export → the JSON bodies with which Zoho is asked to prepare its pages. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

from bulkfetch.config import Export
from bulkfetch.config.criteria import each_criterion

# From (included) and to (excluded), None where it is open.
Range = tuple[datetime | None, datetime | None]

# The first version of the API whose further pages are asked for by token.
_BY_TOKEN = 7


def pages_by_token(version: str) -> bool:
    """Return whether a version of the API (`v8`) asks for further pages by token, not by number."""
    return int(version.removeprefix("v").partition(".")[0]) >= _BY_TOKEN


def create_body(
    export: Export,
    version: str,
    *,
    since: datetime | None = None,
    created: Range | None = None,
) -> dict[str, Any]:
    """Return the body that creates the first page of an export; `chain.body` has the others.

    `since`: what was modified from then on, by default `export.since`; `created` is one of the
    ranges of Created_Time of an export that is split. Both are floored to the second. Raises
    ValueError for a moment without its offset.
    """
    old = version == "v2"
    query: dict[str, Any] = {"module": export.module if old else {"api_name": export.module}}
    if export.custom_view is not None:
        query["cvid"] = int(export.custom_view)
    criteria = _criteria(export, since or export.since, created)
    if criteria is not None:
        query["criteria"] = _as_of_v2(criteria) if old else criteria
    if export.fields is not None:
        query["fields"] = list(export.fields)
    return {"query": query} if export.file_type == "csv" else {"query": query, "file_type": "ics"}


def query_hash(export: Export) -> str:
    """Return a digest of what the user asked for: equal where the same rows and columns are meant.

    How often, how far back, under which name and of which account make no difference.
    """
    asked = {
        "module": export.module,
        "fields": None if export.fields is None else list(export.fields),
        "custom_view": export.custom_view,
        "criteria": export.criteria,
        "file_type": export.file_type,
        "since": None if export.since is None else _stamp(export.since),
    }
    return sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _criteria(
    export: Export, since: datetime | None, created: Range | None
) -> dict[str, Any] | None:
    first, end = created or (None, None)
    bounds = [
        _compared("Modified_Time", "greater_equal", since),
        _compared("Created_Time", "greater_equal", first),
        _compared("Created_Time", "less_than", end),
    ]
    added = [bound for bound in bounds if bound is not None]
    if export.criteria is None:
        members = added
    elif not added:
        return dict(export.criteria)
    elif export.criteria.get("group_operator") == "and":
        members = [*export.criteria["group"], *added]
    else:
        members = [dict(export.criteria), *added]
    if len(members) > 1:
        return {"group_operator": "and", "group": members}
    return members[0] if members else None


def _compared(field: str, comparator: str, value: datetime | None) -> dict[str, Any] | None:
    if value is None:
        return None
    return {"comparator": comparator, "field": {"api_name": field}, "value": _stamp(value)}


def _stamp(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError("a moment needs its offset from UTC")
    return moment.replace(microsecond=0).isoformat()


def _as_of_v2(criteria: Mapping[str, Any]) -> dict[str, Any]:
    """Return criteria as version 2 has them: the field's name stands in the criterion itself."""
    if "group" in criteria:
        return {**criteria, "group": [_as_of_v2(member) for member in criteria["group"]]}
    [one] = each_criterion(criteria)
    return {"api_name": one.field, "comparator": one.comparator, "value": one.value}

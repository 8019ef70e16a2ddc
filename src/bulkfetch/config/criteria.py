"""Criteria of an export, as people write them and as Zoho's JSON has them → Zoho's JSON, checked.

A criterion is `{field = "Lead_Source", comparator = "equal", value = "Web"}`, a group
`{group_operator = "and", group = [ … ]}` of criteria and groups. Zoho writes the field as
`{"api_name": "Lead_Source"}`; its JSON may be pasted as a text, or written as tables. What the
types of fields allow only the metadata of the module can tell.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

from bulkfetch.config.misfit import Misfit, nearest

MAX_CRITERIA = 25
MAX_VALUES = 200
MAX_CHARACTERS = 255
MAX_DIGITS = 19
EMPTY = "${EMPTY}"

COMPARATORS = (
    *("equal", "not_equal", "in", "not_in", "between", "not_between"),
    *("less_than", "less_equal", "greater_than", "greater_equal"),
    *("contains", "not_contains", "starts_with", "ends_with"),
)
SEVERAL = frozenset({"in", "not_in"})
RANGES = frozenset({"between", "not_between"})
_SIGNS = dict(
    zip(
        ("=", "==", "is", "!=", "<>", "<", "<=", ">", ">="),
        ("equal", "equal", "equal", "not_equal", "not_equal", *COMPARATORS[6:10]),
        strict=True,
    )
)
_MAX_DEPTH = 10
_FIELD = re.compile(r"\$?[A-Za-z0-9_]+(\.\$?[A-Za-z0-9_]+)*", re.ASCII)
_DATE_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)([.,]\d+)?([Zz]|[+-]\d\d:?\d\d)?", re.ASCII
)
_GROUP_KEYS = ("group_operator", "group")
_CRITERION_KEYS = ("field", "comparator", "value")
_AS_IN = 'Such as "2026-09-30T02:00:01+00:00".'


class Criterion(NamedTuple):
    """One comparison, and the path to it in the criteria that it stands in."""

    field: str
    comparator: str
    value: Any
    path: tuple[str | int, ...]


def normal_criteria(given: object) -> dict[str, Any]:
    """Return criteria in Zoho's JSON form; that form itself is returned as it is.

    Raises Misfit for what Zoho does not take, whatever the module; its path leads into `given`.
    """
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            raise Misfit("must be a table, or Zoho's JSON as a text; this is no JSON") from None
    made = _normal(given, (), 0)
    require_few(made, MAX_CRITERIA)
    return made


def require_few(criteria: Mapping[str, Any], most: int) -> None:
    """Raise Misfit where there are more than `most` criteria."""
    count = sum(1 for _ in each_criterion(criteria))
    if count > most:
        raise Misfit(
            f"has {count} criteria",
            hint=f"Zoho takes at most {MAX_CRITERIA} in all, with those that bulkfetch adds for "
            'sync = "changes" (1) and split (2). Several values of one field are one criterion '
            'with comparator = "in".',
        )


def each_criterion(
    criteria: Mapping[str, Any], path: tuple[str | int, ...] = ()
) -> Iterator[Criterion]:
    """Yield each comparison of criteria in Zoho's form, in their order."""
    if "group" in criteria:
        for place, member in enumerate(criteria["group"]):
            yield from each_criterion(member, (*path, "group", place))
    else:
        field = criteria["field"]["api_name"]
        yield Criterion(field, criteria["comparator"], criteria["value"], path)


def is_field_name(text: str) -> bool:
    """Return whether a text can be a field's API name, with those of its parents before dots."""
    return _FIELD.fullmatch(text) is not None


def _normal(given: object, path: tuple[str | int, ...], depth: int) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise Misfit(
            "must be a table",
            path,
            hint='Such as { field = "Lead_Source", comparator = "equal", value = "Web" }.',
        )
    if depth > _MAX_DEPTH:
        raise Misfit("is nested too deeply", path)
    if not given.keys().isdisjoint(_GROUP_KEYS):
        _require_keys(given, _GROUP_KEYS, path)
        return _group(given, path, depth)
    if "api_name" in given and "field" not in given:  # as version 2 of Zoho's API has it
        given = {"field": given["api_name"], **{k: v for k, v in given.items() if k != "api_name"}}
    _require_keys(given, _CRITERION_KEYS, path)
    comparator = _comparator(given["comparator"], (*path, "comparator"))
    return {
        "comparator": comparator,
        "field": {"api_name": _field(given["field"], (*path, "field"))},
        "value": _value(given["value"], comparator, (*path, "value")),
    }


def _group(given: Mapping[str, Any], path: tuple[str | int, ...], depth: int) -> dict[str, Any]:
    operator, members = given["group_operator"], given["group"]
    if operator not in ("and", "or"):
        raise Misfit("must be 'and' or 'or'", (*path, "group_operator"))
    if not isinstance(members, list | tuple) or not members:
        raise Misfit("must be a list of criteria", (*path, "group"))
    made = [_normal(each, (*path, "group", at), depth + 1) for at, each in enumerate(members)]
    return made[0] if len(made) == 1 else {"group_operator": operator, "group": made}


def _require_keys(
    given: Mapping[str, Any], known: tuple[str, ...], path: tuple[str | int, ...]
) -> None:
    for key in given:
        if key not in known:
            raise Misfit("is unknown", (*path, str(key)), known=known)
    for key in known:
        if key not in given:
            raise Misfit("is missing", (*path, key))


def _field(given: object, path: tuple[str | int, ...]) -> str:
    name = given.get("api_name") if isinstance(given, Mapping) else given
    if not isinstance(name, str) or not is_field_name(name):
        raise Misfit("must be a field's API name such as Last_Name or Owner.last_name", path)
    return name


def _comparator(given: object, path: tuple[str | int, ...]) -> str:
    if given in COMPARATORS:
        return str(given)
    word = given.strip().lower().replace(" ", "_") if isinstance(given, str) else ""
    like = _SIGNS.get(word) or nearest(word, COMPARATORS)
    hint = f'did you mean "{like}"? ' if like else ""
    raise Misfit("must be a comparator", path, hint=f"{hint}Available: {', '.join(COMPARATORS)}.")


def _value(given: object, comparator: str, path: tuple[str | int, ...]) -> Any:
    several = isinstance(given, list | tuple)
    if comparator in SEVERAL | RANGES:
        if not isinstance(given, list | tuple) or not given:
            raise Misfit(f"must be a list of values for {comparator}", path)
        if comparator in RANGES and len(given) != 2:
            raise Misfit(f"must be a list of two values for {comparator}", path)
        if len(given) > MAX_VALUES:
            raise Misfit(
                f"has {len(given)} values",
                path,
                hint=f"Zoho takes at most {MAX_VALUES} in one criterion; put the others into a "
                'second one, in a group with group_operator = "or".',
            )
        return [_scalar(each, (*path, place)) for place, each in enumerate(given)]
    if several:
        raise Misfit(
            f"must be one value for {comparator}",
            path,
            hint='Several values go with comparator = "in" or "not_in", two with "between".',
        )
    return _scalar(given, path)


def _scalar(given: object, path: tuple[str | int, ...]) -> str | int | float | bool:
    if isinstance(given, bool):
        return given
    if isinstance(given, date):  # of TOML; a date-time too
        given = given.isoformat()
    if isinstance(given, str):
        if len(given) > MAX_CHARACTERS:
            raise Misfit(
                f"has {len(given)} characters",
                path,
                hint=f"Zoho compares texts of at most {MAX_CHARACTERS}.",
            )
        match = _DATE_TIME.fullmatch(given)
        return given if match is None else _date_time(match, path)
    if isinstance(given, int):
        if abs(given) >= 10**MAX_DIGITS:
            raise Misfit(f"must be a number of at most {MAX_DIGITS} digits", path)
        return given
    if isinstance(given, float) and math.isfinite(given):
        return given
    hint = f'For fields that are empty write value = "{EMPTY}".' if given is None else ""
    raise Misfit("must be a text, a number, a date or true or false", path, hint=hint)


def _date_time(match: re.Match[str], path: tuple[str | int, ...]) -> str:
    """Return a date-time as Zoho takes it: ISO 8601 with its offset, without milliseconds."""
    day, clock, fraction, offset = match.groups()
    if fraction is not None:
        raise Misfit("must be a date-time without milliseconds", path, hint=_AS_IN)
    if offset is None:
        raise Misfit("must be a date-time with its offset from UTC", path, hint=_AS_IN)
    try:
        return datetime.fromisoformat(f"{day}T{clock}{offset.upper()}").isoformat()
    except ValueError:
        raise Misfit("must be a date-time that there is", path, hint=_AS_IN) from None

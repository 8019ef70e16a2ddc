"""Criteria: read and refused as Zoho does, then asked of columns of values. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from bulkfetch.sandbox.org.columns import Column, NoSuchField, OrgView, column_of
from bulkfetch.sandbox.org.refusal import BadCreate
from bulkfetch.sandbox.org.values import Value, ValueClass, class_of

MOST_CRITERIA = 25
MOST_VALUES = 200
MOST_LETTERS = 255
MOST_DIGITS = 19
EMPTY = "${EMPTY}"

_BASIC = ("equal", "not_equal", "in", "not_in")
_ORDER = ("less_than", "less_equal", "greater_than", "greater_equal")
COMPARATORS: Mapping[ValueClass, tuple[str, ...]] = {
    "number": (*_BASIC, *_ORDER),
    "text": (*_BASIC, "contains", "not_contains", "starts_with", "ends_with"),
    "date": (*_BASIC, "between", "not_between", *_ORDER),
    "datetime": (*_BASIC, "between", "not_between", *_ORDER),
    "boolean": ("equal",),
    "lookup": _BASIC,
    "refused": (),
}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([+-]\d\d:\d\d|Z)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)

Test = Callable[[Value], bool]


@dataclass(frozen=True, slots=True)
class Condition:
    """One criterion: a column, and which of its values pass."""

    column: Column
    passes: Test


@dataclass(frozen=True, slots=True)
class ConditionGroup:
    """Some criteria of which all must pass, or one."""

    operator: Literal["and", "or"]
    members: tuple[Condition | ConditionGroup, ...]


Conditions = Condition | ConditionGroup


def read_criteria(given: Any, org: OrgView, module: str, *, plain: bool = False) -> Conditions:
    """Read criteria in Zoho's JSON form; `plain`: fields by `api_name`, as v2 does.

    Raises BadCreate.
    """
    if sum(1 for _ in _leaves(given)) > MOST_CRITERIA:
        raise BadCreate("CRITERIA_LIMIT_EXCEEDED", {"limit": MOST_CRITERIA})
    return _node(given, org, module, plain)


def passing(conditions: Conditions, values: Callable[[Column], list[Value]]) -> list[bool]:
    """Say of each row whether it passes; `values` gives a column of them."""
    if isinstance(conditions, Condition):
        passes = conditions.passes
        return [passes(value) for value in values(conditions.column)]
    rows = zip(*(passing(member, values) for member in conditions.members), strict=True)
    decide = all if conditions.operator == "and" else any
    return [decide(row) for row in rows]


def _leaves(given: Any) -> Iterator[Any]:
    if isinstance(given, Mapping) and isinstance(given.get("group"), list):
        for member in given["group"]:
            yield from _leaves(member)
    else:
        yield given


def _node(given: Any, org: OrgView, module: str, plain: bool) -> Conditions:
    if not isinstance(given, Mapping):
        raise BadCreate("INVALID_CRITERIA", {"criteria": given})
    if "group" in given and ("comparator" in given or "field" in given):
        raise BadCreate("AMBIGUOUS_CRITERIA", given)
    if "group" not in given and "group_operator" not in given:
        return _leaf(given, org, module, plain)
    group, operator = given.get("group"), given.get("group_operator")
    if not isinstance(group, list) or len(group) < 2 or operator is None:
        if isinstance(group, list) and len(group) == 1 and operator is not None:
            return _node(group[0], org, module, plain)
        raise BadCreate("AMBIGUOUS_GROUP_IN_CRITERIA", given)
    if operator not in ("and", "or"):
        raise BadCreate("GROUP_OPERATOR_NOT_SUPPORTED", {"supported": ["and", "or"]})
    return ConditionGroup(operator, tuple(_node(each, org, module, plain) for each in group))


def _leaf(given: Mapping[str, Any], org: OrgView, module: str, plain: bool) -> Condition:
    field = given.get("field")
    name = given.get("api_name") if plain else None
    if isinstance(field, Mapping):
        name = field.get("api_name")
    comparator = given.get("comparator")
    if not isinstance(name, str) or not isinstance(comparator, str) or "value" not in given:
        raise BadCreate("INVALID_CRITERIA", {"criteria": given})
    try:
        column = column_of(org, module, name)
    except NoSuchField:
        raise BadCreate("FIELD_IN_CRITERIA_NOT_AVAILABLE", {"api_name": name}) from None
    kind = class_of(column.spec)
    if kind == "refused":
        raise BadCreate("FIELD_IN_CRITERIA_NOT_SUPPORTED", {"api_name": name})
    if comparator not in COMPARATORS[kind]:
        raise BadCreate(
            "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED",
            {"api_name": name, "supported": list(COMPARATORS[kind])},
        )
    wanted = _wanted(kind, name, comparator, given["value"])
    return Condition(column, _test(kind, comparator, wanted))


def _wanted(kind: ValueClass, name: str, comparator: str, given: Any) -> list[Value]:
    several = comparator in ("in", "not_in", "between", "not_between")
    if several != isinstance(given, list) or (comparator.endswith("between") and len(given) != 2):
        raise BadCreate(
            "COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
            {"api_name": name, "comparator": comparator, "type": kind, "value": given},
        )
    if several and len(given) > MOST_VALUES:
        raise BadCreate(
            "VALUE_LIMIT_EXCEEDED_IN_CRITERIA", {"api_name": name, "limit": MOST_VALUES}
        )
    if several and not given:
        raise BadCreate("VALUE_IN_CRITERIA_NOT_SUPPORTED", {"api_name": name})
    read = [_one(kind, name, value) for value in (given if several else [given])]
    if None in read and comparator not in ("equal", "not_equal", "in", "not_in"):
        raise BadCreate("VALUE_IN_CRITERIA_NOT_SUPPORTED", {"api_name": name, "value": EMPTY})
    return read


def _one(kind: ValueClass, name: str, given: Any) -> Value:
    """Return a value as columns have them; None for `${EMPTY}`."""
    if given == EMPTY and kind != "boolean":
        return None
    if not _READABLE[kind](given):
        raise BadCreate("VALUE_TYPE_NOT_SUPPORTED", {"api_name": name, "type": kind})
    if not _in_bounds(kind, given):
        raise BadCreate("VALUE_IN_CRITERIA_NOT_SUPPORTED", {"api_name": name, "value": given})
    if kind == "datetime":
        return int(datetime.fromisoformat(given).timestamp())
    if kind == "lookup":
        return int(given)
    if kind == "number":
        return given if not isinstance(given, str) else float(given) if "." in given else int(given)
    return str(given).casefold() if kind == "text" else given


_READABLE: Mapping[ValueClass, Callable[[Any], bool]] = {
    "number": lambda given: (
        (isinstance(given, (int, float)) and not isinstance(given, bool))
        or (isinstance(given, str) and re.fullmatch(r"-?\d+(\.\d+)?", given) is not None)
    ),
    "text": lambda given: isinstance(given, str),
    "boolean": lambda given: isinstance(given, bool),
    "lookup": lambda given: (
        (isinstance(given, int) and not isinstance(given, bool))
        or (isinstance(given, str) and given.isdecimal())
    ),
    "date": lambda given: isinstance(given, str) and _DAY.fullmatch(given) is not None,
    "datetime": lambda given: isinstance(given, str) and _MOMENT.fullmatch(given) is not None,
}


def _in_bounds(kind: ValueClass, given: Any) -> bool:
    if kind == "text":
        return 0 < len(given) <= MOST_LETTERS
    if kind in ("number", "lookup"):
        return len(str(given).lstrip("-").partition(".")[0]) <= MOST_DIGITS
    try:
        if kind == "date":
            date.fromisoformat(given)
        elif kind == "datetime":
            datetime.fromisoformat(given)
    except ValueError:
        return False
    return True


def _test(kind: ValueClass, comparator: str, wanted: list[Value]) -> Test:
    if comparator.startswith("not_"):
        opposite = _test(kind, comparator.removeprefix("not_"), wanted)
        return lambda value: not opposite(value)
    fold: Callable[[Value], Value] = lambda value: value  # noqa: E731
    if kind == "text":
        fold = lambda value: None if value in (None, "") else str(value).casefold()  # noqa: E731
    if comparator in ("equal", "in"):
        among = set(wanted)
        return lambda value: fold(value) in among
    if comparator == "between":
        low, high = wanted
        return lambda value: value is not None and low <= value <= high  # type: ignore[operator]  # of one class
    compare = _COMPARES[comparator]
    [bound] = wanted
    return lambda value: (folded := fold(value)) is not None and compare(folded, bound)


_COMPARES: Mapping[str, Callable[[Any, Any], bool]] = {
    "less_than": lambda value, bound: value < bound,
    "less_equal": lambda value, bound: value <= bound,
    "greater_than": lambda value, bound: value > bound,
    "greater_equal": lambda value, bound: value >= bound,
    "contains": lambda value, part: part in value,
    "starts_with": lambda value, part: value.startswith(part),
    "ends_with": lambda value, part: value.endswith(part),
}

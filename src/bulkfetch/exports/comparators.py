"""Which comparisons a type of field takes, and with which values. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import NamedTuple

_EQUAL = ("equal", "not_equal", "in", "not_in")
_ORDER = ("less_than", "less_equal", "greater_than", "greater_equal")
_PLACEHOLDER = re.compile(r"\$\{[A-Za-z_]+\}", re.ASCII)


class FieldKind(NamedTuple):
    """A kind of fields: its comparators, and what a value must be, in words and as a check."""

    comparators: tuple[str, ...]
    should: str
    fits: Callable[[object], bool]


def _is_number(value: object) -> bool:
    if isinstance(value, str):  # big integers may be written as texts
        return re.fullmatch(r"-?[0-9]{1,19}(\.[0-9]+)?", value, re.ASCII) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_date(value: object) -> bool:
    return isinstance(value, str) and len(value) == 10 and _parses(date.fromisoformat, value)


def _is_date_time(value: object) -> bool:
    return isinstance(value, str) and "T" in value and _parses(datetime.fromisoformat, value)


def _parses(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _is_id(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return False
    return re.fullmatch(r"[0-9]{1,19}", str(value), re.ASCII) is not None


_NUMBER = FieldKind((*_EQUAL, *_ORDER), "a number", _is_number)
_TEXT = FieldKind(
    (*_EQUAL, "contains", "not_contains", "starts_with", "ends_with"),
    "a text in quotes",
    lambda value: isinstance(value, str),
)
_DATE = FieldKind(
    (*_EQUAL, "between", "not_between", *_ORDER), 'a date such as "2026-09-30"', _is_date
)
_DATE_TIME = _DATE._replace(
    should='a date-time such as "2026-09-30T02:00:01+00:00"', fits=_is_date_time
)
_BOOLEAN = FieldKind(("equal",), "true or false", lambda value: isinstance(value, bool))
_LOOKUP = FieldKind(_EQUAL, 'the id of a record in quotes, or "${EMPTY}"', _is_id)
LOOKUPS = frozenset(
    {"lookup", "ownerlookup", "userlookup", "multi_module_lookup", "consent_lookup"}
)
_KINDS: Mapping[str, FieldKind] = {
    **dict.fromkeys(("integer", "bigint", "double", "decimal", "currency", "percent"), _NUMBER),
    **dict.fromkeys(("text", "textarea", "email", "phone", "website", "autonumber"), _TEXT),
    **dict.fromkeys(("picklist", "multiselectpicklist", "string"), _TEXT),
    "date": _DATE,
    "datetime": _DATE_TIME,
    "boolean": _BOOLEAN,
    **dict.fromkeys(LOOKUPS, _LOOKUP),
}


def kind_of(data_type: str, formula_type: str | None) -> FieldKind | None:
    """Return what a type of field takes; None where nobody has said.

    A formula is of the type that it returns.
    """
    return _KINDS.get(formula_type or "" if data_type == "formula" else data_type)


def is_placeholder(value: object) -> bool:
    """Return whether a value is one that Zoho replaces, such as `${EMPTY}`."""
    return isinstance(value, str) and _PLACEHOLDER.fullmatch(value) is not None

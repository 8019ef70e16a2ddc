"""Values of fields: made by the column, read from a test's hand, and written into CSV cells. Pure.

A value is what criteria compare: str, int, float, bool or None; date-times are seconds since 1970,
dates are text in ISO form, lookups the id of the other record.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from random import Random
from typing import Any, Literal

from bulkfetch.sandbox.org.specs import FieldSpec
from bulkfetch.sandbox.words import CITY, COMPANY, FIRST, LAND, LAST, PHRASE, STREET, TITLE

Value = str | int | float | bool | None
ValueClass = Literal["text", "number", "boolean", "date", "datetime", "lookup", "refused"]
Zones = Literal["mixed", "org", "utc"]

ORG_ZONE = timezone(timedelta(hours=-7))
BEGIN_S = int(datetime(2021, 1, 1, tzinfo=UTC).timestamp())  # of what was there before the server
SPAN_S = 4 * 365 * 86_400
_CHANGE_S = 300 * 86_400

_ZONES = tuple(timezone(timedelta(minutes=minutes)) for minutes in (-420, 0, 60, 330, 600))
_CLASSES: dict[str, ValueClass] = {
    **dict.fromkeys(("integer", "bigint", "double", "currency", "percent"), "number"),
    **dict.fromkeys(("lookup", "ownerlookup", "userlookup", "multi_module_lookup"), "lookup"),
    **dict.fromkeys(("fileupload", "multiselectlookup", "multiuserlookup", "subform"), "refused"),
    "boolean": "boolean",
    "date": "date",
    "datetime": "datetime",
}


def class_of(spec: FieldSpec) -> ValueClass:
    """Return how a field's values are compared; "refused" where it cannot be exported."""
    kind = spec.data_type
    if kind in ("formula", "rollup_summary"):
        return "number" if spec.returns == "double" else spec.returns
    return _CLASSES.get(kind, "text") if spec.exportable else "refused"


def id_base(module: str) -> int:
    """Return the id of the first record of a module; the others follow in steps of 3."""
    return 554_023_000_000_000_001 + (zlib.crc32(module.encode()) % 9_000 + 10) * 10**8


def id_of(module: str, number: int) -> int:
    """Return the id of a record."""
    return id_base(module) + 3 * number


def number_of(module: str, record_id: int) -> int | None:
    """Return which record of a module has an id; None where that cannot be one of its ids."""
    number, rest = divmod(record_id - id_base(module), 3)
    return None if rest or number < 0 else number


def created_times(first: int, count: int, total: int) -> list[int]:
    """Return when generated records were created: the later, the greater their number."""
    return [BEGIN_S + SPAN_S * n // max(1, total) for n in range(first, first + count)]


def column(
    spec: FieldSpec, seed: str, first: int, count: int, parents: tuple[str, int] | None
) -> list[Value]:
    """Return the values of generated records; `parents` is the module of a lookup and its size.

    `seed` names field and block, so that each column can be made without the others.
    """
    rng = Random(seed)
    kind = class_of(spec)
    if kind == "refused":
        return [None] * count
    if spec.data_type == "autonumber":
        return [f"No. {n + 1}" for n in range(first, first + count)]
    if spec.data_type == "email":
        return [_email(rng, n) for n in range(first, first + count)]
    pool = _parents(parents) if kind == "lookup" else list(_pool(spec, kind))
    if not pool or spec.filled == 0:
        return [None] * count
    pool += [None] * round(len(pool) * (1 - spec.filled) / spec.filled)
    return rng.choices(pool, k=count)


def modified_times(seed: str, created: list[int]) -> list[Value]:
    """Return when records were last changed: between their creation and 300 days after it."""
    rng = Random(seed)
    changes = [0, 0, *(rng.randrange(_CHANGE_S) for _ in range(500))]
    picks = rng.choices(changes, k=len(created))
    return [when + change for when, change in zip(created, picks, strict=True)]


def _email(rng: Random, number: int) -> str | None:
    return None if rng.random() < 0.1 else f"person.{number}@example.com"


def _parents(parents: tuple[str, int] | None) -> list[Value]:
    if parents is None:
        return []
    return [id_of(parents[0], number) for number in range(min(parents[1], 500))]


@lru_cache(maxsize=512)
def _pool(spec: FieldSpec, kind: ValueClass) -> tuple[Value, ...]:
    rng = Random(spec.api_name)
    if kind == "boolean":
        return (True, False, False)
    if kind == "number":
        return tuple(_number(rng, spec) for _ in range(2_000))
    if kind == "date":
        return tuple(
            (date(2021, 1, 1) + timedelta(days=rng.randrange(1_500))).isoformat()
            for _ in range(900)
        )
    if kind == "datetime":
        return tuple(BEGIN_S + rng.randrange(SPAN_S) for _ in range(2_000))
    if spec.values and spec.data_type == "multiselectpicklist":
        return tuple(";".join(rng.sample(spec.values, k=rng.randrange(1, 3))) for _ in range(50))
    return spec.values or tuple(_text(rng, spec) for _ in range(1_000))


def _number(rng: Random, spec: FieldSpec) -> int | float:
    if spec.data_type == "bigint":
        return rng.randrange(10**14)
    if spec.data_type == "integer":
        return rng.randrange(1, 50_000)
    if spec.data_type == "percent":
        return rng.randrange(101)
    return rng.randrange(10**8) / 100


def _text(rng: Random, spec: FieldSpec) -> str:
    name, kind = spec.api_name.lower(), spec.data_type
    if kind == "textarea" and "street" not in name:
        return "\n".join(rng.choice(PHRASE) for _ in range(rng.randrange(1, 4)))
    for word, make in _TEXTS.items():
        if word in (kind, name) or name.endswith(f"_{word}"):
            return make(rng)
    return f"{spec.api_name} {rng.randrange(10_000)}"


_TEXTS: dict[str, Callable[[Random], str]] = {
    "phone": lambda rng: f"+{rng.randrange(1, 99)} {rng.randrange(10**8, 10**9)}",
    "website": lambda rng: f"https://www.example.com/{rng.randrange(1_000)}",
    "first_name": lambda rng: rng.choice(FIRST),
    "last_name": lambda rng: rng.choice(LAST),
    "full_name": lambda rng: f"{rng.choice(FIRST)} {rng.choice(LAST)}",
    "account_name": lambda rng: f"{rng.choice(COMPANY)} {rng.randrange(1_000)}, Ltd.",
    "company": lambda rng: f'{rng.choice(COMPANY)} "{rng.randrange(1_000)}"',
    "designation": lambda rng: rng.choice(TITLE),
    "city": lambda rng: rng.choice(CITY),
    "country": lambda rng: rng.choice(LAND),
    "street": lambda rng: f"{rng.choice(STREET)} {rng.randrange(300)}\nFloor {rng.randrange(9)}",
}


# --- from a test's hand, and into cells -----------------------------------------------------------


def value_of(spec: FieldSpec, given: Any) -> Value:
    """Return the value that a test or a program gives a field. Raises ValueError."""
    kind = class_of(spec)
    if given is None or given == "":
        return None
    if kind == "datetime" and isinstance(given, (str, datetime)):
        when = datetime.fromisoformat(given) if isinstance(given, str) else given
        return int(when.timestamp())
    if kind == "lookup":
        return int(given)
    if isinstance(given, date):
        return given.isoformat()
    if isinstance(given, (str, int, float, bool)):
        return given
    raise ValueError(f"{spec.api_name} takes no {type(given).__name__}")


def stamp(seconds: float, zone: timezone = ORG_ZONE) -> str:
    """Return seconds since 1970 as Zoho writes date-times: whole seconds with an offset."""
    return datetime.fromtimestamp(int(seconds), zone).isoformat()


def texts(spec: FieldSpec, column: Iterable[Value], zones: Zones) -> list[str]:
    """Return a column as text; null and the empty string alike are empty."""
    kind = class_of(spec)
    if kind == "datetime":
        return [_moment(value, zones) for value in column]
    if kind == "boolean":
        return ["" if value is None else "true" if value else "false" for value in column]
    return ["" if value is None else str(value) for value in column]


def cells(spec: FieldSpec, column: Iterable[Value], zones: Zones) -> list[str]:
    """Return a column as cells of a CSV, quoted where they must be."""
    if class_of(spec) != "text":
        return texts(spec, column, zones)
    known: dict[Value, str] = {None: ""}
    return [
        known[text] if text in known else known.setdefault(text, _quoted(str(text)))
        for text in column
    ]


def _moment(value: Value, zones: Zones) -> str:
    if value is None:
        return ""
    seconds = int(value)
    if zones == "mixed":
        return stamp(seconds, _ZONES[seconds % len(_ZONES)])
    return stamp(seconds, ORG_ZONE if zones == "org" else UTC)


def _quoted(text: str) -> str:
    if any(mark in text for mark in ',"\n\r'):
        return '"' + text.replace('"', '""') + '"'
    return text

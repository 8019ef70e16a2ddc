"""What one export is to bring: `[[exports]]` of jobs.toml, and `Export` in code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema

from bulkfetch.config import fields as kinds
from bulkfetch.config.bucket import PublishTo
from bulkfetch.config.criteria import (
    COMPARATORS,
    MAX_CRITERIA,
    is_field_name,
    normal_criteria,
    require_few,
)
from bulkfetch.config.misfit import Misfit
from bulkfetch.config.quantities import DURATION_PATTERN, parse_duration
from bulkfetch.config.tables import Table, setting
from bulkfetch.filenames import unsafe_stem

_DAY_S = 86_400
_NAME_PATTERN = r"^\$?[A-Za-z0-9_]+(\.\$?[A-Za-z0-9_]+)*$"


def _field_names(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        raise Misfit("must be a list", hint='Such as ["Last_Name", "Owner.last_name"].')
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list")
    if not value:
        raise Misfit("is empty", hint="Omit it for all fields.")
    for place, name in enumerate(value):
        if not isinstance(name, str) or not is_field_name(name):
            raise Misfit("must be a field's API name such as Last_Name", (place,))
        if name in value[:place]:
            raise Misfit(f"names {name} a second time", (place,))
    return tuple(value)


def _date_time(value: object) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("must be a date-time with its offset from UTC")
    return value


def _word(text: str) -> str:
    if " " in text.strip():
        raise Misfit(
            "must be a module's API name",
            hint="API names have underscores for spaces, such as Sales_Orders.",
        )
    return text


_DURATION_SCHEMA = WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN})
_CRITERION_SCHEMA = {
    "type": "object",
    "properties": {
        "field": {
            "anyOf": [
                {"type": "string", "pattern": _NAME_PATTERN},
                {"type": "object", "required": ["api_name"]},
            ]
        },
        "api_name": {"type": "string", "pattern": _NAME_PATTERN},
        "comparator": {"enum": list(COMPARATORS)},
        "value": {},
        "group_operator": {"enum": ["and", "or"]},
        "group": {"type": "array", "minItems": 1, "items": {"type": "object"}},
    },
    "anyOf": [
        {"required": ["field", "comparator", "value"]},
        {"required": ["api_name", "comparator", "value"]},
        {"required": ["group_operator", "group"]},
    ],
    "additionalProperties": False,
}

ModuleName = Annotated[
    kinds.Text,
    kinds.Matches(r"[A-Za-z][A-Za-z0-9_]{0,99}", "a module's API name such as Leads"),
    BeforeValidator(lambda value: _word(value) if isinstance(value, str) else value),
    Field(description="The module's API name; `bulkfetch modules` lists them."),
]
FieldNames = Annotated[
    Sequence[str],
    PlainValidator(_field_names),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "string", "pattern": _NAME_PATTERN},
            "minItems": 1,
            "uniqueItems": True,
        }
    ),
]
CriteriaTable = Annotated[
    Mapping[str, Any],
    PlainValidator(normal_criteria),
    WithJsonSchema({"anyOf": [{"type": "string"}, _CRITERION_SCHEMA]}),
]
ViewId = Annotated[
    kinds.Text,
    kinds.Matches(r"[0-9]{1,19}", "the id of a custom view: digits such as 5725767000000087501"),
    kinds.no_number("custom_view", "5725767000000087501"),
]
Overlap = Annotated[
    float, Field(ge=0, le=30 * _DAY_S), BeforeValidator(parse_duration), _DURATION_SCHEMA
]
FullEvery = Annotated[
    float, Field(gt=0, le=366 * _DAY_S), BeforeValidator(parse_duration), _DURATION_SCHEMA
]
AwareTime = Annotated[datetime, PlainValidator(_date_time)]


class ExportKeys(Table):
    """What an export is told alike in jobs.toml and in code.

    `criteria` are in Zoho's JSON form once they are checked. `custom_view` is an id.
    """

    module: ModuleName
    name: kinds.Stem | None = setting(None, "The folder below out; the default is the module.")
    account: kinds.Text | None = setting(
        None, "Needed where there are several accounts; in FLEET.toml the default is each of them."
    )
    fields: FieldNames | None = setting(None, "API names; all fields by default.")
    custom_view: ViewId | None = setting(None, "The id of a view: only the records it shows.")
    criteria: CriteriaTable | None = setting(None, "One criterion, a group, or Zoho's JSON.")
    sync: Literal["full", "changes"] = setting(
        "full", "Everything each time, or what changed since the last complete export."
    )
    deleted: kinds.Flag = setting(False, 'With sync = "changes": deleted.csv.')
    split: Annotated[kinds.Whole, Field(ge=1, le=100)] = setting(
        1, "So many chains side by side, by ranges of Created_Time."
    )
    file_type: Literal["csv", "ics"] = setting("csv", "ics is for Events only.")
    publish_to: PublishTo | None = setting(
        None, "A bucket for this export; default: as its account has it, or the top level."
    )

    def __post_init__(self) -> None:
        if not self.name and (reason := unsafe_stem(self.module)) is not None:
            raise Misfit(f"cannot be a folder's name: it {reason}", ("module",), hint="Add a name.")
        if self.file_type == "ics" and self.module != "Events":
            raise Misfit("must be 'csv'", ("file_type",), hint="Only Events can be had as ICS.")
        if self.file_type == "ics" and self.fields is not None:
            raise Misfit(
                'cannot be chosen with file_type = "ics"', ("fields",), hint="Remove fields."
            )
        if self.deleted and self.sync != "changes":
            raise Misfit(
                'is for sync = "changes"',
                ("deleted",),
                hint="A full export holds what there is; remove deleted, or change sync.",
            )
        if self.criteria is not None:
            try:
                require_few(self.criteria, MAX_CRITERIA - self.own_criteria)
            except Misfit as found:
                raise found.below("criteria") from None

    @property
    def own_criteria(self) -> int:
        """How many criteria bulkfetch adds to those of the user."""
        return (self.sync == "changes") + 2 * (self.split > 1)


class ExportTable(ExportKeys):
    """One `[[exports]]` table. `account` None: the one that there is. Durations in seconds."""

    overlap: Overlap = setting(600.0, "How far each export of changes reaches back.")
    full_every: FullEvery | None = setting(
        None, "So often everything again: formulas, roll-ups, parents' columns, deletions."
    )


class Export(ExportKeys):
    """One module to be exported whole, or what has changed in it: what `Client.export` takes.

    Made with keywords; `fields` are API names in any sequence, None for all; `criteria` a
    criterion or a group as in jobs.toml, or Zoho's JSON. `name` is the folder, the module's by
    default; `account` None: the one that ids without an account belong to. With sync = "changes",
    `overlap_s` is how far each export reaches back behind the one before, and after `full_every_s`
    (None: never) everything is exported again. `since` asks for what was modified from then on.
    `index` is which of a file's [[exports]] it is, from 0; None in code.

    Raises ConfigError for what Zoho would not take, whatever the module.
    """

    name: kinds.Stem = ""
    overlap_s: Annotated[float, Field(ge=0, le=30 * _DAY_S)] = 600.0
    full_every_s: Annotated[float, Field(gt=0, le=366 * _DAY_S)] | None = None
    since: AwareTime | None = None
    index: int | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.name:
            object.__setattr__(self, "name", self.module)

    @property
    def own_criteria(self) -> int:
        """How many criteria bulkfetch adds to those of the user."""
        return (self.sync == "changes" or self.since is not None) + 2 * (self.split > 1)

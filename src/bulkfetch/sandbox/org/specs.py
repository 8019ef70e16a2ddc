"""What an org is told: modules, fields, custom views, and what is to become of jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

# Bounds hold for what is read from JSON, where the slips of the hand are.
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Above0 = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
CONFIG = ConfigDict(extra="forbid", val_json_bytes="base64", ser_json_bytes="base64")

DataType = Literal[
    "text", "textarea", "email", "phone", "website", "picklist", "multiselectpicklist", "boolean",
    "integer", "bigint", "double", "currency", "percent", "date", "datetime", "lookup",
    "ownerlookup", "userlookup", "multi_module_lookup", "autonumber", "formula", "rollup_summary",
    "RRULE", "ALARM", "event_reminder", "profileimage", "imageupload", "fileupload",
    "multiselectlookup", "multiuserlookup", "subform", "consent_lookup",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field of a module.

    `module` is where a lookup leads. `returns` is the type of a formula or roll-up. `values` are
    those of a picklist. `filled` is the share of generated records that have a value. `listed`: the
    metadata tells it. `selected`: it is exported when a job names no fields. `exportable` False:
    refused by name and left out otherwise, although the metadata has it.
    """

    __pydantic_config__ = CONFIG

    api_name: str
    data_type: DataType = "text"
    module: str | None = None
    returns: Literal["text", "double", "boolean", "date", "datetime"] = "double"
    values: tuple[str, ...] = ()
    filled: Share = 0.9
    length: Positive = 255
    decimal_place: Count = 2
    listed: bool = True
    selected: bool = True
    exportable: bool = True
    visible: bool = True
    custom: bool = False


@dataclass(frozen=True, slots=True)
class ModuleSpec:
    """One module; for the name of a standard one, what of it is different.

    `records` None: as many as the sandbox's `module_records`. `fields` come on top of the standard
    module's own; a name that it has is replaced. `only_fields`: they are all it has, besides Id.
    `timed` False: a module without Created_Time and Modified_Time. `views` maps ids of custom views
    to their criterion in Zoho's JSON form, None is all. `fields_known` False: asking for its fields
    is answered with 204. `exportable` False: listed, yet refused on create. `prepare_s` None: the
    sandbox's.
    """

    __pydantic_config__ = CONFIG

    records: Count | None = None
    fields: tuple[FieldSpec, ...] = ()
    only_fields: bool = False
    timed: bool = True
    views: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    fields_known: bool = True
    api_supported: bool = True
    exportable: bool = True
    generated_type: Literal["default", "web", "custom", "linking", "subform"] = "default"
    prepare_s: Seconds | None = None


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What is to become of a job that is created; one is used up by each create of its module.

    `prepare_s` and `keep_s` None: as of all others. `state` FAILURE: with `code` and `message`.
    `count_off` is added to the count that the status tells; `rows_off` records are left out of the
    file. `next_page` says what the status tells of a further page: the truth; that there is one,
    without a token; the token that made this very page; one that is refused; nothing. `faults` are
    those of its result, one used up by each attempt.
    """

    __pydantic_config__ = CONFIG

    prepare_s: Seconds | None = None
    keep_s: Seconds | None = None
    state: Literal["COMPLETED", "FAILURE"] = "COMPLETED"
    code: str = "INTERNAL_SERVER_ERROR"
    message: str = "Internal server error occurred."
    count_off: int = 0
    rows_off: Count = 0
    next_page: Literal["honest", "no_token", "same_token", "bad_token", "none"] = "honest"
    faults: tuple[str, ...] = ()

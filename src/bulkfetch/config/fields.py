"""The types of single settings: what pydantic checks, what the JSON Schema says, what users read.

Each type stands below its check. A check raises ValueError with a sentence about the key, such as
"must be at least 1", or Misfit where there is a hint too. Neither repeats the value: it may be a
secret in the wrong place. A checked value passes the same check again as it is.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import parse_qs, urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    Strict,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_after_validator_function

from bulkfetch.config.hosts import server_url
from bulkfetch.config.misfit import NO_POINT, Misfit, nearest
from bulkfetch.config.proxies import Proxies, check_proxy
from bulkfetch.config.quantities import (
    DURATION_PATTERN,
    RATE_PATTERN,
    SIZE_PATTERN,
    parse_duration,
    parse_rate,
    parse_size,
)
from bulkfetch.filenames import unsafe_stem
from bulkfetch.models import Format
from bulkfetch.secret import Secret, is_sendable


@dataclass(frozen=True)
class Matches:
    """Metadata of a text: all of it must match a pattern, which `must be …` puts into words."""

    pattern: str
    should: str

    def check(self, text: str) -> str:
        """Return the text. Raises ValueError where it does not match."""
        if re.fullmatch(self.pattern, text, re.ASCII) is None:
            raise ValueError(f"must be {self.should}")
        return text

    def __get_pydantic_core_schema__(self, kind: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self.check, handler(kind))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(core), "pattern": f"^(?:{self.pattern})$"}


def no_number(key: str, example: str) -> BeforeValidator:
    """Return a check that refuses an id without quotes, and says how `key` is written."""

    def check(value: object) -> object:
        if isinstance(value, int):  # it has lost its leading zeros, and perhaps more
            hint = f'Put the id in quotes: {key} = "{example}".'
            raise Misfit("must be a string in quotes", hint=hint)
        return value

    return BeforeValidator(check)


def no_single(hint: str) -> BeforeValidator:
    """Return a check that refuses a single text where a list is wanted."""

    def check(value: object) -> object:
        if isinstance(value, str):
            raise Misfit("must be a list", hint=hint)
        return value

    return BeforeValidator(check)


Flag = Annotated[bool, Strict()]
Text = Annotated[str, Strict()]
Whole = Annotated[int, Strict()]


def _within_floats(value: object) -> object:
    # pydantic holds an int beyond all floats to be no number at all.
    if isinstance(value, int) and not isinstance(value, bool):
        return max(-(2**63), min(value, 2**63))
    return value


Seconds = Annotated[
    float, Strict(), Field(gt=0, le=86_400, allow_inf_nan=False), BeforeValidator(_within_floats)
]
Margin = Annotated[
    float, Strict(), Field(ge=0, le=3_600, allow_inf_nan=False), BeforeValidator(_within_floats)
]


def size_schema(least: int, pattern: str = SIZE_PATTERN) -> WithJsonSchema:
    number = {"type": "integer", "minimum": least}
    return WithJsonSchema({"anyOf": [number, {"type": "string", "pattern": pattern}]})


Size = Annotated[int, Field(gt=0, le=2**62 - 1), BeforeValidator(parse_size), size_schema(1)]
Rate = Annotated[
    int,
    Field(gt=0, le=2**62 - 1),
    BeforeValidator(parse_rate),
    size_schema(1, RATE_PATTERN),
]
SizeOrZero = Annotated[int, Field(ge=0, le=2**62 - 1), BeforeValidator(parse_size), size_schema(0)]


def _wait(value: object) -> float | None:
    if value is None or value is False:
        return None
    if value is True:
        return inf
    if not isinstance(value, int | float):
        try:
            value = parse_duration(value)
        except ValueError:
            raise ValueError('must be true, false or a duration such as "30m"') from None
    if not value > 0:
        raise ValueError("must be more than 0")
    return float(value)


# Seconds, infinity for no limit, None for not at all.
Wait = Annotated[
    float | None,
    PlainValidator(_wait),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "boolean"},
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": DURATION_PATTERN},
            ]
        }
    ),
]
Version = Annotated[Text, Matches(r"v[0-9]{1,2}(\.[0-9]{1,2})?", "a version such as v8")]
Prefix = Annotated[Text, Matches(r"[A-Za-z0-9_]*", "made of letters, digits and underscores")]


def _path(value: object) -> Path:
    if not isinstance(value, str | Path):
        raise ValueError("must be a path in quotes")
    if "\0" in str(value):
        raise ValueError("must be a path without NUL")
    if not str(value).strip():
        raise Misfit("must not be empty", hint='For the folder itself use "."; or omit it.')
    return Path(value)


SomePath = Annotated[
    Path, PlainValidator(_path), WithJsonSchema({"type": "string", "pattern": "\\S"})
]


def _stem(text: str) -> str:
    if (reason := unsafe_stem(text)) is not None:
        raise ValueError(f"cannot be a file's name: it {reason}")
    return text


Stem = Annotated[Text, AfterValidator(_stem), Field(json_schema_extra={"minLength": 1})]
# Fit for a file's name as well.
AccountName = Annotated[
    Text,
    Matches(
        r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
        "1 to 64 letters, digits, dots, dashes or underscores",
    ),
]
JobId = Annotated[
    Text,
    Matches(r"[0-9]{1,20}", "a job id: 1 to 20 digits such as 554023000000568002"),
    no_number("id", "554023000000568002"),
]
Argument = Annotated[Text, Matches(r"[^\x00]+", "a string without NUL")]
Command = Annotated[
    tuple[Argument, ...], Field(min_length=1), no_single('Word by word: ["pass", "show", "zoho"].')
]


def _each_once(formats: tuple[Format, ...]) -> tuple[Format, ...]:
    if len(set(formats)) < len(formats):
        raise ValueError("names a format twice")
    return formats


Formats = Annotated[
    tuple[Format, ...],
    Field(min_length=1, json_schema_extra={"uniqueItems": True}),
    no_single('In brackets: ["csv", "parquet"].'),
    AfterValidator(_each_once),
]


def _column(value: object) -> str | int:
    if not isinstance(value, str | int) or isinstance(value, bool):
        hint = NO_POINT if isinstance(value, float) else ""
        raise Misfit("must be a whole number", hint=hint)
    if not str(value).strip():
        raise ValueError("must be a column's title, or its number from 1")
    if not str(value).strip("0") or (isinstance(value, int) and value < 1):
        raise ValueError("must be at least 1")
    return value


Column = Annotated[
    str | int,
    PlainValidator(_column),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "[^0\\s]"}]}
    ),
]


# What else people call the data centres: countries, and the ends of Zoho's own host names.
_REGION_WORDS = {
    "com": "us",
    "usa": "us",
    "america": "us",
    "europe": "eu",
    "de": "eu",
    "india": "in",
    "australia": "au",
    "com.au": "au",
    "japan": "jp",
    "china": "cn",
    "com.cn": "cn",
    "canada": "ca",
    "saudi": "sa",
    "gb": "uk",
    "united kingdom": "uk",
    "uae": "ae",
}
DataCenter = Literal["us", "eu", "in", "au", "jp", "cn", "ca", "sa", "uk", "ae", "sandbox"]


def _region(value: object) -> object:
    regions = get_args(DataCenter)
    if isinstance(value, str) and value in regions:
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    like = _REGION_WORDS.get(word) or nearest(word, regions)
    raise Misfit(
        f"must be one of {', '.join(map(repr, regions))}",
        hint=f'did you mean "{like}"?' if like else "",
    )


Region = Annotated[DataCenter, BeforeValidator(_region)]
Server = Annotated[
    Text,
    AfterValidator(server_url),
    Field(json_schema_extra={"pattern": "^[Hh][Tt][Tt][Pp][Ss]?://"}),
]


def _database(url: str) -> str:
    try:
        parts = urlsplit(url)
        held = parts.password is not None or "password" in parse_qs(parts.query)
    except ValueError:
        raise ValueError("must be an address such as postgresql://user@host/database") from None
    if held:
        raise Misfit(
            "must not hold a password",
            hint="Set BULKFETCH_DATABASE_PASSWORD, or use PGPASSFILE or a service file.",
        )
    return url


Database = Annotated[
    Text,
    Matches(r"postgres(ql)?://\S+", "an address such as postgresql://user@host/database"),
    AfterValidator(_database),
]


def _result_path(template: str) -> str:
    try:
        parts = [part[1:] for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError:
        parts = [("", "", None)]
    plain = {("version", "", None), ("job_id", "", None)}
    if not set(parts) <= plain or ("job_id", "", None) not in parts:
        raise ValueError("must contain {job_id}, may contain {version}, and no other braces")
    return template


# A path of "//host/…" or with a scheme would name another server when joined to the domain.
ResultPath = Annotated[
    Text,
    Matches(r"/(?!/)[A-Za-z0-9._~!$&'()*+,;=:@%/{}-]+", "a path that begins with one slash"),
    AfterValidator(_result_path),
]


def _secret(value: object) -> Secret:
    if not isinstance(value, str | Secret):
        raise ValueError("must be a string in quotes")
    return Secret(value) if isinstance(value, str) else value


AnySecret = Annotated[Secret, PlainValidator(_secret)]


_BARE = "It must be the bare value: no quotes, no header name, one line."


def _sendable(secret: Secret) -> Secret:
    if not is_sendable(secret.reveal()):
        raise Misfit("holds spaces or unprintable characters", hint=_BARE)
    # A shell takes them away, a file of KEY=VALUE lines for docker or systemd may not.
    if {secret.reveal()[0], secret.reveal()[-1]} & {'"', "'", "`"}:
        raise Misfit("is in quotes", hint=_BARE)
    return secret


Sendable = Annotated[AnySecret, AfterValidator(_sendable)]
ProxyAddress = Annotated[
    AnySecret, WithJsonSchema({"type": "string", "pattern": "^([Hh][Tt][Tt][Pp][Ss]?://.+)?$"})
]


def _proxies(value: object) -> Proxies:
    if not isinstance(value, Proxies):
        raise ValueError("must be Proxies")
    for address in (value.https, value.http):
        if address is not None:
            check_proxy(address.reveal())
    return value


ProxiesField = Annotated[Proxies, PlainValidator(_proxies)]


def _token_cache(value: object) -> bool | Literal["keyring"]:
    if value == "keyring":
        return "keyring"
    if not isinstance(value, bool):
        raise ValueError('must be true, false or "keyring"')
    return value


TokenCache = Annotated[
    bool | Literal["keyring"],
    PlainValidator(_token_cache),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"const": "keyring"}]}),
]

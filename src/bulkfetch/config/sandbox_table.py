"""[sandbox] of jobs.toml → options of the stand-in, or one sentence that says what is wrong.

The options are the stand-in's own matter and checked by pydantic, whose words are made ours here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from bulkfetch.config.complaints import complaint
from bulkfetch.config.misfit import Misfit
from bulkfetch.config.nearest import nearest
from bulkfetch.config.settings import Settings
from bulkfetch.config.toml_lines import Key
from bulkfetch.errors import ConfigError

if TYPE_CHECKING:
    from bulkfetch.sandbox import SandboxOptions

# By the beginning of pydantic's name for a kind of error; `{}` takes its context.
_SENTENCES = (
    ("int_", "should be a whole number"),
    ("float_", "should be a number"),
    ("finite_number", "should be a finite number"),
    ("bool_", "should be true or false"),
    ("string_", "should be a text in quotes"),
    ("bytes_", "should be a text in quotes"),
    ("path_", "should be a path in quotes"),
    ("literal_error", "should be {expected}"),
    ("greater_than_equal", "should be at least {ge}"),
    ("greater_than", "should be more than {gt}"),
    ("less_than_equal", "should be at most {le}"),
    ("too_short", "should be a list of {min_length}"),
    ("too_long", "should be a list of {max_length}"),
    ("tuple_", "should be a list"),
    ("list_", "should be a list"),
    ("dict_", "should be a table"),
    ("mapping_", "should be a table"),
    ("dataclass_", "should be a table"),
    ("missing", "is missing"),
)


def read_sandbox_options(settings: Settings) -> SandboxOptions:
    """Return the options of the stand-in. Raises ConfigError with file, key and line."""
    from bulkfetch.sandbox import SandboxOptions  # late: it takes a server to import it

    try:
        text = json.dumps(dict(settings.sandbox), default=_no_json)
        options = SandboxOptions.from_json(text)
        _check_faults(options)
    except Misfit as found:
        raise _told(settings, found) from None
    except ValueError as error:
        raise _told(settings, _misfit(error, SandboxOptions)) from None
    return options


def _no_json(value: object) -> str:
    return f"{type(value).__name__} {value}"  # a date of TOML: no option takes such a text


def _check_faults(options: SandboxOptions) -> None:
    """Raise Misfit where the name of a fault is unknown."""
    from bulkfetch.sandbox import UnknownFault, lookup

    for path, names in _fault_names(options):
        for place, name in enumerate(names):
            try:
                _ = name and lookup(name)
            except UnknownFault as error:
                raise Misfit(f": {error.sentence}", (*path, place), hint=error.hint) from None


def _fault_names(options: SandboxOptions) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    for key, names in options.faults.items():
        yield ("faults", key), names
    for number, rule in enumerate(options.rules):
        yield ("rules", number, "faults"), rule.faults
    for key, job in options.jobs.items():
        yield ("jobs", key, "faults"), job.faults


def _misfit(error: ValueError, options: type) -> Misfit:
    """Put the first complaint of pydantic into our words; none of them repeats a value."""
    errors = getattr(error, "errors", None)
    if errors is None:
        return Misfit("cannot be used")
    first: Mapping[str, Any] = errors(include_url=False, include_input=False)[0]
    kind, path = str(first["type"]), tuple(first["loc"])
    if kind == "unexpected_keyword_argument":
        like = nearest(str(path[-1]), _keys(options, path[:-1]))
        known = tuple(sorted(_keys(options, path[:-1])))
        return Misfit("", path, known=known, hint=f'did you mean "{like}"?' if like else "")
    for beginning, sentence in _SENTENCES:
        if kind.startswith(beginning):
            return Misfit(sentence.format_map(first.get("ctx", {})), path)
    return Misfit("cannot be what it is", path)


def _keys(options: type, path: tuple[str | int, ...]) -> list[str]:
    """Name the keys of the table at a path of [sandbox]."""
    from bulkfetch.sandbox import AccountSpec, FaultRule, JobSpec

    tables: dict[str | int, type] = {"jobs": JobSpec, "rules": FaultRule, "accounts": AccountSpec}
    kind = tables.get(path[0], options) if path else options
    return [field.name for field in fields(kind)] if is_dataclass(kind) else []


def _told(settings: Settings, found: Misfit) -> ConfigError:
    file = str(settings.source or "settings")
    lines = {
        _key(key): int(line)
        for key, origin in settings.origins
        if key.startswith("sandbox") and (line := origin.rpartition(":")[2]).isdigit()
    }
    known = found.known
    hint = found.advice or (f"There is: {', '.join(known)}." if known else "")
    below = Misfit(found.sentence, ("sandbox", *found.path), known=known, hint=hint)
    return complaint(below, file, lines)


def _key(text: str) -> Key:
    """Read what `key_text` wrote."""
    parts = re.findall(r"[^.\[\]]+", text)
    return tuple(int(part) - 1 if f"[{part}]" in text else part for part in parts)

"""From what pydantic found to the one sentence a user needs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bulkfetch.config.toml_lines import Key
from bulkfetch.errors import ConfigError

_SECRET_WORDS = ("token", "secret", "password", "client_id", "credential")
_WRONG_TYPE = {
    "string_type": "should be a text in quotes",
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "finite_number": "should be a finite number",
    "bool_type": "should be true or false",
    "tuple_type": "should be a list",
    "list_type": "should be a list",
    "dict_type": "should be a table",
    "model_type": "should be a table",
    "model_attributes_type": "should be a table",
    "path_type": "should be a path in quotes",
    "missing": "is missing",
    "too_short": "is empty",
}


def complaint(
    error: ValidationError, model: type[BaseModel], file: str, lines: Mapping[Key, int]
) -> ConfigError:
    """Turn the first thing wrong, in the file's order, into a ConfigError with key, line, advice.

    No value is repeated: it may be a secret in the wrong place.
    """
    found = min(
        error.errors(include_url=False, include_input=False, include_context=True),
        key=lambda item: (_line(item["loc"], lines) or 0, item["type"] != "extra_forbidden"),
    )
    path = _in_file(found["loc"], model)
    where = f" (line {line})" if (line := _line(found["loc"], lines)) else ""
    if found["type"] == "extra_forbidden":
        return ConfigError(
            f"{file}: unknown key {key_text(path)}{where}",
            hint=_unknown_key_hint(str(path[-1]), _known_keys(model, path[:-1])),
        )
    return ConfigError(f"{file}: {key_text(path)} {_sentence(found)}{where}", hint=_hint(found))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Give the known word most like `word`, None where none is like it."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)), None)


def key_text(path: Iterable[str | int]) -> str:
    """Write a key as a person would: `account.window.requests`, `jobs[3].id` (from 1)."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            text += ("." if text else "") + (part if part.isprintable() else ascii(part))
    return text


def _sentence(found: ErrorDetails) -> str:
    kind, context = found["type"], found.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return f"should be one of {context['expected'].replace(' or ', ', ')}"
    for name, words in (
        ("ge", "at least"),
        ("gt", "more than"),
        ("le", "at most"),
        ("lt", "less than"),
    ):
        if name in context:
            return f"should be {words} {context[name]}"
    return _WRONG_TYPE.get(kind, found["msg"].lower())


def _hint(found: ErrorDetails) -> str:
    if found["type"] == "string_type" and found["loc"][-1] == "id":
        return 'Put the id in quotes: id = "554023000000568002".'
    return ""


def _unknown_key_hint(key: str, known: list[str]) -> str:
    if (like := nearest(key, known)) is not None:
        return f'did you mean "{like}"?'
    if any(word in key.lower() for word in _SECRET_WORDS):
        return (
            "Secrets do not belong in this file: use the environment (ZOHO_ACCESS_TOKEN, or "
            "ZOHO_CLIENT_ID, ZOHO_CLIENT_SECRET and ZOHO_REFRESH_TOKEN), secrets_file or "
            "token_command."
        )
    return f"There is: {', '.join(sorted(known))}." if known else ""


def _line(loc: Key, lines: Mapping[Key, int]) -> int | None:
    """Find the nearest line for a key: its own, else that of the table it stands in."""
    for length in range(len(loc), 0, -1):
        if (line := lines.get(loc[:length])) is not None:
            return line
    return None


def _in_file(loc: Key, model: type[BaseModel]) -> Key:
    """Cut what pydantic adds to a path that no user wrote, such as the branch of a union."""
    path: list[str | int] = []
    inside: type[BaseModel] | None = model
    for part in loc:
        if inside is None and path and not isinstance(part, int):
            break
        path.append(part)
        if inside is not None and not isinstance(part, int) and part in inside.model_fields:
            annotation = inside.model_fields[part].annotation
            inside = _model_in(annotation)
    return tuple(path)


def _known_keys(model: type[BaseModel], path: Key) -> list[str]:
    inside: type[BaseModel] = model
    for part in path:
        if isinstance(part, str) and part in inside.model_fields:
            inside = _model_in(inside.model_fields[part].annotation) or inside
    return list(inside.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _model_in(arg))), None)

"""The reference of jobs.toml as Markdown, made of its JSON Schema. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bulkfetch.config.quantities import DURATION_PATTERN, SIZE_PATTERN

Schema = Mapping[str, Any]

_WORDS = {
    SIZE_PATTERN: 'a size such as `"4 GiB"`',
    DURATION_PATTERN: 'a duration such as `"30m"`',
}


def settings_text(schema: Schema) -> list[str]:
    """Return lines of Markdown: for each table of jobs.toml a heading, and a table of its keys."""
    lines: list[str] = []
    seen: dict[int, str] = {}
    for name, table in _tables("", schema, schema):
        if id(table) in seen:
            lines += [f"## `{name}`", "", f"The same keys as `{seen[id(table)]}`.", ""]
            continue
        seen[id(table)] = name
        lines += [f"## {f'`{name}`' if name else 'At top level'}", ""]
        if name.startswith(("[sandbox", "[[sandbox")):
            lines += [*_about(table), ""]
        lines += ["| key | value | default | |", "| --- | --- | --- | --- |"]
        lines += [_row(key, value) for key, value in table["properties"].items()]
        lines += [""]
    return lines


def _tables(name: str, table: Schema, root: Schema) -> Iterator[tuple[str, Schema]]:
    """Give a table with its heading, then those that it holds."""
    yield name, table
    path = name.strip("[]")
    for key, value in table["properties"].items():
        below = f"{path}.{key}" if path else key
        for form, target in _references(value):
            yield from _tables(form.format(below), _resolved(target, root), root)


def _references(value: Schema) -> Iterator[tuple[str, str]]:
    """Give the tables that a key holds: how each is headed, and where its schema is."""
    places = {
        "[{}]": value,
        "[[{}]]": value.get("items", {}),
        "[{}.NAME]": value.get("additionalProperties", {}),
        "[[{}.NAME]]": _items(value.get("additionalProperties", {})),
    }
    for each in value.get("patternProperties", {}).values():
        places["[{}.NAME]"] = each
    for form, place in places.items():
        if isinstance(place, Mapping) and "$ref" in place:
            yield form, place["$ref"]


def _items(value: Any) -> Any:
    return value.get("items", {}) if isinstance(value, Mapping) else {}


def _resolved(reference: str, root: Schema) -> Schema:
    found: Schema = root["$defs"][reference.rpartition("/")[2]]
    return found


def _about(table: Schema) -> list[str]:
    return str(table.get("description", "")).splitlines()


def _row(key: str, value: Schema) -> str:
    default = "" if value.get("default") in (None, "") else f"`{_default(value)}`"
    words = " ".join(str(value.get("description", "")).split())
    if next(_references(value), None) is not None:
        words, default = words or "see below", ""
    cells = (f"`{key}`", _kind(value), default, words)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _kind(value: Schema) -> str:
    """Return what a value may be, in words."""
    if "$ref" in value or value.get("type") == "object":
        return "a table"
    if "anyOf" in value:
        return ", or ".join(dict.fromkeys(_kind(each) for each in value["anyOf"]))
    for key in ("enum", "const"):
        if key in value:
            found = value[key] if key == "enum" else [value[key]]
            return " ".join(f"`{_toml(each)}`" for each in found)
    if value.get("type") == "array":
        return "tables" if "$ref" in _items(value) else f"a list: {_kind(_items(value))}"
    if value.get("type") in ("integer", "number"):
        return _number(value)
    if value.get("type") == "boolean":
        return "`true` `false`"
    return _WORDS.get(str(value.get("pattern")), "text")


def _number(value: Schema) -> str:
    noun = "a whole number" if value["type"] == "integer" else "a number"
    words = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most"}
    bounds = [f"{word} {value[key]:,}" for key, word in words.items() if key in value]
    return ", ".join([noun, *bounds])


def _default(value: Schema) -> str:
    """Return a default as a user writes it: sizes with their unit."""
    default = value["default"]
    is_size = any(each.get("pattern") == SIZE_PATTERN for each in value.get("anyOf", ()))
    for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2)):
        if is_size and default and default % factor == 0:
            return f'"{default // factor} {unit}"'
    return _toml(default)


def _toml(value: Any) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Mapping):
        return "{}"
    return f'"{value}"' if isinstance(value, str) else f"{value}"

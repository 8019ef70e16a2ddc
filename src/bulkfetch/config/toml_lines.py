"""How a key is written, and on which line of a TOML text it stands; tomllib does not tell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

Key: TypeAlias = tuple[str | int, ...]

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]")
_ENTRY = re.compile(rf"\s*({_DOTTED})\s*=\s*(.*)")
_NAME = re.compile(_PART)


def key_lines(text: str) -> dict[Key, int]:
    """Return the line, counted from 1, of each table and key of a valid TOML text.

    A key is `("account", "window", "requests")`, or `("jobs", 2, "id")` in an array of tables. For
    messages only: what stands inside inline tables is not looked into.
    """
    lines: dict[Key, int] = {}
    seen: Counter[Key] = Counter()
    table: Key = ()
    inside = ""  # the quotes that end the multi-line string we are in
    for number, line in enumerate(text.splitlines(), start=1):
        if inside:
            inside = "" if inside in line else inside
            continue
        if header := _HEADER.match(line):
            table = _opened(_NAME.findall(header[2]), header[1] == "[[", seen)
            lines.setdefault(table, number)
        elif entry := _ENTRY.match(line):
            names = tuple(_plain(part) for part in _NAME.findall(entry[1]))
            lines.setdefault((*table, *names), number)
            for quotes in ('"""', "'''"):
                if entry[2].startswith(quotes) and entry[2].count(quotes) == 1:
                    inside = quotes
    return lines


def _opened(parts: Sequence[str], in_array: bool, seen: Counter[Key]) -> Key:
    """Return the table that a heading opens; `seen` counts the tables of each array."""
    table: Key = ()
    for place, part in enumerate(parts, start=1):
        table = (*table, _plain(part))
        if in_array and place == len(parts):
            seen[table] += 1
        if seen[table]:
            table = (*table, seen[table] - 1)
    return table


def _plain(part: str) -> str:
    return part[1:-1] if part[0] in "\"'" else part


def key_text(path: Iterable[str | int]) -> str:
    """Return a key as people write it: `account.window.requests`, `jobs[3].id` (from 1)."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            text += ("." if text else "") + (part if part.isprintable() else ascii(part))
    return text


def nearest_line(path: tuple[str | int, ...], lines: Mapping[str, int]) -> int | None:
    """Return the nearest line for a key: its own, that of what stands in it, or its table's."""
    for length in range(len(path), 0, -1):
        key = key_text(path[:length])
        if (line := lines.get(key)) is not None:
            return line
        within = (line for other, line in lines.items() if other.startswith((f"{key}.", f"{key}[")))
        if (line := next(within, None)) is not None:
            return line
    return None

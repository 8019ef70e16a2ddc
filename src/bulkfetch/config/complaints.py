"""From what does not fit to the one sentence a user needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bulkfetch.config.misfit import Misfit
from bulkfetch.config.toml_lines import Key
from bulkfetch.errors import ConfigError


def complaint(found: Misfit, file: str, lines: Mapping[Key, int]) -> ConfigError:
    """Turn what does not fit into a ConfigError with file, key, line and advice; no value."""
    line = _line(found.path, lines)
    where = f" (line {line})" if line else ""
    key = key_text(found.path)
    if found.known is not None:
        from bulkfetch.config.unknown_keys import unknown_key_hint  # late: few need it

        hint = found.advice or unknown_key_hint(str(found.path[-1]), found.known)
        return ConfigError(f"{file}: unknown key {key}{where}", hint=hint)
    joint = "" if found.sentence.startswith(":") else " "
    return ConfigError(f"{file}: {key}{joint}{found.sentence}{where}", hint=found.advice)


def key_text(path: Iterable[str | int]) -> str:
    """Write a key as a person would: `account.window.requests`, `jobs[3].id` (from 1)."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            text += ("." if text else "") + (part if part.isprintable() else ascii(part))
    return text


def _line(path: Key, lines: Mapping[Key, int]) -> int | None:
    """Find the nearest line for a key: its own, that of what stands in it, else of its table's."""
    for length in range(len(path), 0, -1):
        if (line := lines.get(path[:length])) is not None:
            return line
        within = (line for key, line in lines.items() if key[:length] == path[:length])
        if (line := next(within, None)) is not None:
            return line
    return None

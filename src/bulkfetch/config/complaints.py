"""From what does not fit to the one sentence a user needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bulkfetch.config.export import Export
from bulkfetch.config.misfit import Misfit
from bulkfetch.config.settings import Settings
from bulkfetch.config.unknown_keys import unknown_key_hint
from bulkfetch.errors import ConfigError


def complaint(found: Misfit, file: str, lines: Mapping[str, int]) -> ConfigError:
    """Return the ConfigError of what does not fit, with file, key, line and advice; no value.

    `lines` are those of the keys as `key_text` writes them.
    """
    line = nearest_line(found.path, lines)
    where = f" (line {line})" if line else ""
    key = key_text(found.path)
    if found.known is not None:
        hint = unknown_key_hint(str(found.path[-1]), found.known)
        return ConfigError(f"{file}: unknown key {key}{where}", hint=hint)
    joint = "" if found.sentence.startswith(":") else " "
    return ConfigError(f"{file}: {key}{joint}{found.sentence}{where}", hint=found.advice)


def complaint_later(found: Misfit, settings: Settings) -> ConfigError:
    """Return the ConfigError of what turns out not to fit in settings that were read before."""
    lines = {key: int(line) for key, origin in settings.origins if (line := _line(origin))}
    return complaint(found, str(settings.source or "settings"), lines)


def about_export(found: Misfit, export: Export, settings: Settings) -> ConfigError:
    """Return the ConfigError of what does not fit in an export, one of the settings or another."""
    for place, each in enumerate(settings.exports):
        if each.name == export.name:
            return complaint_later(found.below("exports", place), settings)
    message = f"export {export.name}: {key_text(found.path)} {found.sentence}"
    return ConfigError(message, hint=found.advice)


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


def _line(origin: str) -> str:
    line = origin.rpartition(":")[2]
    return line if line.isdecimal() else ""

"""From what does not fit to the one sentence a user needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bulkfetch.config.tables import Misfit
from bulkfetch.config.toml_lines import Key
from bulkfetch.errors import ConfigError

_SECRET_WORDS = ("token", "secret", "password", "client_id", "credential")


def complaint(found: Misfit, file: str, lines: Mapping[Key, int]) -> ConfigError:
    """Turn what does not fit into a ConfigError with file, key, line and advice; no value."""
    line = _line(found.path, lines)
    where = f" (line {line})" if line else ""
    key = key_text(found.path)
    if found.known is not None:
        hint = _unknown_key_hint(str(found.path[-1]), found.known)
        return ConfigError(f"{file}: unknown key {key}{where}", hint=hint)
    return ConfigError(f"{file}: {key} {found.sentence}{where}", hint=found.hint)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Give the known word most like `word`, None where none is like it."""
    import difflib  # late: few starts have anything to complain of

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


def _unknown_key_hint(key: str, known: Iterable[str]) -> str:
    if (like := nearest(key, known)) is not None:
        return f'did you mean "{like}"?'
    if any(word in key.lower() for word in _SECRET_WORDS):
        return (
            "Secrets do not belong in this file: use the environment (ZOHO_ACCESS_TOKEN, or "
            "ZOHO_CLIENT_ID, ZOHO_CLIENT_SECRET and ZOHO_REFRESH_TOKEN), secrets_file or "
            "token_command."
        )
    return f"There is: {', '.join(sorted(known))}."


def _line(path: Key, lines: Mapping[Key, int]) -> int | None:
    """Find the nearest line for a key: its own, else that of the table it stands in."""
    for length in range(len(path), 0, -1):
        if (line := lines.get(path[:length])) is not None:
            return line
    return None

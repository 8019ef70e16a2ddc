"""KEY=VALUE files that hold secrets."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from bulkfetch.config.misfit import Misfit

_MAX_BYTES = 64 * 1024
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)", re.ASCII)


def read_secrets(path: Path) -> tuple[dict[str, str], str | None]:
    """Read `KEY=VALUE` lines ('#' comments, `export`, quotes around a value), and say who else may.

    The second value is a warning where group or others may read the file, else None. Raises
    Misfit where the file cannot be read or understood; no message repeats any of its text.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise Misfit(f": {path}: {error.strerror}") from None
    if len(raw) > _MAX_BYTES:
        raise Misfit(f": {path}: larger than {_MAX_BYTES} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Misfit(f": {path}: not UTF-8") from None
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise Misfit(f": {path}: line {number} is not KEY=VALUE")
        values[match[1]] = _unquoted(match[2])
    return values, _warning(path, mode)


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value


def _warning(path: Path, mode: int) -> str | None:
    if os.name != "posix" or not mode & (stat.S_IRWXG | stat.S_IRWXO):
        return None
    return f"secrets_file {path} can be read by other users (mode {mode & 0o777:o}); chmod 600 it"

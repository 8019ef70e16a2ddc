"""A file of settings, read and checked table by table; what must fit together is not seen here."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from bulkfetch.config.complaints import complaint
from bulkfetch.config.misfit import Misfit, misfits
from bulkfetch.config.tables import Table
from bulkfetch.config.toml_lines import Key, key_lines, key_text, nearest_line
from bulkfetch.errors import ConfigError
from bulkfetch.state_dir import expand_home

T = TypeVar("T", bound=Table)

_MAX_TOML_BYTES = 64 * 1024**2  # some 700,000 [[jobs]]; longer lists belong into an ids_file


@dataclass(frozen=True)
class Document(Generic[T]):
    """The tables of a file, and the line of each key; `source` None: there is no file.

    `options` are the keys that an option has won over, with the option.
    """

    tables: T
    source: Path | None
    lines: Mapping[str, int]
    options: dict[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """What the file is called."""
        return str(self.source)

    @cached_property
    def origins(self) -> dict[str, str]:
        """Where each key stands, as `jobs.toml:12`, or which option has set it."""
        return {key: f"{self.source}:{line}" for key, line in self.lines.items()} | self.options

    def tell(self, found: Misfit) -> ConfigError:
        """Return the complaint about the file."""
        return complaint(found, self.file, self.lines)

    def where(self, key: str) -> tuple[str, int]:
        """Return what a sentence about a table begins with, and the table's line, 0 if unknown."""
        line = self.lines.get(key, 0)
        return f"{self.file}: {key}" + (f" (line {line})" if line else ""), line

    def under(self, path: Path, key: Key) -> Path:
        """Return a path of the file as seen from the working directory; `~` is the user's home.

        Raises ConfigError where there is no such home.
        """
        folder = Path() if self.source is None else self.source.parent
        try:
            return folder / expand_home(path)
        except RuntimeError:
            hint = "Write the path without `~`, or set HOME."
            raise self.tell(Misfit(f": {path}: no such home", key, hint=hint)) from None


def read_document(source: Path | None, kind: type[T]) -> Document[T]:
    """Read a file that may hold what `kind` has, or nothing where there is none.

    Raises ConfigError: file, key, line and the nearest right name; never a value.
    """
    return parse_document("" if source is None else _read(source), source, kind)


def parse_document(text: str, source: Path | None, kind: type[T]) -> Document[T]:
    """Read a text as if it were that of a file; as `read_document`."""
    file = str(source)
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: not TOML: {_without_values(error)}") from None
    lines = {key_text(key): line for key, line in key_lines(text).items()}
    try:
        return Document(TypeAdapter(kind).validate_python(document), source, lines)
    except ValidationError as error:
        found = min(misfits(error, kind), key=lambda misfit: _order(misfit, lines))
    # Outside of the handler: pydantic's error holds the value.
    raise complaint(found, file, lines, kind)


def has_key(path: str, key: str) -> bool:
    """Return whether a file has a key at its top; False where it is no file of settings."""
    try:
        return key in tomllib.loads(_read(Path(path)))
    except (ConfigError, ValueError, RecursionError):
        return False


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_TOML_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    if len(raw) > _MAX_TOML_BYTES:
        raise ConfigError(f"{path}: too large", hint="Put a long list of ids into an ids_file.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}: not UTF-8 (line {line})") from None


def _order(found: Misfit, lines: Mapping[str, int]) -> tuple[bool, int]:
    """Return what sorts misfits: the first in the file, missing keys behind all others."""
    return found.sentence == "is missing", nearest_line(found.path, lines) or 0


def _without_values(error: Exception) -> str:
    if isinstance(error, tomllib.TOMLDecodeError):
        return str(error)[:200]
    return "nested too deeply" if isinstance(error, RecursionError) else "a number is too long"

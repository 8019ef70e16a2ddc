"""Misplaced arguments on the command line: a hint with the command that was probably meant.

Users of other tools give the list of ids first; here the settings file comes first.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import click

from bulkfetch.errors import ConfigError
from bulkfetch.models import is_job_id

SETTINGS = "jobs.toml"
_LIST_SUFFIXES = frozenset({".txt", ".csv", ".tsv", ".ids", ".lst", ".list", ".dat"})
_OR_NONE = "; without one, add --data-center"
# How much of a file is read to tell what it is.
_LOOK_BYTES = 64 * 1024
# The most ids in a suggested command; dots stand for more.
_SHOWN_IDS = 3


@contextmanager
def settings_first(
    settings_file: str | None, ids: Sequence[str] = (), lists: Sequence[str] = ()
) -> Iterator[None]:
    """Load settings in the block: a list or an id in place of the file gets a hint."""
    try:
        yield
    except ConfigError as error:
        path = _command_path()
        hint = None if settings_file is None else settings_hint(path, settings_file, ids, lists)
        if hint is None:
            raise
        raise ConfigError(error.message, hint=hint) from None


def settings_hint(
    command: str,
    given: str,
    ids: Sequence[str] = (),
    lists: Sequence[str] = (),
    *,
    plural: bool = False,
) -> str | None:
    """Return the command that was meant, with `given` in place of the settings file.

    None if `given` may be a settings file. `command` is, for example, "bulkfetch run"; `plural`
    continues a sentence that begins with another subject.
    """
    settings = next((word for word in ids if word.endswith(".toml")), None)
    ids = [word for word in ids if is_job_id(word)]
    what = _what_is(Path(given))
    if what is None:
        return _other_settings(given)
    if what == "id":
        ids = [given, *ids]
    elif what == "folder":
        inside = Path(given) / SETTINGS
        settings = str(inside) if inside.is_file() else settings
    else:
        lists = [given, *lists]
    column = ["--ids-column", what] if what.isdigit() else []
    say = "the settings file come first" if plural else "The settings file comes first"
    spelled = f"{say}: {_spelled(command, settings, ids, lists, column)}"
    return spelled if plural or what == "folder" else spelled + _OR_NONE


def require_ids(settings: str, ids: Sequence[str]) -> None:
    """Raise ConfigError if a list or a settings file is among the ids.

    `settings` is the file, or the option in its place.
    """
    for word in ids:
        if is_job_id(word):
            continue
        if (hint := argument_hint(_command_path(), settings, word)) is not None:
            raise ConfigError(f"not a job id: {word[:60]}", hint=hint)


def argument_hint(command: str, settings: str, word: str) -> str | None:
    """Return the command that was meant, with a word among the ids that is not an id.

    None if it looks neither like a list nor like settings.
    """
    if word.endswith(".toml"):
        return "One settings file at a time, and it comes first."
    what = _what_is(Path(word))
    if what in (None, "id", "folder"):
        return None
    column = ["--ids-column", what] if what is not None and what.isdigit() else []
    return f"A list goes to --ids: {_spelled(command, settings, [], [word], column)}"


def command_hint(word: str, commands: Sequence[str], *, at_top: bool = True) -> str | None:
    """Return what was meant by a word in place of the command, None if that is unclear.

    `at_top` False: the commands are those of a group, and lists are nothing to it.
    """
    if at_top and word.endswith(".toml") and Path(word).is_file():
        return f"The command comes first: {shlex.join(['bulkfetch', 'run', word])}"
    if at_top and _what_is(Path(word)) not in (None, "folder"):
        return f"The command and {settings_hint('bulkfetch run', word, plural=True)}"
    from bulkfetch.config.misfit import nearest

    like = nearest(word.lower(), commands)
    return f'did you mean "{like}"?' if like else None


def missing_hint(context: click.Context | None) -> str:
    """Return the beginning of a command that got no settings file."""
    command = context.command_path if context else "bulkfetch run"
    lists = context.params.get("lists") if context else None
    spelled = _spelled(command, None, [], lists or [], [])
    return f"The settings file comes first: {spelled}{_OR_NONE}"


def may_be_settings(path: Path) -> bool:
    """Return whether a word on the command line can be meant for the settings file."""
    return path.suffix.lower() == ".toml" or (path.exists() and _what_is(path) is None)


def _what_is(path: Path) -> str | None:
    """Return what a word on the command line names: "id", "folder", "list", a number or None.

    A number is the column of a CSV that contains ids. None: settings, or something else.
    """
    word = str(path)
    if word == "-":
        return "list"
    if is_job_id(word) and not path.exists():
        return "id"
    if path.is_dir():
        return "folder"
    if path.suffix.lower() == ".toml":
        return None
    import tomllib  # late: only misplaced arguments need it

    try:
        if not path.is_file():
            return "list" if path.suffix.lower() in _LIST_SUFFIXES else None
        with path.open("rb") as file:
            text = file.read(_LOOK_BYTES).decode("utf-8-sig", "backslashreplace")
        tomllib.loads(text)
    except OSError:
        return None
    except (ValueError, RecursionError):
        pass
    else:
        return None
    return _column_of(text) or ("list" if path.suffix.lower() in _LIST_SUFFIXES else None)


def _column_of(text: str) -> str | None:
    """Return "list" for a list of ids, the number of their column for a CSV, else None."""
    stripped = (line.partition("#")[0].strip() for line in text.splitlines())
    lines = list(islice(filter(None, stripped), 2))
    if lines and is_job_id(lines[0]):
        return "list"
    for line in lines:
        cells = [cell.strip(' "') for cell in line.replace(";", ",").replace("\t", ",").split(",")]
        if len(cells) > 1 and (ids := [at for at, cell in enumerate(cells, 1) if is_job_id(cell)]):
            return str(ids[0])
    return None


def _other_settings(given: str) -> str | None:
    """Return a hint at a settings file with a similar name, or at what writes one."""
    path = Path(given)
    if path.exists():
        return None
    from bulkfetch.config.misfit import nearest

    try:
        names = [name for name in os.listdir(path.parent) if name.endswith(".toml")]
    except OSError:
        return None
    like = nearest(path.name, names)
    if like is not None:
        return f'did you mean "{path.parent / like}"?'
    is_settings = path.suffix.lower() == ".toml"
    return f"To write one: {shlex.join(['bulkfetch', 'init', given])}" if is_settings else None


def _spelled(
    command: str,
    settings: str | None,
    ids: Sequence[str],
    lists: Sequence[str],
    column: Sequence[str],
) -> str:
    words = [settings or SETTINGS]
    if command.endswith((" run", " plan")):
        words += ids[:_SHOWN_IDS]
        words += [word for name in lists for word in ("--ids", name)]
        words += column
    dots = " …" if len(ids) > _SHOWN_IDS and len(words) > 1 else ""
    return f"{command} {shlex.join(words)}{dots}"


def _command_path() -> str:
    context = click.get_current_context(silent=True)
    return context.command_path if context else "bulkfetch run"

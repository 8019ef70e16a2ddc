"""Where a command's settings come from: a file, options that win over it, or options alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from bulkfetch.cli.misplaced import may_be_settings, settings_first

if TYPE_CHECKING:
    from bulkfetch.config import DataCenter, Settings

F = TypeVar("F", bound=Callable[..., Any])


def settings_source(command: F) -> F:
    """Add the settings file, which is None without one, and --data-center to a command."""
    option = click.option(
        "--data-center",
        metavar="NAME",
        help="Where the org is (such as us, eu, sandbox); then JOBS.toml may be left out.",
    )
    return click.argument("settings_file", metavar="[JOBS.toml]", required=False)(option(command))


def file_and_rest(
    first: str | None, rest: Sequence[str], data_center: str | None
) -> tuple[str | None, tuple[str, ...]]:
    """Return the settings file, None without one, and the other arguments.

    There may be none where --data-center is given: a first argument that can be no settings file is
    then one of the others. Raises click.MissingParameter where there must be one.
    """
    if data_center is None or (first is not None and may_be_settings(Path(first))):
        require_source(first, data_center)
        return first, tuple(rest)
    return None, (*([] if first is None else [first]), *rest)


def require_source(settings_file: str | None, data_center: str | None) -> None:
    """Raise click.MissingParameter where there is neither a file nor --data-center."""
    if settings_file is None and data_center is None:
        context = click.get_current_context()
        missing = next(each for each in context.command.params if each.name == "settings_file")
        raise click.MissingParameter(
            ctx=context, param=missing, param_hint="'JOBS.toml'", param_type="argument"
        )


def load(
    settings_file: str | None,
    data_center: str | None,
    *,
    ids: Sequence[str] = (),
    lists: Sequence[str] = (),
    **wins: Any,
) -> Settings:
    """Load the settings of a command; `wins` are options as `load_settings` takes them.

    `ids` and `lists` are its other arguments, for hints. Raises ConfigError.
    """
    from bulkfetch.config import load_settings

    with settings_first(settings_file, ids, lists):
        checked = cast("DataCenter | None", data_center)  # by what reads it, as the file's
        return load_settings(settings_file, data_center=checked, **wins)

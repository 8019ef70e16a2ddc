"""What the user asks for: settings and a list of jobs, from the command line and jobs.toml."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar

import click

from bulkfetch.cli.feed import Feed
from bulkfetch.errors import ConfigError, RunError
from bulkfetch.models import Job

if TYPE_CHECKING:
    from bulkfetch.config import Settings


class ListUnreadable(RunError):
    """The list of ids could not be read to its end."""

    code = "LIST_UNREADABLE"
    default_hint = "What was read of it has been dealt with; run the same command again."


class TerminalGone(ListUnreadable):
    """The terminal that the list was typed at is gone."""


F = TypeVar("F", bound=Callable[..., Any])

_READ_BYTES = 256 * 1024


class Asked(NamedTuple):
    """The arguments that say what is to be fetched; None and () where not given."""

    settings_file: str
    ids: tuple[str, ...]
    ids_file: str | None
    ids_column: str | None
    account: str | None
    out: str | None


def list_options(command: F) -> F:
    """Add the arguments of `Asked` to a command, which gets them as `asked`."""

    @click.argument("settings_file", metavar="JOBS.toml")
    @click.argument("ids", nargs=-1, metavar="[ID]...")
    @click.option(
        "--ids",
        "ids_file",
        metavar="FILE|-",
        help="Read ids from a file or stdin: one per line, '#' comments.",
    )
    @click.option(
        "--ids-column",
        metavar="NAME|N",
        help="The list is a CSV: take this column, by its name or number from 1.",
    )
    @click.option("--account", metavar="NAME", help="The account of ids that name none.")
    @click.option("--out", metavar="DIR", help="Where files go, instead of `out` in JOBS.toml.")
    @wraps(command)
    def with_options(
        settings_file: str,
        ids: tuple[str, ...],
        ids_file: str | None,
        ids_column: str | None,
        account: str | None,
        out: str | None,
        **others: Any,
    ) -> Any:
        if ids_column is not None and ids_column.isdigit() and int(ids_column) < 1:
            raise click.BadParameter("columns count from 1", param_hint="'--ids-column'")
        asked = Asked(settings_file, ids, ids_file, ids_column, account, out)
        return command(asked=asked, **others)

    # It takes other arguments than the command itself, and that is the point.
    return with_options  # type: ignore[return-value]


def settings_of(asked: Asked, *, keep_zip: bool = False) -> Settings:
    """Load the settings that are asked for. Raises ConfigError."""
    from bulkfetch.config import load_settings

    settings = load_settings(asked.settings_file, out=asked.out, keep_zip=keep_zip or None)
    if asked.account is None:
        return settings
    settings.account(asked.account)  # or there is no such account
    return replace(settings, fallback_account=asked.account)


@contextmanager
def open_list(asked: Asked, settings: Settings) -> Iterator[Iterator[Job] | Feed | None]:
    """Open the list that is asked for; None where it is empty. Waits for its first job.

    A regular file is read where it is iterated; what may keep one waiting is a Feed, to be iterated
    asynchronously. Raises ConfigError for what is wrong with the list as a whole, and where there
    is no list at all.
    """
    from bulkfetch.config import open_jobs

    listed = asked.ids_file if asked.ids or asked.ids_file else _text(settings.ids_file)
    if not asked.ids and listed is None and not settings.jobs:
        raise ConfigError(
            "no job ids given",
            hint="Give ids as arguments, --ids FILE, or ids_file or [[jobs]] in "
            f"{asked.settings_file}.",
        )

    at_terminal = listed == "-" and os.isatty(0)

    @contextmanager
    def opened() -> Iterator[Iterator[Job]]:
        stdin = _stdin() if listed == "-" else None
        with open_jobs(settings, asked.ids, asked.ids_file, asked.ids_column, stdin) as jobs:
            yield _read(jobs, listed or "", at_terminal)

    if not _may_block(listed):
        with opened() as jobs:
            first = next(jobs, None)
            yield None if first is None else chain([first], jobs)
        return
    feed = Feed(opened)
    try:
        yield feed if feed.wait_for_first() else None
    finally:
        feed.stop()


def _read(jobs: Iterator[Job], listed: str, at_terminal: bool) -> Iterator[Job]:
    try:
        yield from jobs
    except OSError as error:
        if at_terminal and error.errno == errno.EIO:
            raise TerminalGone from None
        raise ListUnreadable(f"the list {listed}: {error.strerror}") from None


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _may_block(listed: str | None) -> bool:
    if listed is None:
        return False
    try:
        mode = os.fstat(0).st_mode if listed == "-" else os.stat(listed).st_mode
    except OSError as error:
        if listed == "-":
            raise ConfigError(f"stdin: {error.strerror}") from None
        return False  # to be complained about by who opens it
    return not stat.S_ISREG(mode)


def _stdin() -> BinaryIO:
    # Not sys.stdin: its buffer's lock would be held by a thread that waits for a line when the
    # interpreter ends and wants it.
    return open(os.dup(0), "rb", buffering=_READ_BYTES)

"""The settings and the list of jobs, from the command line and jobs.toml."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar

import click

from bulkfetch.cli.async_reader import AsyncReader
from bulkfetch.cli.job_limit import JobLimit
from bulkfetch.cli.misplaced import require_ids
from bulkfetch.cli.recall import recalled
from bulkfetch.cli.settings_source import file_and_rest, load, settings_source
from bulkfetch.errors import ConfigError, RunError
from bulkfetch.models import Job

if TYPE_CHECKING:
    from bulkfetch.config import Settings


class ListUnreadable(RunError):
    """The list of ids could not be read to its end."""

    code = "LIST_UNREADABLE"
    default_hint = "Run the same command again: nothing is fetched twice."


class EmptyList(RunError):
    """The list is empty."""

    code = "EMPTY_LIST"
    default_hint = "Find out why nothing was listed; without --fail-empty this is only a warning."


class TerminalGone(ListUnreadable):
    """The terminal on which the list was typed is gone."""


F = TypeVar("F", bound=Callable[..., Any])

_READ_BYTES = 256 * 1024


class ListOptions(NamedTuple):
    """The arguments that select the jobs to fetch; None and () if not given.

    `again` are ids, or "missing", to fetch even if they are done; `failed` and `pending` select
    all failed and all unfinished jobs of the output folder. `limit` bounds how many of all these
    are taken up.
    """

    settings_file: str | None
    data_center: str | None
    ids: tuple[str, ...]
    lists: tuple[str, ...]
    ids_column: str | None
    account: str | None
    out: str | None
    again: tuple[str, ...] = ()
    failed: bool = False
    pending: bool = False
    limit: JobLimit | None = None

    @property
    def source(self) -> str:
        """What stands in a command for its settings: their file, or the option without one."""
        return self.settings_file or f"--data-center={self.data_center}"

    @property
    def recalls(self) -> bool:
        """Whether some of the jobs come from the journal."""
        return bool(self.again) or self.failed or self.pending


def id_lists(command: F) -> F:
    """Add the options about lists of ids to a command: lists, ids_column."""
    add_lists = click.option(
        "--ids",
        "lists",
        multiple=True,
        metavar="FILE|-",
        callback=_lists,
        help="Read ids from a file or stdin: one per line, '#' comments; repeatable.",
    )
    add_column = click.option(
        "--ids-column",
        metavar="NAME|N",
        callback=_column,
        help="The lists are CSV files: read this column, by title or number (from 1).",
    )
    return add_lists(add_column(command))


def _lists(_: click.Context, __: click.Parameter, lists: tuple[str, ...]) -> tuple[str, ...]:
    if not all(map(str.strip, lists)):
        raise click.BadParameter("the name of the list is empty", param_hint="'--ids'")
    if lists.count("-") > 1:
        raise click.BadParameter("stdin ('-') can be read only once", param_hint="'--ids'")
    return lists


def _column(_: click.Context, __: click.Parameter, column: str | None) -> str | None:
    if column is not None and column.strip("0") == "":
        raise click.BadParameter("columns are numbered from 1", param_hint="'--ids-column'")
    return column


def list_options(command: F) -> F:
    """Add the arguments of `ListOptions` to a command, which receives them as `options`."""

    @settings_source
    @click.argument("ids", nargs=-1, metavar="[ID]...")
    @id_lists
    @click.option("--account", metavar="NAME", help="The account of ids without one.")
    @click.option("--out", metavar="DIR", help="The output folder, instead of `out` in JOBS.toml.")
    @wraps(command)
    def with_options(
        settings_file: str | None,
        data_center: str | None,
        ids: tuple[str, ...],
        lists: tuple[str, ...],
        ids_column: str | None,
        account: str | None,
        out: str | None,
        **others: Any,
    ) -> Any:
        file, ids = file_and_rest(settings_file, ids, data_center)
        options = ListOptions(file, data_center, ids, lists, ids_column, account, out)
        return command(options=options, **others)

    # Its parameters differ from the command's on purpose.
    return with_options  # type: ignore[return-value]


def settings_of(
    options: ListOptions,
    *,
    keep_zip: bool = False,
    overwrite: bool = False,
    wait: float | None = None,
    limit_rate: int | None = None,
) -> Settings:
    """Load the settings. Raises ConfigError."""
    return load(
        options.settings_file,
        options.data_center,
        ids=options.ids,
        lists=options.lists,
        account=options.account,
        out=options.out,
        keep_zip=keep_zip or None,
        wait=wait,
        overwrite=overwrite or None,
        max_bytes_per_s=limit_rate,
    )


@contextmanager
def open_list(
    options: ListOptions, settings: Settings
) -> Iterator[Iterator[Job] | AsyncReader | None]:
    """Open the selected list, None if it is empty. Waits for the first job.

    A regular file is read while it is iterated; a list that may block (stdin, a pipe) is given as
    an AsyncReader. Raises ConfigError where the list as a whole is wrong, or there is none.
    """
    from bulkfetch.config import open_jobs
    from bulkfetch.config.list_lines import waits

    require_ids(options.source, options.ids)
    if options.recalls and not options.ids and not options.lists:
        with recalled(options, settings) as found, _limited(found, options, settings) as jobs:
            first = next(jobs, None)
            yield None if first is None else chain([first], jobs)
        return
    lists = options.lists
    if not options.ids and not lists and settings.ids_file is not None:
        lists = (str(settings.ids_file),)
    if not options.ids and not lists and not settings.jobs:
        file = options.settings_file
        in_file = f", or ids_file or [[jobs]] in {file}" if file else ""
        exports = " Its [[exports]] are for `bulkfetch export`." if settings.exports else ""
        raise ConfigError(
            "no job ids given", hint=f"Give ids as arguments, --ids FILE{in_file}.{exports}"
        )

    at_terminal = "-" in lists and os.isatty(0)

    @contextmanager
    def opened() -> Iterator[Iterator[Job]]:
        stdin = _stdin() if "-" in lists else None
        with (
            recalled(options, settings) as before,
            open_jobs(settings, options.ids, options.lists, options.ids_column, stdin) as jobs,
            _limited(chain(before, _read(jobs, at_terminal)), options, settings) as listed,
        ):
            yield listed

    if not any(map(waits, lists)):
        with opened() as jobs:
            first = next(jobs, None)
            yield None if first is None else chain([first], jobs)
        return
    reader = AsyncReader(opened)
    try:
        yield reader if reader.wait_for_first() else None
    finally:
        reader.stop()


def _limited(
    jobs: Iterator[Job], options: ListOptions, settings: Settings
) -> AbstractContextManager[Iterator[Job]]:
    if options.limit is None:
        return nullcontext(jobs)
    return options.limit.over(jobs, settings.out)


def _read(jobs: Iterator[Job], at_terminal: bool) -> Iterator[Job]:
    try:
        yield from jobs
    except OSError as error:
        if at_terminal and error.errno == errno.EIO:
            raise TerminalGone from None
        raise ListUnreadable(f"the list {error.filename}: {error.strerror}") from None
    except ConfigError as error:
        # Of a pipe that was opened in its turn, when earlier lists were already being fetched.
        raise ListUnreadable(error.message, hint=error.hint) from None


def _stdin() -> BinaryIO:
    # Not sys.stdin: a thread that waits for a line would hold the lock of its buffer, which the
    # interpreter needs when it exits.
    return open(os.dup(0), "rb", buffering=_READ_BYTES)

"""The options of `run` and `export` about what is told, and where."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from bulkfetch.cli.printer import Printer
from bulkfetch.cli.recording import recording_of

if TYPE_CHECKING:
    from bulkfetch.cli.log_file import LogFile

F = TypeVar("F", bound=Callable[..., Any])


def output_options(*, json_help: str, verbose_help: str) -> Callable[[F], F]:
    """Return a decorator that adds the options, and sets the printer by them before the command.

    The command gets the printer as its first argument.
    """

    def decorate(command: F) -> F:
        @click.option("--json", "as_json", is_flag=True, help=json_help)
        @click.option(
            "-q", "--quiet", is_flag=True, help="Write only warnings and errors to stderr."
        )
        @click.option("--no-progress", is_flag=True, help="Do not show progress on stderr.")
        @click.option(
            "--timestamps", is_flag=True, help="Begin each line on stderr with its time and level."
        )
        @click.option("-v", "--verbose", count=True, help=verbose_help)
        @click.option(
            "--events",
            metavar="FILE",
            help="Add a line of JSON to FILE for each step; for `bulkfetch report`.",
        )
        @click.option(
            "--metrics",
            metavar="FILE",
            help="Keep FILE up to date for Prometheus (node_exporter's textfile collector).",
        )
        @click.option(
            "--log-file", metavar="FILE", help="Append what stderr gets to FILE, with times."
        )
        @click.option(
            "--log-format",
            type=click.Choice(["text", "json"]),
            default="text",
            show_default=True,
            help="Format of the log file.",
        )
        @wraps(command)
        def with_output(
            as_json: bool,
            quiet: bool,
            no_progress: bool,
            timestamps: bool,
            verbose: int,
            events: str | None,
            metrics: str | None,
            log_file: str | None,
            log_format: Literal["text", "json"],
            **others: Any,
        ) -> Any:
            context = click.get_current_context()
            printer: Printer = context.obj
            printer.configure(
                json=as_json,
                quiet=quiet,
                verbose=verbose,
                no_progress=no_progress,
                timestamps=timestamps,
                log=None if log_file is None else _log(log_file, log_format),
            )
            with recording_of(
                events, metrics, str(context.info_name), printer.warn
            ) as printer.recorder:
                status = command(printer, **others)
                printer.recorder.ended(status)
            return status

        # Its parameters differ from the command's on purpose.
        return with_output  # type: ignore[return-value]

    return decorate


def _log(path: str, form: Literal["text", "json"]) -> LogFile:
    from bulkfetch.cli.log_file import LogFile  # late: most runs have none

    return LogFile(path, form)

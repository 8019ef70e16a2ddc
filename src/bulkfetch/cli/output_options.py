"""The options of `run` and `export` about what is told, and where."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from bulkfetch.cli.printer import Printer

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
        @click.option("-v", "--verbose", count=True, help=verbose_help)
        @wraps(command)
        def with_output(
            as_json: bool,
            quiet: bool,
            no_progress: bool,
            verbose: int,
            **others: Any,
        ) -> Any:
            printer: Printer = click.get_current_context().obj
            printer.configure(json=as_json, quiet=quiet, verbose=verbose, no_progress=no_progress)
            return command(printer, **others)

        # Its parameters differ from the command's on purpose.
        return with_output  # type: ignore[return-value]

    return decorate

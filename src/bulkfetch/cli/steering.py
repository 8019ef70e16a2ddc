"""The options of `run` and `export` about their pace and their end, and what is started then."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from bulkfetch.cli.hooks import Hooks
from bulkfetch.cli.printer import Printer
from bulkfetch.cli.wait_time import Duration
from bulkfetch.errors import RunError
from bulkfetch.text import duration

F = TypeVar("F", bound=Callable[..., Any])


class OutOfTime(RunError):
    """The time that --max-duration gives is over."""

    code = "OUT_OF_TIME"
    default_hint = "Run the same command again to continue."

    @classmethod
    def after(cls, seconds: float) -> OutOfTime:
        """Return the error for a limit of so many seconds."""
        return cls(f"the {duration(seconds)} of --max-duration are over")


class Rate(click.ParamType[int]):
    """Bytes per second, such as 500k, of which a letter alone is a power of 1024."""

    name = "rate"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the bytes; fails for what is no rate, or none at all."""
        if isinstance(value, int):
            return value
        from bulkfetch.config.quantities import parse_rate  # late: it imports all settings

        try:
            rate = parse_rate(value)
        except ValueError:
            rate = 0
        if rate < 1:
            self.fail(
                f"{value[:40]!a} is not a rate such as 500k, 1.5M or 2M, in bytes per second",
                param,
                ctx,
            )
        return rate


class CommandLine(click.ParamType[tuple[str, ...]]):
    """The words of a command, split as a shell does."""

    name = "command"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Return the words; fails where there are none or a quote is not closed."""
        if isinstance(value, tuple):
            return value
        try:
            words = tuple(shlex.split(value))
        except ValueError as error:
            self.fail(f"{value[:60]!a}: {error}", param, ctx)
        if not words:
            self.fail("the command is empty", param, ctx)
        return words


def steering_options(command: F) -> F:
    """Add the options to a command, which receives `max_s` and `limit_rate`, None for no limit.

    The commands to start at the end go to the printer.
    """

    @click.option(
        "--max-duration",
        "max_s",
        type=Duration(),
        metavar="DURATION",
        help="Start nothing more after this time (such as 90s, 30m, 2h); exit status 3.",
    )
    @click.option(
        "--limit-rate",
        type=Rate(),
        metavar="RATE",
        help="Download at most so many bytes per second (such as 500k, 2M) in all.",
    )
    @click.option(
        "--on-done",
        type=CommandLine(),
        metavar="CMD",
        help="Start CMD if all is done; the summary as JSON is its stdin.",
    )
    @click.option(
        "--on-failure",
        type=CommandLine(),
        metavar="CMD",
        help="Start CMD after any other end; the summary as JSON is its stdin.",
    )
    @wraps(command)
    def steered(
        on_done: tuple[str, ...] | None, on_failure: tuple[str, ...] | None, **others: Any
    ) -> Any:
        printer: Printer = click.get_current_context().obj
        printer.hooks = Hooks(on_done, on_failure)
        return command(**others)

    # Its parameters differ from the command's on purpose.
    return steered  # type: ignore[return-value]

"""The program: its commands, and how their errors are reported."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from bulkfetch.cli import completion, exit_codes
from bulkfetch.cli.hooks import run_hook
from bulkfetch.cli.lazy_group import LazyCommands
from bulkfetch.cli.misplaced import missing_hint
from bulkfetch.cli.printer import Printer, StdoutGone
from bulkfetch.cli.signals import raise_on_signals
from bulkfetch.errors import BulkfetchError, ConfigError
from bulkfetch.models import Failure
from bulkfetch.text import escape

_ABOUT = """\b
Examples:
  bulkfetch export jobs.toml                export whole modules, or continue
  bulkfetch run jobs.toml                   fetch what jobs.toml lists, or continue
  bulkfetch run jobs.toml --ids ids.txt     fetch a list of ids
  bulkfetch plan jobs.toml                  when each download would start; no request
  bulkfetch status exports                  what is done, what failed and why

Export whole modules of Zoho CRM, or download long lists of bulk-read results: each once, verified
and unpacked, as early as Zoho's limit of ten downloads per minute allows.
"""


# Each is in the module of its name, in the order of the help: the most used first.
_COMMANDS = (
    *("export", "run", "plan", "status", "verify", "check", "init"),
    *("forget", "clean", "modules", "fields", "fleet", "report", "schema", "sandbox"),
    *("completion", "man"),
)
# Those that end with a summary where --json is given.
_SUMMED_UP = (("export",), ("run",), ("fleet", "wait"))


@click.group(
    cls=LazyCommands,
    names=_COMMANDS,
    invoke_without_command=True,
    help=_ABOUT,
    epilog=exit_codes.EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="bulkfetch", message="%(prog)s %(version)s")
@click.pass_context
def program(context: click.Context) -> int:
    """Run a command; without one, write the help to stderr."""
    if context.invoked_subcommand is None:
        printer: Printer = context.obj
        printer.raw(context.get_help())
    return exit_codes.USAGE


def execute(arguments: Sequence[str] | None) -> int:
    """Run the program and return its exit status, as `cli.main`."""
    printer = Printer()
    words = list(sys.argv[1:] if arguments is None else arguments)
    completes = arguments is None and completion.is_asked()
    with raise_on_signals(), _warnings_told(printer):
        status = _answered_for(
            printer, lambda: completion.answer(program) if completes else _command(printer, words)
        )
        if printer.summary is None and _owes_summary(words):
            status = _answered_for(printer, lambda: _sum_up(printer, status)) or status
        # Results may still be queued, and writing the last of them may fail.
        flushed = _answered_for(printer, printer.close)
        if (hook := printer.hooks.due(status or flushed)) is not None:
            run_hook(*hook, printer.summary or _summary(printer, status or flushed), printer.warn)
        printer.close_log()
    if printer.leaves_threads and arguments is None:
        os._exit(status or flushed)  # Python would wait for its threads
    return status or flushed


@contextmanager
def _warnings_told(printer: Printer) -> Iterator[None]:
    """Have what a library warns of told as a warning, without its line of code."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: printer.warn(str(message))
        yield


def _owes_summary(words: Sequence[str]) -> bool:
    """Return whether stdout is to end with a summary: also of what could not even be parsed."""
    summed_up = any(tuple(words[: len(each)]) == each for each in _SUMMED_UP)
    return "--json" in words and summed_up and not {"-h", "--help"} & set(words)


def _sum_up(printer: Printer, status: int) -> None:
    printer.json = True
    printer.sum_up(_summary(printer, status))


def _summary(printer: Printer, status: int) -> dict[str, Any]:
    """Return the summary of a run that never began."""
    from bulkfetch.models import Report
    from bulkfetch.observe.records import summary_record

    interrupted = status == exit_codes.INTERRUPTED
    return summary_record(
        Report(aborted=printer.cause, interrupted=interrupted, list_read=False), status
    )


def _command(printer: Printer, words: list[str]) -> int:
    # Not program.main(): it bypasses the printer and has its own exit statuses.
    try:
        with printer.pages(), program.make_context("bulkfetch", words, obj=printer) as context:
            given = program.invoke(context)
    except click.exceptions.Exit as end:  # --help, --version
        return end.exit_code
    return given if isinstance(given, int) else exit_codes.DONE


def _answered_for(printer: Printer, act: Callable[[], int | None]) -> int:
    """Call `act`; report what it raises and return the exit status for it."""
    try:
        return act() or exit_codes.DONE
    except click.UsageError as error:
        hint = _usage_hint(error)
        printer.error(error.format_message(), hint)
        printer.cause = Failure("USAGE", escape(error.format_message()), escape(hint))
        return exit_codes.USAGE
    except click.ClickException as error:
        printer.error(error.format_message())
        printer.cause = Failure("USAGE", escape(error.format_message()))
        return exit_codes.USAGE
    except ConfigError as error:
        printer.failure(error)
        return exit_codes.USAGE
    except BulkfetchError as error:
        printer.failure(error)
        return exit_codes.ABORTED
    except StdoutGone:
        return exit_codes.INTERRUPTED
    except KeyboardInterrupt:
        printer.note("interrupted")
        return exit_codes.INTERRUPTED
    except Exception as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            # It interrupted a lock of Python's own threading, which then raises another error.
            printer.note("interrupted")
            return exit_codes.INTERRUPTED
        printer.bug(error)
        return exit_codes.ABORTED


def _usage_hint(error: click.UsageError) -> str:
    hint = getattr(error, "hint", "")
    if hint:
        return str(hint)
    missing = error.param if isinstance(error, click.MissingParameter) else None
    if missing is not None and missing.name == "settings_file":
        return missing_hint(error.ctx)
    path = error.ctx.command_path if error.ctx else "bulkfetch"
    return f"See `{path} --help`."

"""The program: its commands, and what becomes of everything that they raise."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.misplaced import command_hint, missing_hint
from bulkfetch.cli.printer import Printer, StdoutGone
from bulkfetch.cli.signals import raise_on_signals
from bulkfetch.errors import BulkfetchError, ConfigError

_ABOUT = """\b
Examples:
  bulkfetch run jobs.toml                   fetch what jobs.toml lists, or go on
  bulkfetch run jobs.toml --ids ids.txt     fetch a list of ids
  bulkfetch plan jobs.toml                  when would each start? asks nothing
  bulkfetch status exports                  what is done, what failed and why

Brings long lists of Zoho CRM bulk exports home: whole, verified, extracted, each once, as early as
the limit of ten downloads a minute allows.
"""


# Each is in the module of its name. The most used first, as the help lists them.
_COMMANDS = ("run", "plan", "status", "verify", "check", "schema", "sandbox")


class _Hinted(click.UsageError):
    """A wrong command line of which is known what was meant."""

    def __init__(self, message: str, ctx: click.Context, hint: str) -> None:
        super().__init__(message, ctx)
        self.hint = hint


class _Commands(click.Group):
    """Imports a command when it is asked for: the others are a tenth of a short run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if args and (hint := command_hint(args[0], _COMMANDS)) is not None:
                raise _Hinted(error.message, ctx, hint) from None
            raise

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(import_module(f"bulkfetch.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    help=_ABOUT,
    epilog=exit_codes.EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="bulkfetch", message="%(prog)s %(version)s")
@click.pass_context
def program(context: click.Context) -> int:
    """Take a command; without one the help goes to stderr, as nothing was asked for."""
    if context.invoked_subcommand is None:
        printer: Printer = context.obj
        printer.raw(context.get_help())
    return exit_codes.USAGE


def execute(arguments: Sequence[str] | None) -> int:
    """Run the program as `cli.main` says."""
    printer = Printer()
    with raise_on_signals():
        status = _answered_for(printer, lambda: _command(printer, arguments))
        # The results still have to go out, and the last of them may fail to.
        flushed = _answered_for(printer, printer.close)
    if printer.leaves_threads and arguments is None:
        os._exit(status or flushed)  # Python would wait for its threads
    return status or flushed


def _command(printer: Printer, arguments: Sequence[str] | None) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Not program.main(): it writes around the printer and has exit statuses of its own.
    try:
        with program.make_context("bulkfetch", words, obj=printer) as context:
            given = program.invoke(context)
    except click.exceptions.Exit as end:  # --help, --version
        return end.exit_code
    return given if isinstance(given, int) else exit_codes.DONE


def _answered_for(printer: Printer, act: Callable[[], int | None]) -> int:
    """Do it, and turn whatever it raises into words and an exit status."""
    try:
        return act() or exit_codes.DONE
    except click.UsageError as error:
        printer.error(error.format_message(), _usage_hint(error))
        return exit_codes.USAGE
    except click.ClickException as error:
        printer.error(error.format_message())
        return exit_codes.USAGE
    except ConfigError as error:
        printer.failure(error)
        return exit_codes.USAGE
    except BulkfetchError as error:
        printer.failure(error)
        return exit_codes.ABORTED
    except StdoutGone:
        return exit_codes.INTERRUPTED
    except BrokenPipeError:
        # click wrote a help page; what is left in the stream's buffer must not fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return exit_codes.INTERRUPTED
    except KeyboardInterrupt:
        printer.note("interrupted")
        return exit_codes.INTERRUPTED
    except Exception as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            # It came between two steps of a lock, which Python's own threading does not stand.
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
    return f"`{path} --help` shows how it is used."

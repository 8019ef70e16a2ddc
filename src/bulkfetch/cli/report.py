"""`bulkfetch report`: an events file as one page of HTML."""

from __future__ import annotations

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.printer import Printer
from bulkfetch.errors import ConfigError

_ABOUT = """\b
Examples:
  bulkfetch run jobs.toml --events events.jsonl
  bulkfetch report events.jsonl > run.html
  bulkfetch report - < events.jsonl > run.html

Write a page about a run: its window of ten, minute by minute, bytes over time, what waited for
what, and failures by code. EVENTS is a file that --events of `run` or `export` has written, or -
for stdin; of several runs in one file the last is shown, also while it still runs.

The page is a single file without scripts, and loads nothing.
"""

_EPILOG = exit_codes.epilog(
    s0="the page is written",
    s2="usage error, or the file holds no events",
    s130="interrupted, or stdout was closed",
)


@click.command(help=_ABOUT, short_help="Make a page about a run from its events.", epilog=_EPILOG)
@click.argument("events", metavar="EVENTS")
@click.pass_obj
def report(printer: Printer, events: str) -> int:
    """Write the page, and return the exit status."""
    from bulkfetch.observe.report.gathering import MOST_LINE_BYTES, gather
    from bulkfetch.observe.report.page import page

    try:
        with open(0 if events == "-" else events, "rb", closefd=events != "-") as file:
            gathered = gather(iter(lambda: file.readline(MOST_LINE_BYTES + 1), b""))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{events}: {reason}", hint="Name the file of --events.") from None
    if not gathered.lines:
        raise ConfigError(f"{events} holds no events", hint="Name the file of --events.")
    printer.result("".join(page(gathered)).rstrip("\n"), None)
    return exit_codes.DONE

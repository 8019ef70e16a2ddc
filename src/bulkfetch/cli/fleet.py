"""`bulkfetch fleet`: many accounts, worked off by workers on several hosts."""

from __future__ import annotations

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.lazy_group import LazyCommands
from bulkfetch.cli.printer import Printer

_ABOUT = """\b
Examples:
  bulkfetch fleet try                              see one on this machine, without an account
  bulkfetch fleet check fleet.toml                 see what this host lacks
  bulkfetch fleet init fleet.toml                  create its tables, once
  bulkfetch fleet work fleet.toml                  run a worker, on each host
  bulkfetch fleet submit fleet.toml --exports      have all of [[exports]] done
  bulkfetch fleet wait fleet.toml 1                wait for submission 1

Fetch for hundreds or thousands of accounts, with workers on any number of hosts. They share a
PostgreSQL, which holds what is to be fetched, what became of it, and each account's limit. Results
go to a bucket, or to a folder that all hosts share. If a worker dies, nothing is lost: the others
continue with its accounts.
"""

_EPILOG = exit_codes.epilog(s0="as each command says", s2="usage error")

# The order in which they are needed.
_COMMANDS = ("check", "init", "submit", "work", "wait", "status", "try")


@click.group(
    cls=LazyCommands,
    names=_COMMANDS,
    prefix="fleet_",
    invoke_without_command=True,
    help=_ABOUT,
    short_help="Fetch for many accounts, on several hosts.",
    epilog=_EPILOG,
)
@click.pass_context
def fleet(context: click.Context) -> int:
    """Run a command; without one, write the help to stderr."""
    if context.invoked_subcommand is None:
        printer: Printer = context.obj
        printer.raw(context.get_help())
    return exit_codes.USAGE

"""`bulkfetch fleet check`: whether a worker on this host has what it needs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.check import tell_findings
from bulkfetch.cli.fleet_settings import fleet_of
from bulkfetch.cli.printer import Printer
from bulkfetch.cli.signals import run_in_loop

if TYPE_CHECKING:
    from bulkfetch.cli.check_findings import Finding
    from bulkfetch.config.fleet import FleetSettings

_ABOUT = """\b
Examples:
  bulkfetch fleet check fleet.toml
  bulkfetch fleet check fleet.toml --online
  bulkfetch fleet check fleet.toml --json

Check FLEET.toml, and what this host needs to work with it: the staging folder, and for each account
its credentials (whether they are set, never their values) and the software that it needs. Makes no
network request and changes nothing. The exit status is that of a worker, but for accounts without
credentials, which a worker only leaves aside.

With --online, connect to the database, and check its tables and the rights that a worker needs.
"""

_EPILOG = exit_codes.epilog(
    s0="a worker can start",
    s2="usage or configuration error, with --online also of the database: a worker would not start",
    s3="the staging folder cannot be used, or an account has no credentials",
    s130="interrupted, or stdout was closed",
)


@click.command(help=_ABOUT, short_help="Check whether a worker can start.", epilog=_EPILOG)
@click.argument("fleet_file", metavar="FLEET.toml")
@click.option("--online", is_flag=True, help="Connect to the database too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_obj
def check(printer: Printer, fleet_file: str, online: bool, as_json: bool) -> int:
    """Check what a worker needs, and return the exit status."""
    printer.json = as_json
    fleet = fleet_of(printer, fleet_file)
    found = chain(_staging(fleet), _accounts(fleet))
    return tell_findings(printer, chain(found, _database(fleet)) if online else found)


def _staging(fleet: FleetSettings) -> Iterator[Finding]:
    from bulkfetch.cli.check_findings import Finding
    from bulkfetch.errors import RunError
    from bulkfetch.pipeline.preflight import require_writable

    name, staging = "fleet.staging", fleet.fleet.staging
    try:
        require_writable(staging)
        yield Finding(name, str(staging))
    except RunError as error:
        yield Finding.of(name, error)


def _accounts(fleet: FleetSettings) -> Iterator[Finding]:
    """Yield what accounts lack here, once if it is of none of them, and how many lack nothing."""
    from bulkfetch.cli.check_findings import Finding
    from bulkfetch.models import Failure
    from bulkfetch.observe.messages import message_words
    from bulkfetch.readiness import problems

    lacking: dict[str, Finding] = {}
    ready = 0
    for account in fleet.settings.accounts:
        found = list(problems(fleet.of_account(account.name, fleet.fleet.staging)))
        ready += not found
        for problem in found:
            whose = f"accounts.{account.name}." if problem.account else ""
            finding = Finding.of(f"{whose}{problem.part}", problem.error)
            value = message_words(account.name, Failure.of(problem.error))
            lacking.setdefault(finding.name, finding._replace(value=value))
    yield Finding("accounts", f"{ready} of {len(fleet.settings.accounts)} lack nothing here")
    yield from lacking.values()


def _database(fleet: FleetSettings) -> Iterator[Finding]:
    from bulkfetch.cli.check_findings import Finding
    from bulkfetch.errors import ConfigError

    try:
        yield Finding("fleet.database", run_in_loop(_usable(fleet)))
    except ConfigError as error:
        yield Finding.of("fleet.database", error)


async def _usable(fleet: FleetSettings) -> str:
    """Return that the database can be used by a worker. Raises ConfigError."""
    from bulkfetch.fleet.database import open_connection, refused, require_rights, steps
    from bulkfetch.ratelimit.postgres.schema import FAILED, host_of

    url = fleet.fleet.database
    connection = await open_connection(url, fleet.password)
    try:
        await require_rights(connection)
    except FAILED as error:
        raise refused(url, error) from None
    finally:
        connection.terminate()
    return f"{host_of(url)}, with tables of version {len(steps())}"

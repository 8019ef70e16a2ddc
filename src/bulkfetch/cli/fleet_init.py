"""`bulkfetch fleet init`: the tables of a fleet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.fleet_settings import fleet_of
from bulkfetch.cli.printer import Printer

if TYPE_CHECKING:
    from bulkfetch.config.fleet import FleetSettings

_ABOUT = """\b
Examples:
  bulkfetch fleet init fleet.toml
  bulkfetch fleet init fleet.toml --sql > fleet.sql

Make the tables of a fleet in the schema `bulkfetch` of its database, or bring them up to this
version; doing it again does no harm. Workers of the version before go on meanwhile. The role of
`database` must be allowed to make them; with --sql nothing is connected to, and the statements are
printed that make them in a database without any, for its owner to run with psql, together with the
rights that the workers' role needs.
"""

_EPILOG = exit_codes.epilog(
    s0="the tables are there, or were printed",
    s2="bad settings, no database, or tables of a newer version: nothing was changed",
    s130="interrupted, or stdout was closed",
)


@click.command(help=_ABOUT, short_help="Make a fleet's tables.", epilog=_EPILOG)
@click.argument("fleet_file", metavar="FLEET.toml")
@click.option("--sql", is_flag=True, help="Print the statements instead.")
@click.pass_obj
def init(printer: Printer, fleet_file: str, sql: bool) -> int:
    """Make the tables, or print how, and return the exit status."""
    fleet = fleet_of(printer, fleet_file)
    if sql:
        _print(printer)
        return exit_codes.DONE
    from bulkfetch.ratelimit.postgres.schema import host_of

    before, after = asyncio.run(_install(fleet))
    database = host_of(fleet.fleet.database)
    if before == after:
        printer.note(f"the tables in {database} are of version {after} already")
    elif before:
        printer.note(f"the tables in {database} were of version {before}, and are of {after} now")
    else:
        printer.note(f"made the tables in {database}, version {after}")
    return exit_codes.DONE


def _print(printer: Printer) -> None:
    from bulkfetch.fleet import engine
    from bulkfetch.fleet.database import install_sql

    for part in (*install_sql(), engine.install_sql()):
        for line in part.splitlines():
            printer.result(line, None)


async def _install(fleet: FleetSettings) -> tuple[int, int]:
    """Make the tables, the engine's too; return their versions before and after."""
    import asyncpg

    from bulkfetch.errors import ConfigError
    from bulkfetch.fleet import engine
    from bulkfetch.fleet.database import STATEMENT_S, install, refused
    from bulkfetch.ratelimit.postgres.schema import FAILED, connect, reason

    url = fleet.fleet.database
    try:
        connection = await connect(url, fleet.password, STATEMENT_S)
        try:
            versions = await install(connection)
            await engine.install(connection)
        finally:
            await connection.close(timeout=1)
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigError(
            f"the fleet's tables cannot be made: {reason(error)}",
            hint="Have the database's owner run this, or what it prints with --sql.",
        ) from None
    except FAILED as error:
        raise refused(url, error) from None
    return versions

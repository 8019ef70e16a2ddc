"""`bulkfetch fleet init`: the tables of a fleet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.fleet_settings import fleet_of
from bulkfetch.cli.printer import Printer
from bulkfetch.cli.signals import run_in_loop

if TYPE_CHECKING:
    import asyncpg

    from bulkfetch.config.fleet import FleetSettings

    Connection: TypeAlias = asyncpg.Connection[Any]

T = TypeVar("T")

_ABOUT = """\b
Examples:
  bulkfetch fleet init fleet.toml
  bulkfetch fleet init fleet.toml --sql > fleet.sql
  bulkfetch fleet init fleet.toml --missing > upgrade.sql

Create the tables of a fleet in the schema `bulkfetch` of its database, or upgrade them to this
version; you may repeat it. Workers of the previous version keep running meanwhile.

The role in `database` needs the right to create tables. If it has not, print the statements, and
have the database's owner run them with psql. --sql prints those for a database without these
tables, and the GRANTs that the workers' role needs; it connects to nothing. --missing looks at the
tables, changes nothing, and prints the statements that upgrade them to this version.
"""

_EPILOG = exit_codes.epilog(
    s0="the tables are there, or the statements were printed",
    s2="bad settings, no database, or tables of a newer version: nothing was changed",
    s130="interrupted, or stdout was closed",
)


@click.command(help=_ABOUT, short_help="Create a fleet's tables.", epilog=_EPILOG)
@click.argument("fleet_file", metavar="FLEET.toml")
@click.option("--sql", is_flag=True, help="Print the statements for an empty database instead.")
@click.option("--missing", is_flag=True, help="Print the statements that this database lacks.")
@click.pass_obj
def init(printer: Printer, fleet_file: str, sql: bool, missing: bool) -> int:
    """Make the tables, or print how, and return the exit status."""
    if sql and missing:
        raise click.UsageError("--sql and --missing cannot be used together")
    fleet = fleet_of(printer, fleet_file)
    if sql or missing:
        for part in run_in_loop(_connected(fleet, _missing)) if missing else _whole():
            for line in part.splitlines():
                printer.result(line, None)
        return exit_codes.DONE
    from bulkfetch.ratelimit.postgres.schema import host_of

    before, after = run_in_loop(_connected(fleet, _install))
    database = host_of(fleet.fleet.database)
    if before == after:
        printer.note(f"the tables in {database} are of version {after} already")
    elif before:
        printer.note(f"the tables in {database} were of version {before}, and are of {after} now")
    else:
        printer.note(f"made the tables in {database}, version {after}")
    return exit_codes.DONE


def _whole() -> list[str]:
    """Return the statements that make all tables, the engine's too."""
    from bulkfetch.fleet import engine
    from bulkfetch.fleet.database import install_sql

    return [*install_sql(), engine.install_sql()]


async def _missing(connection: Connection) -> list[str]:
    """Return the statements that make what is missing."""
    from bulkfetch.fleet import engine
    from bulkfetch.fleet.database import missing_sql

    return [*await missing_sql(connection), *await engine.missing_sql(connection)]


async def _install(connection: Connection) -> tuple[int, int]:
    """Make the tables, the engine's too; return their versions before and after."""
    from bulkfetch.fleet import engine
    from bulkfetch.fleet.database import install

    versions = await install(connection)
    await engine.install(connection)
    return versions


async def _connected(fleet: FleetSettings, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Do `work` with the fleet's database. Raises ConfigError."""
    import asyncpg

    from bulkfetch.errors import ConfigError
    from bulkfetch.fleet.database import refused
    from bulkfetch.ratelimit.postgres.schema import FAILED, connect, reason

    url = fleet.fleet.database
    try:
        connection = await connect(url, fleet.password)
        try:
            return await work(connection)
        finally:
            await connection.close(timeout=1)
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigError(
            f"the fleet's tables cannot be made: {reason(error)}",
            hint="Have the database's owner run what it prints with --sql, or with --missing where "
            "there are tables already.",
        ) from None
    except FAILED as error:
        raise refused(url, error) from None

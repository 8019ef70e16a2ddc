"""The fleet's tables: how they are made, and whether they are there and can be used.

Each file of `sql/` is a step from one version to the next, and writes at its end which one the
tables are of then. Steps only add, so that workers of the version before go on beside newer ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, TypeVar

import asyncpg

from bulkfetch.errors import ConfigError
from bulkfetch.ratelimit.patience import pauses
from bulkfetch.ratelimit.postgres import schema as window
from bulkfetch.ratelimit.postgres.schema import CAREFULLY, FAILED, connect, host_of, reason
from bulkfetch.secret import Secret

T = TypeVar("T")

# How long a statement of a command or a worker may take, in seconds.
STATEMENT_S = window.STATEMENT_S
# What no waiting mends: values, constraints, statements and rights.
_LASTING = frozenset({"22", "23", "42"})
# Of a connection: it broke, there are too many, the server stops or starts.
_PASSING = frozenset({"08", "53", "57"})
_INIT_HINT = (
    "Run `bulkfetch fleet init FLEET.toml`; --sql prints what the database's owner may run."
)
_GRANT_HINT = "The GRANTs that the role needs are in what `bulkfetch fleet init --sql` prints."
_NOT_OURS = r"""
    SELECT relname FROM pg_class
    WHERE relnamespace = 'bulkfetch'::regnamespace AND relkind = 'r' AND relname LIKE 'fleet\_%'
        AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
            AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
    ORDER BY relname
"""


def steps() -> list[str]:
    """Return the SQL of each version, the first one's first."""
    folder = files("bulkfetch.fleet").joinpath("sql")
    found = sorted(each.name for each in folder.iterdir() if each.name.endswith(".sql"))
    return [folder.joinpath(name).read_text(encoding="utf-8") for name in found]


def may_pass(error: BaseException) -> bool:
    """Return whether an error of the database may be over some time later."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "")[:2] not in _LASTING
    return isinstance(error, FAILED) and not isinstance(error, ValueError)


async def until_done(
    attempt: Callable[[], Awaitable[T]], away: Callable[[BaseException], None] = lambda _: None
) -> T:
    """Return what an attempt gives, which is made again and again while the database is away.

    `away` is told each error that may be over some time later. Raises what no waiting mends. If
    cancelled: an attempt may have been made.
    """
    waits = pauses()
    while True:
        try:
            return await attempt()
        except FAILED as error:
            _require_wanted()
            if not may_pass(error):
                raise
            away(error)
        await asyncio.sleep(next(waits))


def _require_wanted() -> None:
    """Raise CancelledError where the task is being cancelled.

    A connection that is broken may raise an error of its own in place of that.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def may_start(error: BaseException) -> bool:
    """Return whether a connection may be had some seconds later, as while a server starts."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "")[:2] in _PASSING
    return isinstance(error, OSError | TimeoutError)


def refused(url: str, error: BaseException) -> ConfigError:
    """Return what a command ends with where its database cannot be used."""
    hint = "Nothing was done. Check `database` in [fleet], and whether the server runs."
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        hint = (
            "The password comes from BULKFETCH_DATABASE_PASSWORD, PGPASSFILE or a service file; "
            "the user from the address."
        )
    elif isinstance(error, asyncpg.InsufficientPrivilegeError):
        hint = _GRANT_HINT
    elif isinstance(error, asyncpg.SyntaxOrAccessError):
        hint = (
            "Restore the schema bulkfetch from a backup; or drop it, run `bulkfetch fleet init "
            "FLEET.toml`, and submit again what is still wanted."
        )
    return ConfigError(
        f"the fleet's database {host_of(url)} cannot be used: {reason(error)}", hint=hint
    )


@contextmanager
def tables_required(url: str) -> Iterator[None]:
    """Raise ConfigError where a table turns out to be missing, changed or not for this role."""
    try:
        yield
    except asyncpg.SyntaxOrAccessError as error:
        raise refused(url, error) from None


async def open_connection(url: str, password: Secret | None) -> asyncpg.Connection[Any]:
    """Connect to a fleet's database, whose tables are there. Raises ConfigError.

    If cancelled: nothing is left open.
    """
    try:
        connection = await connect(url, password)
    except FAILED as error:
        raise refused(url, error) from None
    try:
        await require_tables(connection)
    except BaseException as error:
        connection.terminate()
        if isinstance(error, FAILED):
            raise refused(url, error) from None
        raise
    return connection


async def require_tables(connection: asyncpg.Connection[Any]) -> None:
    """Raise ConfigError where the tables are missing, or of another version than this one's."""
    found, known = await _version(connection), len(steps())
    if found == 0:
        raise ConfigError("the database has no tables of a fleet", hint=_INIT_HINT)
    if found < known:
        raise ConfigError(
            f"the fleet's tables are of version {found}; this bulkfetch needs {known}",
            hint=_INIT_HINT,
        )
    _refuse_newer(found, known)


async def require_rights(connection: asyncpg.Connection[Any]) -> None:
    """Raise ConfigError where this role lacks a right that workers need: before any turn is taken.

    As after an upgrade, whose new tables nobody has granted.
    """
    tables = await connection.fetch(_NOT_OURS)
    if tables:
        names = ", ".join(row["relname"] for row in tables)
        raise ConfigError(f"the database's role may not use {names}", hint=_GRANT_HINT)


async def install(connection: asyncpg.Connection[Any]) -> tuple[int, int]:
    """Make the tables of the window and of the journal, or bring them up to this version.

    Return the versions before (0: there were none) and after. Doing it again changes nothing, and
    two who do it at once do it one after the other. Raises ConfigError where the tables are of a
    newer version, asyncpg.PostgresError. If cancelled: all of it is done, or nothing.
    """
    known = steps()
    async with connection.transaction():
        await connection.execute(CAREFULLY)
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('bulkfetch fleet init'))")
        await connection.execute(window.SQL_FILE.read_text(encoding="utf-8"))
        found = await _version(connection)
        _refuse_newer(found, len(known))
        for sql in known[found:]:
            await connection.execute(sql)
    return found, len(known)


def install_sql(found: int = 0) -> Iterator[str]:
    """Yield the statements that make the tables of the window and of the journal, for psql.

    Of a database whose tables are of version `found`, 0: that has none. All are done or none.
    """
    yield "BEGIN;"
    yield window.SQL_FILE.read_text(encoding="utf-8")
    yield from steps()[found:]
    yield "COMMIT;"


async def missing_sql(connection: asyncpg.Connection[Any]) -> Iterator[str]:
    """Return what makes of this database's tables those of this version, as `install_sql`.

    Nothing is changed. Raises ConfigError where they are of a newer version, asyncpg.PostgresError.
    """
    found = await _version(connection)
    _refuse_newer(found, len(steps()))
    return install_sql(found)


async def _version(connection: asyncpg.Connection[Any]) -> int:
    """Return the version of the tables, 0 where there are none."""
    if await connection.fetchval("SELECT to_regclass('bulkfetch.fleet_version')") is None:
        return 0
    version: int = await connection.fetchval("SELECT version FROM bulkfetch.fleet_version")
    return version


def _refuse_newer(found: int, known: int) -> None:
    if found > known:
        raise ConfigError(
            f"the fleet's tables are of version {found}; this bulkfetch knows {known}",
            hint="Upgrade bulkfetch on this host.",
        )

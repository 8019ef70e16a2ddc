"""The tables that hosts share, and whether they are there and can be trusted. SQL: `window.sql`."""

from __future__ import annotations

import logging
from importlib.resources import files
from typing import Any

import asyncpg

from bulkfetch.errors import ConfigError
from bulkfetch.secret import Secret

# That a connection is lost is told by whoever uses it; asyncpg's own warning has a traceback.
logging.getLogger("asyncpg").addHandler(logging.NullHandler())

VERSION = 1
# How long to wait for a connection, and for each statement, in seconds.
STATEMENT_S = 10.0
SQL_FILE = files("bulkfetch.ratelimit.postgres").joinpath("window.sql")

# What a database that is away, or does not do what it is asked to, raises.
# Internal errors too: asyncpg's of a connection that the server is just ending.
FAILED = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

# First in a transaction. Its commit is kept, whatever the database says of commits. A client that
# is frozen or cut off while it holds rows holds up all others: the server ends that.
CAREFULLY = (
    "SET LOCAL synchronous_commit = on; SET LOCAL idle_in_transaction_session_timeout = '5s'"
)
NOW = "extract(epoch FROM clock_timestamp())::double precision"
# Of windows and of control calls.
CLOSE_ALL = "; ".join(
    f"UPDATE bulkfetch.{table}"
    f" SET closed_until = greatest(coalesce(closed_until, 0), {NOW} + hold_s)"
    for table in ("account_window", "account_control")
)
# Gives an account's slots to a newer generation alone. A row that is made anew is closed where a
# fail-over may have lost an older one.
SUPERSEDE = f"""
    INSERT INTO bulkfetch.account_window AS row (account, generation, closed_until)
    SELECT $1, $2, CASE WHEN changed_at > {NOW} - 86400 THEN {NOW} + 86400 END
    FROM bulkfetch.window_version
    ON CONFLICT (account) DO UPDATE SET generation = excluded.generation
"""
_TIMELINE = "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"


async def probe(url: str, password: Secret | None) -> str:
    """Return in words whether a run could use a database; changes nothing there.

    Raises ConfigError where it could not.
    """
    try:
        connection = await connect(url, password)
        try:
            if not await are_there(connection):
                return f"connected to {host_of(url)}; the first run makes the tables"
            found = await tables(connection)
            return f"connected to {host_of(url)}, tables of version {found['version']}"
        finally:
            await connection.close(timeout=1)
    except FAILED as error:
        raise refused(url, error) from None


async def connect(url: str, password: Secret | None) -> asyncpg.Connection[Any]:
    """Connect to a database. Raises what FAILED names."""
    return await asyncpg.connect(
        url,
        password=None if password is None else password.reveal(),
        timeout=STATEMENT_S,
        command_timeout=STATEMENT_S,
        server_settings={"application_name": "bulkfetch"},
    )


async def prepare(connection: asyncpg.Connection[Any]) -> None:
    """Make the tables if there are none; close every account after a fail-over.

    Raises ConfigError where the tables are missing and cannot be made, or are of a newer version.
    """
    if not await are_there(connection):
        await _create(connection)
    found = await tables(connection)
    if found["timeline"] != found["now"]:
        async with connection.transaction():
            await connection.execute(CAREFULLY)
            await connection.execute(CLOSE_ALL)
            await connection.execute(
                f"UPDATE bulkfetch.window_version SET timeline = {_TIMELINE}, changed_at = {NOW}"
            )


async def are_there(connection: asyncpg.Connection[Any]) -> bool:
    """Return whether all tables are there; those of before may lack the newest.

    Raises ConfigError where this role may not use them.
    """
    try:
        for table in ("window_version", "account_control"):
            if await connection.fetchval("SELECT to_regclass($1)", f"bulkfetch.{table}") is None:
                return False
            await connection.execute(f"SELECT FROM bulkfetch.{table} LIMIT 0")
    except asyncpg.InsufficientPrivilegeError as error:
        raise _not_ours(reason(error)) from None
    return True


async def tables(connection: asyncpg.Connection[Any]) -> asyncpg.Record:
    """Return the row that says which tables these are. Raises ConfigError where they are not ours.

    So it does where they are of a newer version.
    """
    try:
        found: asyncpg.Record | None = await connection.fetchrow(
            f"SELECT version, timeline, {_TIMELINE} AS now FROM bulkfetch.window_version"
        )
    except (asyncpg.UndefinedColumnError, asyncpg.UndefinedTableError):
        found = None
    except asyncpg.InsufficientPrivilegeError as error:
        raise _not_ours(reason(error)) from None
    if found is None:
        raise _not_ours("its tables are not bulkfetch's")
    if found["version"] > VERSION:
        raise ConfigError(
            f"the window's tables are of version {found['version']}; "
            f"this bulkfetch knows {VERSION}",
            hint="Upgrade bulkfetch on this host.",
        )
    return found


def reason(error: BaseException) -> str:
    """Return in one line why a database cannot be used."""
    if isinstance(error, TimeoutError):
        return "it does not answer"
    lines = (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()
    return lines[0][:200]


def refused(url: str, error: BaseException) -> ConfigError:
    """Return what a run ends with where its database cannot be used from the start."""
    hint = (
        "Nothing was requested. Check `shared` in [window]; without it, runs on this machine share "
        "a window, and no other host may use the account."
    )
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        hint = (
            "The password comes from BULKFETCH_DATABASE_PASSWORD, PGPASSFILE or a service file; "
            "the user from the address."
        )
    return ConfigError(
        f"the window's database {host_of(url)} cannot be used: {reason(error)}", hint=hint
    )


def host_of(url: str) -> str:
    """Return what a database is called: its address without parameters."""
    return url.partition("?")[0]


async def _create(connection: asyncpg.Connection[Any]) -> None:
    try:
        await connection.execute(SQL_FILE.read_text(encoding="utf-8"))
    except asyncpg.InsufficientPrivilegeError as error:
        raise _not_ours(reason(error)) from None
    except (
        asyncpg.UniqueViolationError,
        asyncpg.DuplicateObjectError,
        asyncpg.DuplicateSchemaError,
        asyncpg.DuplicateTableError,
    ):
        # Somebody else makes them in this moment, and IF NOT EXISTS does not see that.
        await connection.execute(SQL_FILE.read_text(encoding="utf-8"))


def _not_ours(why: str) -> ConfigError:
    return ConfigError(
        f"the window's tables cannot be used or made ({why})",
        hint=f"Have the database's owner run {SQL_FILE} once (psql -f), then the two GRANTs that "
        "stand in it.",
    )

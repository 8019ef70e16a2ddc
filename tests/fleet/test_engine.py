"""The engine: its tables, and who gets a turn. A real server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import asyncpg
import pytest
from tests.support.postgres import PostgresServer

from bulkfetch.fleet.engine import ask_for_turns, install, install_sql

pytestmark = pytest.mark.slow

SCHEMA = "CREATE SCHEMA bulkfetch"
TABLES = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relname ~ 'pgqueuer'"
TURNS = "SELECT dedupe_key FROM bulkfetch.pgqueuer ORDER BY id"


def test_an_account_has_one_turn_however_often_it_is_asked_for(
    postgres: PostgresServer, database: str
) -> None:
    """Turns are asked for in a transaction and go with it; one that is there is not doubled."""

    async def main() -> None:
        connection = await asyncpg.connect(postgres.url(database))
        await connection.execute(SCHEMA)
        await install(connection)
        await install(connection)  # again: as after an upgrade

        async def turns() -> list[str]:
            return [row["dedupe_key"] for row in await connection.fetch(TURNS)]

        undone = connection.transaction()
        await undone.start()
        await ask_for_turns(connection, ["acme"])
        await undone.rollback()
        assert await turns() == []
        async with connection.transaction():
            await ask_for_turns(connection, ["globex", "acme", "globex"])
        await ask_for_turns(connection, ["acme", "initech"])
        await ask_for_turns(connection, [])
        assert await turns() == ["acme", "globex", "initech"]
        await connection.execute("UPDATE bulkfetch.pgqueuer SET status = 'picked'")
        await ask_for_turns(connection, ["acme", "globex", "initech"])
        assert len(await turns()) == 3
        await connection.close()

    asyncio.run(main())


def test_a_turn_that_is_to_come_later_comes_when_it_is_asked_for(
    postgres: PostgresServer, database: str
) -> None:
    """What is submitted for an account whose exports wait does not wait with them."""
    due = "SELECT execute_after <= now() FROM bulkfetch.pgqueuer WHERE dedupe_key = $1"

    async def main() -> None:
        connection = await asyncpg.connect(postgres.url(database))
        await connection.execute(SCHEMA)
        await install(connection)
        accounts = ("acme", "globex", "initech")
        await ask_for_turns(connection, accounts)
        await connection.execute(
            "UPDATE bulkfetch.pgqueuer SET execute_after = now() + interval '1 hour'"
        )
        await ask_for_turns(connection, ["initech", "acme"])
        found = {name: await connection.fetchval(due, name) for name in accounts}
        assert found == {"acme": True, "globex": False, "initech": True}
        await connection.close()

    asyncio.run(main())


def test_the_printed_statements_make_what_init_makes(
    postgres: PostgresServer, database: str
) -> None:
    """A DBA who runs them gets the tables of `install`, whatever PGQUEUER_… is set to."""
    printed = subprocess.run(
        [sys.executable, "-c", "from bulkfetch.fleet import engine; print(engine.install_sql())"],
        env=os.environ | {"PGQUEUER_PREFIX": "mine_", "PGQUEUER_SCHEMA": "other"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.strip() == install_sql().strip()
    postgres.sql(SCHEMA, database)
    postgres.sql(printed, database)
    by_hand = postgres.sql(TABLES, database)

    async def main() -> None:
        connection = await asyncpg.connect(postgres.url(database))
        await install(connection)  # finds nothing to do
        await connection.execute(f"DROP SCHEMA bulkfetch CASCADE; {SCHEMA}")
        await install(connection)
        await connection.close()

    asyncio.run(main())
    assert postgres.sql(TABLES, database) == by_hand
    assert "pgqueuer_unique_dedupe_key" in by_hand

"""Which server each account of a fleet is asked at: another one's results are not taken for its.

As `bulkfetch.journal.servers` has it for an output folder. Here a submission decides: it binds the
account to the server of its settings. Workers whose settings name another one leave it alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import asyncpg

from bulkfetch.errors import ConfigError
from bulkfetch.fleet.codec import DONE, FAILED
from bulkfetch.ratelimit.postgres.schema import SUPERSEDE

_OTHERS = """
    SELECT account, known.server, asked.server AS asked
    FROM bulkfetch.fleet_account AS known
    JOIN unnest($1::text[], $2::text[]) AS asked (account, server) USING (account)
    WHERE known.server <> asked.server
    ORDER BY account FOR UPDATE OF known
"""
# A server that never said anything of a job or a page may have been a slip of the settings.
_HAS_ANSWERS = f"""
    SELECT EXISTS (
        SELECT 1 FROM bulkfetch.fleet_job WHERE account = $1
            AND (state = {DONE} OR state = {FAILED} AND (outcome ->> 'attempts')::integer > 0)
    ) OR EXISTS (
        SELECT 1 FROM bulkfetch.fleet_export AS export WHERE account = $1 AND (
            committed IS NOT NULL OR EXISTS (
                SELECT 1 FROM bulkfetch.fleet_generation AS generation
                WHERE generation.export = export.key AND (
                    generation.state IN ('PUBLISHING', 'COMMITTED') OR EXISTS (
                        SELECT 1 FROM bulkfetch.fleet_page AS page
                        WHERE page.generation = generation.key AND page.job_id IS NOT NULL
                    )
                )
            )
        )
    )
"""
_BIND = """
    UPDATE bulkfetch.fleet_account AS known SET server = asked.server
    FROM unnest($1::text[], $2::text[]) AS asked (account, server)
    WHERE known.account = asked.account AND known.server IS NULL
"""
# What a turn at the former server still says of exports and failures counts no more, nor its end.
_REBIND = """
    UPDATE bulkfetch.fleet_account SET
        server = $2, generation = generation + 1, crashes = 0, suspect = NULL, marked = 0
    WHERE account = $1
    RETURNING generation
"""


async def require_servers(
    connection: asyncpg.Connection[Any], servers: Mapping[str, str], moved: Collection[str] = ()
) -> list[str]:
    """Raise ConfigError where answers of an account are those of another server.

    `servers` are those that are to be asked, by account; `moved` are accounts that another server
    has by now. What is not known yet is no other. Return whose server is another one; their rows
    are locked until the transaction ends.
    """
    others = await connection.fetch(_OTHERS, list(servers), list(servers.values()))
    for account, known, asked in others:
        if account not in moved and await connection.fetchval(_HAS_ANSWERS, account):
            raise other_server(account, known, asked)
    return [account for account, _, _ in others]


async def bind_servers(
    connection: asyncpg.Connection[Any], servers: Mapping[str, str], moved: Collection[str] = ()
) -> None:
    """Have accounts asked at these servers from now on; within a transaction.

    A turn at another server gets no slot any more. Raises as `require_servers`.
    """
    for account in await require_servers(connection, servers, moved):
        generation = await connection.fetchval(_REBIND, account, servers[account])
        await connection.execute(SUPERSEDE, account, generation)
    await connection.execute(_BIND, list(servers), list(servers.values()))


def other_server(account: str, known: str, asked: str) -> ConfigError:
    """Return why an account is not asked at a server."""
    return ConfigError(
        f"account {account} was asked at {known} for what the fleet has of it, and would be at "
        f"{asked}",
        hint="Correct the settings, or give the other server's account another name. If it is the "
        f"same org, which has moved: `bulkfetch fleet submit` with --moved {account}.",
    )

"""The engine that hands out turns: PgQueuer, which no other module knows.

One job of the engine is one turn of one account, known by the account as its `dedupe_key`: an
account has at most one, queued or picked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import asyncpg
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.qb import (
    DBSettings,
    QueryBuilderEnvironment,
    QueryQueueBuilder,
    QuerySchedulerBuilder,
)
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.domain.settings import Durability
from pgqueuer.domain.types import Channel
from pgqueuer.ports.driver import Driver

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[Any] | PoolConnectionProxy[Any]

ENTRYPOINT = "turn"

# Whatever PGQUEUER_… says: all hosts of a fleet, and its database's owner, mean the same tables.
_TABLES = DBSettings(
    prefix="",
    db_schema="bulkfetch",
    channel=Channel("bulkfetch_turns"),
    function="fn_pgqueuer_changed",
    statistics_table="pgqueuer_statistics",
    queue_status_type="pgqueuer_status",
    queue_table="pgqueuer",
    queue_table_log="pgqueuer_log",
    trigger="tg_pgqueuer_changed",
    schedules_table="pgqueuer_schedules",
    durability=Durability.durable,
    widen_id=True,
)


def queries_of(driver: Driver) -> Queries:
    """Return the engine's queries for the fleet's tables."""
    return Queries(
        driver,
        qbe=QueryBuilderEnvironment(_TABLES),
        qbq=QueryQueueBuilder(_TABLES),
        qbs=QuerySchedulerBuilder(_TABLES),
    )


async def install(connection: Connection) -> None:
    """Make the engine's tables in the schema `bulkfetch`, or bring them up to this version.

    The schema is there. Not within a transaction: some steps of an upgrade need one each. Raises
    asyncpg.PostgresError. If cancelled: doing it again completes it.
    """
    queries = _queries_on(connection)
    async with queries.schema_lock():
        if await queries.schema_is_installed():
            await queries.apply_upgrade()
        else:
            await queries.install(create_schema=False)


def install_sql() -> str:
    """Return the statements that make the engine's tables where there are none."""
    return QueryBuilderEnvironment(_TABLES).build_install_query(create_schema=False)


async def ask_for_turns(connection: Connection, accounts: Iterable[str]) -> None:
    """Give each of these accounts a turn that has none.

    In the transaction that writes their jobs, so that a killed submit leaves both or neither; and
    again when it is committed, for a turn that was there and ends meanwhile has not seen the jobs
    (at its end more jobs are looked for once the turn is out of the queue).
    """
    wanted = sorted(set(accounts))  # in one order, so that two who ask do not wait for each other
    if not wanted:
        return
    await _queries_on(connection).enqueue(
        [ENTRYPOINT] * len(wanted),
        [account.encode() for account in wanted],
        [0] * len(wanted),
        dedupe_key=list(wanted),
        on_conflict="skip",
    )


def _queries_on(connection: Connection) -> Queries:
    return queries_of(AsyncpgDriver(cast("asyncpg.Connection[Any]", connection)))

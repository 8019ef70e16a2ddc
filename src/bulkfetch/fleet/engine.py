"""The engine that hands out turns: PgQueuer, which no other module knows.

One job of the engine is one turn of one account, known by the account as its `dedupe_key`: an
account has at most one, queued or picked. Who has picked it sends heartbeats; without them any
other worker picks it. The engine does not look whether a job that is reported as ended was picked
by somebody else meanwhile, so here nothing is reported to it: a turn leaves the queue by its
`Claim`, which looks.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, TypeAlias, cast

import asyncpg
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.qb import (
    DBSettings,
    QueryBuilderEnvironment,
    QueryQueueBuilder,
    QuerySchedulerBuilder,
)
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.core.qm import QueueManager
from pgqueuer.core.tm import TaskManager
from pgqueuer.domain import models, types
from pgqueuer.domain.settings import Durability
from pgqueuer.ports.driver import Driver, NotifyCallback
from pgqueuer.ports.repository import EntrypointExecutionParameter

from bulkfetch.errors import ConfigError
from bulkfetch.fleet.engine_connection import LastingConnection
from bulkfetch.secret import Secret

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[Any] | PoolConnectionProxy[Any]

# The entrypoints: an account's turn, and the sweep, of which there is one.
TURN, SWEEP = "turn", "sweep"
# Turns taken at a time, at most.
_BATCH = 10
# Nobody is dead for so long.
_NEVER = timedelta(days=36_500)

# Whatever PGQUEUER_… says: all hosts of a fleet, and its database's owner, mean the same tables.
_TABLES = DBSettings(
    prefix="",
    db_schema="bulkfetch",
    channel=types.Channel("bulkfetch_turns"),
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
# In one order, so that two who ask do not wait for each other.
_COME_NOW = """
    UPDATE {0} SET execute_after = now() WHERE id IN (
        SELECT id FROM {0} WHERE entrypoint = $1 AND dedupe_key = ANY($2)
            AND status = 'queued' AND execute_after > now()
        ORDER BY id FOR UPDATE
    )
"""


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


async def missing_sql(connection: Connection) -> list[str]:
    """Return the statements that make of its tables those of this version, none where they are.

    Each is for a transaction of its own. Nothing is changed. Raises asyncpg.PostgresError.
    """
    queries = _queries_on(connection)
    if not await queries.schema_is_installed():
        return [install_sql()]
    return list((await queries.plan_upgrade()).statements)


async def ask_for_turns(connection: Connection, accounts: Iterable[str]) -> None:
    """Give each of these accounts a turn that has none; one that is to come later comes now.

    In the transaction that writes their jobs, so that a killed submit leaves both or neither; and
    again when it is committed, for a turn that was there and ends meanwhile has not seen the jobs
    (at its end more jobs are looked for once the turn is out of the queue).
    """
    queries, names = _queries_on(connection), list(accounts)
    await queries.driver.execute(_COME_NOW.format(queries.qbe.qualified.queue_table), TURN, names)
    await _enqueue(queries, TURN, names)  # which has the workers look, whatever it adds


class Claim:
    """An account's turn that this process has picked."""

    def __init__(self, account: str, job: types.JobId, queries: _OwnQueries) -> None:
        """Use `TurnEngine`."""
        self.account = account
        self._job = job
        self._queries = queries

    async def leave(self) -> bool:
        """Take the turn out of the queue; return whether it was still this process's.

        Look for more jobs of the account after this, not before: then a submit that has seen the
        turn in the queue has written its jobs already, or asks once more when it has. If
        cancelled: it may be out.
        """
        return await self._queries.leave(self._job)

    async def ask_again(self, after_s: float = 0.0) -> None:
        """Give the account another turn, behind all that wait, so many seconds from now on.

        If cancelled: it may have it.
        """
        await self._queries.ask(TURN, [self.account], after_s)


class TurnEngine:
    """Picks turns for one process, and has each served; bound to the running loop.

    `serve` takes a turn to its end and out of the queue. `sweep` gives the accounts that have jobs
    to do; it is called by one worker of the fleet, once in `heartbeat_s` seconds.
    """

    def __init__(
        self,
        url: str,
        password: Secret | None,
        serve: Callable[[Claim], Awaitable[None]],
        sweep: Callable[[], Awaitable[Iterable[str]]],
        *,
        at_once: int,
        heartbeat_s: float,
        may_pick: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """Serve at most `at_once` turns; without a heartbeat for so long a turn is another's.

        `may_pick` is asked before any are picked, None: they always may be.
        """
        self._serve = serve
        self._sweep = sweep
        self._connection = LastingConnection(url, password)
        self._queries = _OwnQueries(_LastingDriver(self._connection), **_builders())
        self._queries.patience_s = heartbeat_s
        self._queries.may_pick = may_pick
        self._manager = QueueManager(self._queries, channel=_TABLES.channel)
        self._queries.owner = self._manager.queue_manager_id
        self._queries.at_once = at_once
        self._manager.entrypoint(TURN)(self._turn)
        self._manager.entrypoint(SWEEP)(self._swept)
        # The engine refuses to start with one; the query for turns is what keeps to `at_once`.
        self._seats = max(2, at_once)
        self._heartbeat_s = heartbeat_s
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def broken(self) -> None:
        """Wait until a turn or a sweep has raised something, and raise that.

        The engine itself would keep it to itself, and pick the turn again later.
        """
        await self._broken

    async def run(self) -> None:
        """Serve turns until `stop`, and then until all have ended.

        Raises ConfigError where its tables are missing or of another version. If cancelled: what
        is served is cancelled, and others pick it when its heartbeat is missed.
        """
        try:
            await self._manager.verify_structure()
        except RuntimeError as error:
            raise ConfigError(
                f"the engine's tables cannot be used: {error}",
                hint="Run `bulkfetch fleet init FLEET.toml`.",
            ) from None
        await self._queries.ask(SWEEP, [SWEEP])
        await self._manager.run(
            dequeue_timeout=timedelta(seconds=min(self._heartbeat_s / 4, 15.0)),
            batch_size=min(_BATCH, self._seats // 2),
            max_concurrent_tasks=self._seats,
            heartbeat_timeout=timedelta(seconds=self._heartbeat_s),
            log_aggregation_interval=timedelta(0),  # nobody reads it
        )

    def stop(self) -> None:
        """Pick no more turns; more calls do no harm."""
        self._manager.shutdown.set()

    async def aclose(self) -> None:
        """Close the connection, once `run` has ended."""
        await self._connection.aclose()

    async def _turn(self, job: models.Job) -> None:
        with self._noticed():
            await self._serve(Claim((job.payload or b"").decode(), job.id, self._queries))

    async def _swept(self, job: models.Job) -> None:
        with self._noticed():
            await self._queries.ask(TURN, set(await self._sweep()) - await self._queries.accounts())
            await self._queries.clear_queue_log([TURN, SWEEP])  # nobody reads it, and it would grow
            await self._queries.postpone(job.id, self._heartbeat_s)

    @contextmanager
    def _noticed(self) -> Iterator[None]:
        """Have `broken` raise what is raised."""
        try:
            yield
        except Exception as error:
            if not self._broken.done():
                self._broken.set_exception(error)
            raise


@dataclasses.dataclass
class _OwnQueries(Queries):
    """The engine's queries for one worker, that touch only what this one has picked."""

    owner: types.QueueManagerId | None = None
    patience_s: float = 0.0
    at_once: int = 1
    may_pick: Callable[[], Awaitable[bool]] | None = None

    async def dequeue(
        self,
        batch_size: int,
        entrypoints: dict[types.QueueEntrypoint, EntrypointExecutionParameter],
        queue_manager_id: types.QueueManagerId,
        global_concurrency_limit: int | None,
        heartbeat_timeout: timedelta,
    ) -> list[models.Job]:
        """Pick what waits, and what is not heard of any more."""
        if self.may_pick is not None and not await self.may_pick():
            return []
        # Who was cut off himself cannot know who is dead: the others were perhaps cut off too.
        if self._connection.regained_s < self.patience_s:
            heartbeat_timeout = _NEVER
        return await super().dequeue(
            batch_size, entrypoints, queue_manager_id, self.at_once, heartbeat_timeout
        )

    async def log_jobs(self, job_status: list[Any]) -> None:
        """Do nothing: a turn leaves the queue by its claim; any other is picked again."""

    async def update_heartbeat(self, job_ids: list[types.JobId]) -> None:
        """Show that this worker lives, for what is still its own."""
        await self.driver.execute(
            f"UPDATE {self.qbe.qualified.queue_table} SET heartbeat = now() "
            "WHERE id = ANY($1::bigint[]) AND queue_manager_id = $2",
            job_ids,
            self.owner,
        )

    async def leave(self, job: types.JobId) -> bool:
        """Delete a job that this worker has picked; return whether it was there."""
        rows = await self.driver.fetch(
            f"DELETE FROM {self.qbe.qualified.queue_table} "
            "WHERE id = $1 AND queue_manager_id = $2 RETURNING id",
            job,
            self.owner,
        )
        return bool(rows)

    async def postpone(self, job: types.JobId, after_s: float) -> None:
        """Put a job back into the queue that this worker has picked."""
        await self.driver.execute(
            f"UPDATE {self.qbe.qualified.queue_table} SET status = 'queued', "
            "queue_manager_id = NULL, execute_after = now() + $3::interval "
            "WHERE id = $1 AND queue_manager_id = $2",
            job,
            self.owner,
            timedelta(seconds=after_s),
        )

    async def accounts(self) -> set[str]:
        """Return the accounts that have a turn."""
        rows = await self.driver.fetch(
            f"SELECT dedupe_key FROM {self.qbe.qualified.queue_table} WHERE entrypoint = $1", TURN
        )
        return {str(row["dedupe_key"]) for row in rows}

    async def ask(self, entrypoint: str, names: Iterable[str], after_s: float = 0.0) -> None:
        """Enqueue what is not there yet."""
        await _enqueue(self, entrypoint, names, after_s)

    @property
    def _connection(self) -> LastingConnection:
        assert isinstance(self.driver, _LastingDriver)
        return self.driver.connection


class _LastingDriver(Driver):
    """The engine's driver over a connection that is made anew whenever it is lost."""

    def __init__(self, connection: LastingConnection) -> None:
        self.connection = connection
        self._shutdown = asyncio.Event()
        self._tasks = TaskManager()

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        rows = await self.connection.run(lambda connection: connection.fetch(query, *args))
        return [dict(row) for row in rows]

    async def execute(self, query: str, *args: object) -> str:
        return await self.connection.run(lambda connection: connection.execute(query, *args))

    async def notify(self, channel: str, payload: str) -> None:
        await self.execute("SELECT pg_notify($1, $2)", channel, payload)

    async def add_listener(self, channel: str, callback: NotifyCallback) -> None:
        await self.connection.listen(channel, callback)

    @property
    def shutdown(self) -> asyncio.Event:
        return self._shutdown

    @property
    def tm(self) -> TaskManager:
        return self._tasks

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave the connection open, for the turns that end."""


async def _enqueue(
    queries: Queries, entrypoint: str, names: Iterable[str], after_s: float = 0.0
) -> None:
    wanted = sorted(set(names))  # in one order, so that two who ask do not wait for each other
    if wanted:
        await queries.enqueue(
            [entrypoint] * len(wanted),
            [name.encode() for name in wanted],
            [int(entrypoint == SWEEP)] * len(wanted),  # a sweep before turns
            [timedelta(seconds=after_s)] * len(wanted),
            # No account is called so: its name has no blank.
            [f"the {SWEEP}" if entrypoint == SWEEP else name for name in wanted],
            on_conflict="skip",
        )


def _builders() -> dict[str, Any]:
    return {
        "qbe": QueryBuilderEnvironment(_TABLES),
        "qbq": QueryQueueBuilder(_TABLES),
        "qbs": QuerySchedulerBuilder(_TABLES),
    }


def _queries_on(connection: Connection) -> Queries:
    driver = AsyncpgDriver(cast("asyncpg.Connection[Any]", connection))
    return Queries(driver, **_builders())

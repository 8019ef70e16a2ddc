"""The fleet's journal as workers use it: turns, the jobs of each, and what became of them.

A turn is an account's, and has a generation; a newer turn has the next one. What an older turn
still says is believed only where it is good news: a result that was published is done, whoever did
it. What came from another server than the account is asked at by now is never believed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, Literal

import asyncpg

from bulkfetch.fleet.accounts import ACCOUNTS, FleetAccount
from bulkfetch.fleet.codec import DONE, STATES, written
from bulkfetch.fleet.connections import Connections
from bulkfetch.fleet.database import STATEMENT_S, require_rights
from bulkfetch.fleet.exports import FleetExports
from bulkfetch.fleet.servers import other_server
from bulkfetch.models import Failure, Job, Outcome
from bulkfetch.ratelimit.postgres.schema import SUPERSEDE
from bulkfetch.secret import Secret

# Why an account needs a turn: for jobs, or exports that no turn has tried yet; or only for exports
# that one has tried, and that may have to wait.
WhatIsLeft = Literal["nothing", "new", "tried"]

_FORGET_ROWS = 5_000

_BEGIN_TURN = """
    INSERT INTO bulkfetch.fleet_account AS account
        (account, generation, worker, turn_began_at, crashes, server)
    VALUES ($1, 1, $2, clock_timestamp(), 1, $3)
    ON CONFLICT (account) DO UPDATE SET
        generation = account.generation + 1, worker = $2, turn_began_at = clock_timestamp(),
        crashes = account.crashes + 1, server = $3
    WHERE coalesce(account.server, $3) = $3
    RETURNING generation
"""
# Returns what is noted, which may be another one.
_NOTE_SERVER = """
    UPDATE bulkfetch.fleet_account SET server = coalesce(server, $2) WHERE account = $1
    RETURNING server
"""
_PENDING = """
    SELECT key, id, name, again FROM bulkfetch.fleet_job
    WHERE account = $1 AND state = 0 AND key > $2
    ORDER BY key LIMIT $3
"""
_RECORD = f"""
    WITH said AS MATERIALIZED (
        SELECT said.*, newest.generation = said.generation AS ours,
            newest.server = said.server AS of_its_server
        FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::smallint[], $6::jsonb[])
            AS said (account, generation, server, id, state, outcome)
        JOIN bulkfetch.fleet_account AS newest USING (account)
    ), ended AS (
        UPDATE bulkfetch.fleet_job AS job SET
            state = said.state, outcome = said.outcome, again = false,
            ended_at = clock_timestamp(), ended_in = pg_current_xact_id()
        FROM said
        WHERE job.account = said.account AND job.id = said.id
            AND (job.state = 0 OR (job.state <> {DONE} AND said.state = {DONE}))
            AND (said.ours OR said.state = {DONE}) AND said.of_its_server
    )
    SELECT DISTINCT account FROM said WHERE NOT ours
"""
# Of an export that no turn has tried nothing is told yet; $3 are those that none can try.
_LEFT = """
    CASE WHEN held IS NOT NULL THEN 'nothing'
        WHEN EXISTS (SELECT 1 FROM bulkfetch.fleet_job AS job
                     WHERE job.account = fleet_account.account AND job.state = 0) THEN 'new'
        ELSE coalesce((
            SELECT CASE WHEN bool_or(report IS NULL AND name <> ALL ($3::text[]))
                THEN 'new' ELSE 'tried' END
            FROM bulkfetch.fleet_export AS export
            WHERE export.account = fleet_account.account AND export.state = 0
            GROUP BY export.account
        ), 'nothing') END
"""
_END_TURN = f"""
    UPDATE bulkfetch.fleet_account SET crashes = 0, suspect = NULL, marked = 0
    WHERE account = $1 AND generation = $2
    RETURNING {_LEFT} AS what_is_left
"""
_OUTLIVED = """
    UPDATE bulkfetch.fleet_account SET crashes = crashes - 1
    WHERE account = $1 AND generation > $2 AND crashes > 1
"""
_MARK = """
    UPDATE bulkfetch.fleet_account
    SET marked = CASE WHEN suspect = $3 THEN marked + 1 ELSE 1 END, suspect = $3
    WHERE account = $1 AND generation = $2
    RETURNING marked
"""
_HOLD = """
    UPDATE bulkfetch.fleet_account SET held = $3::jsonb WHERE account = $1 AND generation = $2
"""
# One step of the index an account, however many jobs it has.
_WITH_PENDING = """
    WITH RECURSIVE found AS (
        (SELECT account FROM bulkfetch.fleet_job WHERE state = 0 ORDER BY account LIMIT 1)
        UNION ALL
        SELECT (SELECT job.account FROM bulkfetch.fleet_job AS job
                WHERE job.state = 0 AND job.account > found.account
                ORDER BY job.account LIMIT 1)
        FROM found WHERE found.account IS NOT NULL
    )
    SELECT account FROM (
        SELECT account FROM found WHERE account IS NOT NULL
        UNION SELECT account FROM bulkfetch.fleet_export WHERE state = 0
    ) AS wanted
    WHERE NOT EXISTS (
        SELECT 1 FROM bulkfetch.fleet_account AS held
        WHERE held.account = wanted.account AND held.held IS NOT NULL
    )
    ORDER BY account
"""
# Updated to what it is, so that it is returned whoever wrote it.
_STORE_MARK = """
    INSERT INTO bulkfetch.fleet_store AS known (place, mark) VALUES ($1, $2)
    ON CONFLICT (place) DO UPDATE SET mark = known.mark
    RETURNING mark
"""
_HELD = "SELECT count(*) FROM bulkfetch.fleet_account WHERE held IS NOT NULL"
_FORGET_JOBS = f"""
    WITH gone AS (
        DELETE FROM bulkfetch.fleet_job WHERE (account, id) IN (
            SELECT account, id FROM bulkfetch.fleet_job AS job
            WHERE state <> 0 AND ended_at < now() - make_interval(days => $1) AND NOT EXISTS (
                SELECT 1 FROM bulkfetch.fleet_item AS item
                JOIN bulkfetch.fleet_submission AS newer ON newer.id = item.submission
                WHERE (item.account, item.id) = (job.account, job.id) AND item.kind <> 3
                    AND newer.submitted_at >= now() - make_interval(days => $1)
            )
            LIMIT {_FORGET_ROWS}
        ) RETURNING account, id
    ), told AS (
        DELETE FROM bulkfetch.fleet_item AS item USING gone
        WHERE (item.account, item.id) = (gone.account, gone.id) AND item.kind <> 3
    )
    SELECT count(*) FROM gone
"""
_FORGET_SUBMISSIONS = """
    DELETE FROM bulkfetch.fleet_submission AS old
    WHERE submitted_at < now() - make_interval(days => $1) AND NOT EXISTS (
        SELECT 1 FROM bulkfetch.fleet_item AS item WHERE item.submission = old.id AND kind <> 3
    ) AND NOT EXISTS (
        SELECT 1 FROM bulkfetch.fleet_export_item AS item
        JOIN bulkfetch.fleet_export AS export USING (account, name)
        WHERE item.submission = old.id AND export.state = 0
    )
"""


class FleetJournal:
    """One process's way to the journal. While the database is away its methods wait.

    `servers` are those that this process asks, by account (`config.regions.results_servers`); who
    has no turns needs none. Bound to the running loop, to be closed. If a method is cancelled, what
    it does may have been done; all of it bears to be done again.
    """

    def __init__(
        self, connections: Connections, servers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._connections = connections
        self._servers = servers

    @classmethod
    async def open(
        cls,
        url: str,
        password: Secret | None,
        servers: Mapping[str, str] = MappingProxyType({}),
        *,
        patience_s: float = 0.0,
    ) -> FleetJournal:
        """Connect, as `Connections.open` says."""
        return cls(await Connections.open(url, password, patience_s=patience_s), servers)

    @property
    def away_s(self) -> float:
        """Return for how long the database could not be used, 0 while it can."""
        return self._connections.away_s

    @property
    def away_because(self) -> str:
        """Return why the database could not be used when it was last asked, "" if it could."""
        return self._connections.away_because

    async def aclose(self) -> None:
        """Close the connections; nobody may be waiting. If cancelled: they are dropped."""
        await self._connections.aclose()

    # --- turns ------------------------------------------------------------------------------------

    async def begin_turn(self, account: str, worker: str) -> int:
        """Begin an account's turn, and return its generation: nobody else may send from now on.

        Raises ConfigError, with nothing begun, where the account is asked at another server than
        here.
        """
        server = self._servers[account]

        async def begin(connection: asyncpg.Connection[Any]) -> int | None:
            generation: int | None = await connection.fetchval(_BEGIN_TURN, account, worker, server)
            if generation is not None:
                await connection.execute(SUPERSEDE, account, generation)
            return generation

        while (generation := await self._connections.write(begin)) is None:
            await self.require_server(account)  # raises unless it is ours by now
        return generation

    async def require_server(self, account: str) -> None:
        """Raise ConfigError where an account is asked at another server than here.

        From now on it is at this one, where that was not known.
        """
        asked = self._servers[account]
        noted = await self._connections.write(
            lambda connection: connection.fetchval(_NOTE_SERVER, account, asked)
        )
        if noted not in (None, asked):
            raise other_server(account, noted, asked)

    async def deaths(self, account: str) -> int:
        """Return how many turns in a row before the newest one no worker has ended."""
        found = await self._connections.read(
            lambda connection: connection.fetchval(
                "SELECT crashes FROM bulkfetch.fleet_account WHERE account = $1", account
            )
        )
        return max(0, (found or 1) - 1)

    async def outlived(self, account: str, generation: int) -> None:
        """Note that nobody has died of a turn, though a newer one was begun in its place."""
        await self._connections.write(
            lambda connection: connection.execute(_OUTLIVED, account, generation)
        )

    async def mark(self, account: str, generation: int, job_id: str) -> int:
        """Note that a job is begun by itself; return for how many times in a row, this one too.

        Does nothing where a newer turn has begun.
        """
        marked = await self._connections.write(
            lambda connection: connection.fetchval(_MARK, account, generation, job_id)
        )
        return marked or 1

    async def pending(self, account: str, after: int, limit: int) -> list[tuple[int, Job]]:
        """Return jobs to do with their keys, in the order of these, from behind `after`."""
        rows = await self._connections.read(
            lambda connection: connection.fetch(_PENDING, account, after, limit)
        )
        return [
            (row["key"], Job(row["id"], account, row["name"], again=row["again"])) for row in rows
        ]

    async def record(self, account: str, generation: int, outcomes: Sequence[Outcome]) -> bool:
        """Write what came of a turn as `record_all`; return whether it is still the newest."""
        return account not in await self.record_all([(generation, each) for each in outcomes])

    async def record_all(self, said: Sequence[tuple[int, Outcome]]) -> set[str]:
        """Write outcomes, each with the generation of the turn in which it came.

        Return the accounts that have a newer turn. What is pending is passed over, and so is what
        failed in an older turn, or came from another server. A done job stays done.
        """
        ended: dict[tuple[str, str], tuple[int, Outcome]] = {}
        for generation, each in said:
            key = each.account, each.job_id
            before = ended.get(key)
            if each.status != "pending" and (before is None or before[1].status != "done"):
                ended[key] = generation, each
        columns = (
            [account for account, _ in ended],
            [generation for generation, _ in ended.values()],
            [self._servers[account] for account, _ in ended],
            [job_id for _, job_id in ended],
            [STATES[each.status] for _, each in ended.values()],
            [written(each) for _, each in ended.values()],
        )
        rows = await self._connections.write(lambda connection: connection.fetch(_RECORD, *columns))
        return {row["account"] for row in rows}

    async def end_turn(
        self, account: str, generation: int, unknown: Sequence[str] = ()
    ) -> WhatIsLeft:
        """Note a turn's orderly end; return what the account needs a further turn for.

        That is "nothing" where it is held, or a newer turn has begun. `unknown` exports could not
        be tried in this one.
        """
        left: WhatIsLeft | None = await self._connections.write(
            lambda connection: connection.fetchval(_END_TURN, account, generation, unknown)
        )
        return left or "nothing"

    async def hold(self, account: str, generation: int, failure: Failure) -> None:
        """Ask for no further turn of an account until it is submitted anew; its jobs stay pending.

        Does nothing where a newer turn has begun.
        """
        cause = json.dumps(asdict(failure))
        await self._connections.write(
            lambda connection: connection.execute(_HOLD, account, generation, cause)
        )

    @property
    def exports(self) -> FleetExports:
        """Return the accounts' exports, by the same connections."""
        return FleetExports(self._connections)

    async def require_rights(self) -> None:
        """Raise ConfigError where the database's role lacks a right that workers need."""
        await self._connections.read(require_rights)

    # --- all accounts -----------------------------------------------------------------------------

    async def accounts_with_pending(self) -> list[str]:
        """Return the accounts that have jobs or exports to do and are not held."""
        rows = await self._connections.read(lambda connection: connection.fetch(_WITH_PENDING))
        return [row["account"] for row in rows]

    async def accounts(self, account: str | None = None) -> list[FleetAccount]:
        """Return how all accounts stand, or one. Counts every row."""
        rows = await self._connections.read(
            lambda connection: connection.fetch(ACCOUNTS, account, timeout=10 * STATEMENT_S)
        )
        return [FleetAccount.of(row) for row in rows]

    async def store_mark(self, place: str, mark: str) -> str:
        """Return the mark of a folder that is the store: this one, if there was none."""
        known: str = await self._connections.write(
            lambda connection: connection.fetchval(_STORE_MARK, place, mark)
        )
        return known

    async def held(self) -> int:
        """Return how many accounts are held."""
        count: int = await self._connections.read(lambda connection: connection.fetchval(_HELD))
        return count

    async def forget(self, days: int) -> int:
        """Delete what ended longer ago, and submissions of which nothing is left; return how much.

        In jobs. What is submitted again later is asked for again. Of exports the newest generation
        stays, and what the next one is to begin with.
        """
        await self.exports.forget()
        forgotten = 0
        while True:
            count: int = await self._connections.write(
                lambda connection: connection.fetchval(_FORGET_JOBS, days)
            )
            forgotten += count
            if count < _FORGET_ROWS:
                break
        await self._connections.write(
            lambda connection: connection.execute(_FORGET_SUBMISSIONS, days)
        )
        return forgotten

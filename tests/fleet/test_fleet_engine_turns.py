"""Turns that are picked, lost to another worker, and ended. A real server, real time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from tests.support.postgres import PostgresServer

from bulkfetch.errors import ConfigError
from bulkfetch.fleet.engine import Claim, TurnEngine, ask_for_turns, install

pytestmark = pytest.mark.slow

STALE = "UPDATE bulkfetch.pgqueuer SET heartbeat = now() - interval '1 hour' WHERE entrypoint = $1"
TURNS = "SELECT count(*) FROM bulkfetch.pgqueuer WHERE entrypoint = 'turn'"


class Worker:
    """Takes turns and waits in each until `go`; then ends it, and looks for more jobs."""

    def __init__(self, url: str, *, at_once: int = 10, heartbeat_s: float = 60.0) -> None:
        self.claims: list[Claim] = []
        self.left: list[bool] = []
        self.wanting: list[str] = []  # what a sweep finds
        self.sweeps = 0
        self.go = asyncio.Event()
        self.between: Callable[[Claim], Any] = lambda claim: None  # leaving and looking
        self.engine = TurnEngine(
            url, None, self._serve, self._sweep, at_once=at_once, heartbeat_s=heartbeat_s
        )

    async def has(self, claims: int) -> list[str]:
        """Wait until so many turns were picked, and give their accounts."""
        while len(self.claims) < claims:
            await asyncio.sleep(0.02)
        return sorted(claim.account for claim in self.claims)

    async def _serve(self, claim: Claim) -> None:
        self.claims.append(claim)
        await self.go.wait()
        self.left.append(await claim.leave())
        if (waiting := self.between(claim)) is not None:
            await waiting

    async def _sweep(self) -> list[str]:
        self.sweeps += 1
        return self.wanting


@asynccontextmanager
async def working(url: str, **options: Any) -> AsyncIterator[Worker]:
    worker = Worker(url, **options)
    running = asyncio.create_task(worker.engine.run())
    try:
        yield worker
    finally:
        worker.go.set()
        worker.engine.stop()
        await asyncio.wait([running])
        await worker.engine.aclose()
    running.result()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection: asyncpg.Connection[Any] = await asyncpg.connect(url)
    await connection.execute("CREATE SCHEMA IF NOT EXISTS bulkfetch")
    await install(connection)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.mark.parametrize("at_once", [1, 3, 4])
def test_turns_are_picked_up_to_the_number_of_seats(
    postgres: PostgresServer, database: str, at_once: int
) -> None:
    """The rest goes to the next worker, and is picked at once when it is asked for."""
    names = [f"a{number}" for number in range(6)]

    async def main() -> None:
        url = postgres.url(database)
        async with connected(url) as connection, working(url, at_once=at_once) as first:
            await ask_for_turns(connection, names)
            assert await first.has(at_once) == names[:at_once]
            async with working(url) as second:
                assert await second.has(6 - at_once) == names[at_once:]
            assert second.left == [True] * (6 - at_once)
        assert first.left == [True] * at_once

    asyncio.run(main())


def test_a_worker_with_one_seat_serves_one_account_after_the_other(
    postgres: PostgresServer, database: str
) -> None:
    """Its sweep has the seat in between, and finds what nobody has asked for."""

    async def main() -> None:
        url = postgres.url(database)
        async with connected(url) as connection, working(url, at_once=1, heartbeat_s=1.0) as alone:
            alone.wanting = ["late"]
            await ask_for_turns(connection, ["a", "b", "c"])
            assert await alone.has(1) == ["a"]
            alone.go.set()
            while not {"a", "b", "c", "late"} <= set(await alone.has(4)):
                await asyncio.sleep(0.02)

    asyncio.run(main())


def test_a_late_end_does_not_take_the_next_owners_turn_away(
    postgres: PostgresServer, database: str
) -> None:
    """A worker that was thought dead ends its turn: the other one's stays, and so its heartbeat."""

    async def main() -> None:
        url = postgres.url(database)
        async with connected(url) as connection, working(url) as zombie:
            await ask_for_turns(connection, ["acme"])
            await zombie.has(1)
            zombie.engine.stop()  # picks nothing any more, as one that is frozen
            await connection.execute(STALE, "turn")
            async with working(url, heartbeat_s=1.0) as heir:
                await heir.has(1)
                zombie.go.set()
                while not zombie.left:
                    await asyncio.sleep(0.02)
                assert zombie.left == [False]
                await asyncio.sleep(1.5)  # more than a heartbeat of the heir's, and all flushes
                assert await connection.fetchval(TURNS) == 1
                beat = "SELECT heartbeat > now() - interval '1 s' FROM bulkfetch.pgqueuer"
                assert await connection.fetchval(f"{beat} WHERE entrypoint = 'turn'")
            assert heir.left == [True]
            assert await connection.fetchval(TURNS) == 0

    asyncio.run(main())


def test_a_submit_in_the_moment_in_which_a_turn_ends_gets_a_turn(
    postgres: PostgresServer, database: str
) -> None:
    """Whichever comes first: the turn sees the jobs, or the account is asked for once more."""

    async def main() -> None:
        url = postgres.url(database)
        async with connected(url) as connection, connected(url) as other:
            await connection.execute("CREATE TABLE job (account text)")

            async def submit(commit: asyncio.Event, asked: asyncio.Event) -> None:
                """Write a job and ask for its turn, as a submit does; commit when it is time."""
                async with other.transaction():
                    await other.execute("INSERT INTO job VALUES ('acme')")
                    await ask_for_turns(other, ["acme"])
                    asked.set()
                    await commit.wait()
                await ask_for_turns(other, ["acme"])

            async def look(claim: Claim) -> None:
                if await connection.fetchval("SELECT count(*) FROM job"):
                    await connection.execute("DELETE FROM job")
                    await claim.ask_again()

            for commits_first in (True, False):
                async with working(url) as worker:
                    await ask_for_turns(connection, ["acme"])
                    await worker.has(1)
                    commit, asked = asyncio.Event(), asyncio.Event()
                    submitting = asyncio.create_task(submit(commit, asked))
                    await asked.wait()  # it has seen that there is a turn
                    if commits_first:
                        commit.set()
                        await submitting
                    worker.between = look
                    worker.go.set()
                    if not commits_first:
                        while not worker.left:
                            await asyncio.sleep(0.02)
                        await asyncio.sleep(0.1)  # it has looked, and seen nothing
                        assert await connection.fetchval(TURNS) == 0
                        commit.set()
                        await submitting
                    await worker.has(2)
                    while len(worker.left) < 2:
                        await asyncio.sleep(0.02)

    asyncio.run(main())


def test_an_account_without_a_turn_is_found_by_the_sweep(
    postgres: PostgresServer, database: str
) -> None:
    """One worker sweeps for all, another one when that one dies; the engine's log stays small."""

    async def main() -> None:
        url = postgres.url(database)
        async with connected(url) as connection, working(url) as first, working(url) as second:
            while not first.sweeps + second.sweeps:
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.3)
            assert first.sweeps + second.sweeps == 1
            first.wanting = second.wanting = ["acme"]
            due = "UPDATE bulkfetch.pgqueuer SET execute_after = now() WHERE entrypoint = 'sweep'"
            await connection.execute(due)
            await ask_for_turns(connection, ["other"])  # else they look when the sweep was due
            while not first.claims + second.claims:
                await asyncio.sleep(0.02)
            while first.sweeps + second.sweeps < 2:
                await asyncio.sleep(0.02)
            while await connection.fetchval(TURNS) < 2:
                await asyncio.sleep(0.02)
            assert await connection.fetchval("SELECT count(*) FROM bulkfetch.pgqueuer_log") < 8

    asyncio.run(main())


def test_after_the_database_was_away_nobody_is_thought_dead_at_once(
    postgres: PostgresServer, database: str
) -> None:
    """All heartbeats are old then: who lives has time to show it; turns go on and are picked."""

    async def main() -> None:
        url = postgres.url(database)
        async with (
            connected(url) as connection,
            working(url, heartbeat_s=15.0) as first,
            working(url, heartbeat_s=15.0) as second,
        ):
            await ask_for_turns(connection, ["acme", "beta"])
            while len(first.claims) + len(second.claims) < 2:
                await asyncio.sleep(0.02)
            postgres.stop("immediate")
            postgres.start()
            async with connected(url) as again:
                await again.execute(STALE, "turn")
                await ask_for_turns(again, ["gamma"])
                while len(first.claims) + len(second.claims) < 3:
                    await asyncio.sleep(0.02)
                await asyncio.sleep(3.0)
            accounts = [claim.account for claim in first.claims + second.claims]
            assert sorted(accounts) == ["acme", "beta", "gamma"]
        assert first.left + second.left == [True] * 3

    asyncio.run(main())


def test_missing_tables_of_the_engine_are_told(postgres: PostgresServer, database: str) -> None:
    """The hint is the command that makes them."""

    async def main() -> None:
        async with working(postgres.url(database)):
            await asyncio.sleep(0)

    with pytest.raises(ConfigError, match="pgqueuer") as caught:
        asyncio.run(main())
    assert "fleet init" in caught.value.hint

"""fleet_pace.py ACCOUNTS SECONDS: what a fleet at full pace costs its database, without HTTP.

A PostgreSQL of its own with fsync on, on the disk that TMPDIR names. Each account asks as often as
its window allows, ten times in 60.1 s, evenly: a slot is taken, given back 0.3 s later as answered,
and the outcome recorded, through the limiter, the window's connection and the recorder of a worker.
There is one such set for each 500 accounts, as there would be one worker.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
import uuid
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
from pgqueuer.domain import types
from pgqueuer.ports.repository import EntrypointExecutionParameter

from bulkfetch.fleet import database, engine
from bulkfetch.fleet.connections import Connections
from bulkfetch.fleet.embedded import EmbeddedPostgres
from bulkfetch.fleet.journal import FleetJournal
from bulkfetch.fleet.recorder import OutcomeRecorder
from bulkfetch.fleet.worker import GATHERED
from bulkfetch.models import Outcome
from bulkfetch.ratelimit import RateLimit
from bulkfetch.ratelimit.interfaces import Settlement
from bulkfetch.ratelimit.postgres.database import WindowDatabase
from bulkfetch.ratelimit.postgres.limiter import DatabaseLimiter

LIMIT = RateLimit(10, 60.0)
EVERY_S = (LIMIT.period_s + LIMIT.margin_s) / LIMIT.requests
ANSWER_S = 0.3
GATHER_S = LIMIT.period_s * GATHERED
PER_WORKER = 500
CLAIMS = 60


async def account(
    name: str, phase: float, seconds: float, store: WindowDatabase, recorder: OutcomeRecorder
) -> list[float]:
    """Ask at full pace for so long; return how late each slot was had, in seconds."""
    loop = asyncio.get_running_loop()
    limiter = DatabaseLimiter(LIMIT, name, store, generation=1)
    late = []
    due, over = loop.time() + phase * EVERY_S, loop.time() + seconds
    number = 0
    while due < over:
        await asyncio.sleep(due - loop.time())
        lease = await limiter.acquire()
        late.append(loop.time() - due)
        await asyncio.sleep(ANSWER_S)
        await limiter.settle([Settlement(lease, "answered", loop.time(), None)])
        await recorder.put(1, Outcome(str(number), name, "done"))
        number += 1
        due += EVERY_S
    await limiter.aclose()
    return late


async def prepare(connection: asyncpg.Connection[Any], names: list[str], jobs: int) -> None:
    """Make the tables, and begin a turn of each account with so many jobs."""
    await database.install(connection)
    await engine.install(connection)
    for statement in (
        "INSERT INTO bulkfetch.fleet_account (account, generation) SELECT unnest($1::text[]), 1",
        "INSERT INTO bulkfetch.account_window (account, generation) SELECT unnest($1::text[]), 1",
        "INSERT INTO bulkfetch.fleet_job (account, id, claim) SELECT name, n::text, n::text "
        f"FROM unnest($1::text[]) AS name, generate_series(0, {jobs - 1}) AS n",
    ):
        await connection.execute(statement, names)
    await connection.execute("VACUUM ANALYZE")


async def claim_ms(connection: asyncpg.Connection[Any], names: list[str]) -> float:
    """Return how long ten turns take to be claimed, where each account has one and is served."""
    await engine.ask_for_turns(connection, [f"served-{name}" for name in names])
    await connection.execute(
        "UPDATE bulkfetch.pgqueuer SET status = 'picked', heartbeat = now(), queue_manager_id = $1",
        uuid.uuid4(),
    )
    await engine.ask_for_turns(connection, names)
    await connection.execute("ANALYZE bulkfetch.pgqueuer")
    queries = engine._queries_on(connection)
    times = []
    for _ in range(min(CLAIMS, len(names) // 10)):
        began = time.perf_counter()
        await queries.dequeue(
            10,
            {types.QueueEntrypoint(engine.TURN): EntrypointExecutionParameter(0)},
            types.QueueManagerId(uuid.uuid4()),
            PER_WORKER,
            timedelta(seconds=60),
        )
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def cpu_s(postgres: EmbeddedPostgres) -> float:
    """Return the processor time of the server and its children up to now."""
    parent = int((postgres.folder / "data" / "postmaster.pid").read_text().split()[0])
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent in (int(stat.parent.name), int(fields[1])):
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def look(connection: asyncpg.Connection[Any]) -> tuple[int, int]:
    """Return how many transactions have written, and how many bytes of log there are."""
    row = await connection.fetchrow(
        "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint, "
        "pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
    )
    assert row is not None
    return row[0], row[1]


async def measure(postgres: EmbeddedPostgres, count: int, seconds: float) -> dict[str, float]:
    """Have all accounts ask at full pace; return what it cost the database."""
    names = [f"account{number:05}" for number in range(count)]
    connection: asyncpg.Connection[Any] = await asyncpg.connect(postgres.url())
    await prepare(connection, names, int(seconds / EVERY_S) + 1)
    claim = await claim_ms(connection, names)
    async with AsyncExitStack() as stack:
        callers = []
        for first in range(0, count, PER_WORKER):
            store = await WindowDatabase.open(postgres.url(), gather_s=GATHER_S)
            stack.push_async_callback(store.aclose)
            connections = await Connections.open(postgres.url(), None)
            stack.push_async_callback(connections.aclose)
            recorder = OutcomeRecorder(FleetJournal(connections), 2 * GATHER_S)
            stack.push_async_callback(recorder.aclose)
            callers += [
                account(name, number / count, seconds, store, recorder)
                for number, name in enumerate(names[first : first + PER_WORKER], first)
            ]
        before, cpu_before, began = await look(connection), cpu_s(postgres), time.monotonic()
        late = [each for taken in await asyncio.gather(*callers) for each in taken]
        await asyncio.sleep(5 * GATHER_S)
        after, cpu_after, elapsed = (
            await look(connection),
            cpu_s(postgres),
            time.monotonic() - began,
        )
    done = await connection.fetchval("SELECT count(*) FROM bulkfetch.fleet_job WHERE state = 1")
    assert done == len(late), f"{done} outcomes of {len(late)} are in the journal"
    await connection.close()
    return {
        "requests_per_s": len(late) / seconds,
        "commits_per_request": (after[0] - before[0]) / len(late),
        "db_cpu_ms_per_request": (cpu_after - cpu_before) / len(late) * 1000,
        "wal_bytes_per_request": (after[1] - before[1]) / len(late),
        "db_cores": (cpu_after - cpu_before) / elapsed,
        "claim_ms": claim,
        "median_late_ms": statistics.median(late) * 1000,
    }


def main() -> None:
    """Tell what a request costs the database."""
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        settings = {"max_connections": "200"}
        with EmbeddedPostgres(Path(folder), settings=settings) as postgres:
            print(json.dumps(asyncio.run(measure(postgres, int(sys.argv[1]), float(sys.argv[2])))))


if __name__ == "__main__":
    main()

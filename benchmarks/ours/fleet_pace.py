"""fleet_pace.py ACCOUNTS SECONDS WORKERS: what a fleet at full pace costs its database.

Without HTTP. A PostgreSQL of its own with fsync on, on the disk that TMPDIR names. Each account
asks as often as its window allows, ten times in 60.1 s, evenly: a slot is taken, given back 0.3 s
later as answered, and the outcome recorded, through the limiter, the window's connection and the
recorder of a worker. There is one such set for each worker, in a process of its own: what the
accounts of one ask at the same time is one transaction.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
from pgqueuer.domain import types
from pgqueuer.ports.repository import EntrypointExecutionParameter

from bulkfetch.config.regions import THIS_MACHINE
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
AT_ONCE = 500
WORKER = "--worker"
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
        "INSERT INTO bulkfetch.fleet_account (account, generation, server) "
        f"SELECT unnest($1::text[]), 1, '{THIS_MACHINE}'",
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
            AT_ONCE,
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
        if parent == int(stat.parent.name):  # with its children that have ended
            ticks += sum(map(int, fields[11:15]))
        elif parent == int(fields[1]):
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


async def work(url: str, first: int, step: int, count: int, seconds: float) -> list[float]:
    """Be the worker of each `step`-th account from the `first` one on, once a line is on stdin.

    Return how late each slot was had, in seconds.
    """
    async with AsyncExitStack() as stack:
        store = await WindowDatabase.open(url, gather_s=GATHER_S)
        stack.push_async_callback(store.aclose)
        connections = await Connections.open(url, None)
        stack.push_async_callback(connections.aclose)
        servers = {account_name(number): THIS_MACHINE for number in range(first, count, step)}
        recorder = OutcomeRecorder(FleetJournal(connections, servers), 2 * GATHER_S)
        stack.push_async_callback(recorder.aclose)
        print("ready", flush=True)
        sys.stdin.readline()
        callers = (
            account(account_name(number), number / count, seconds, store, recorder)
            for number in range(first, count, step)
        )
        late = [each for taken in await asyncio.gather(*callers) for each in taken]
        await asyncio.sleep(5 * GATHER_S)
    return late


def account_name(number: int) -> str:
    """Return what an account is called."""
    return f"account{number:05}"


@contextmanager
def worker(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Start the process of a worker, which waits for a line; kill it in the end."""
    process = subprocess.Popen(
        [sys.executable, __file__, WORKER, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def pace(
    url: str, count: int, seconds: float, workers: int, begin: Callable[[], None]
) -> list[float]:
    """Have workers ask for all accounts; call `begin` when they are ready. Return as `work`."""
    with ExitStack() as stack:
        started = [
            stack.enter_context(worker(url, first, workers, count, seconds))
            for first in range(workers)
        ]
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        begin()
        for process in started:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        answers = [process.communicate()[0] for process in started]
    return [each for answer in answers for each in json.loads(answer)]


async def measure(
    postgres: EmbeddedPostgres, count: int, seconds: float, workers: int
) -> dict[str, float]:
    """Have all accounts ask at full pace; return what it cost the database."""
    names = list(map(account_name, range(count)))
    connection: asyncpg.Connection[Any] = await asyncpg.connect(postgres.url())
    await prepare(connection, names, int(seconds / EVERY_S) + 1)
    claim = await claim_ms(connection, names)
    cpu_before = began = 0.0

    def begin() -> None:
        nonlocal cpu_before, began
        cpu_before, began = cpu_s(postgres), time.monotonic()

    before = await look(connection)
    late = await asyncio.to_thread(pace, postgres.url(), count, seconds, workers, begin)
    after, cpu_after = await look(connection), cpu_s(postgres)
    elapsed = time.monotonic() - began
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
    if sys.argv[1] == WORKER:
        url, first, step, count, seconds = sys.argv[2:]
        print(json.dumps(asyncio.run(work(url, int(first), int(step), int(count), float(seconds)))))
        return
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        settings = {"max_connections": "200"}
        with EmbeddedPostgres(Path(folder), settings=settings) as postgres:
            count, duration, workers = sys.argv[1:]
            measuring = measure(postgres, int(count), float(duration), int(workers))
            print(json.dumps(asyncio.run(measuring)))


if __name__ == "__main__":
    main()

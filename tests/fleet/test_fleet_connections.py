"""What waits for a database that is away, and what does not."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bulkfetch.fleet.connections import Connections


class BrokenPool:
    """Gives connections of which nothing comes, and that cannot be given back."""

    def __init__(self) -> None:
        self.taken = self.dropped = 0

    @asynccontextmanager
    async def acquire(self, *, timeout: float) -> AsyncIterator[BrokenPool]:
        self.taken += 1
        try:
            yield self
        finally:
            raise ConnectionResetError("the connection is lost")

    def terminate(self) -> None:
        self.dropped += 1


def test_a_cancel_is_not_taken_for_a_database_that_is_away() -> None:
    """The connection's own error comes in place of it; the work is not begun again.

    The connection, which may be in a transaction, is given up.
    """
    pool: Any = BrokenPool()

    async def cancelled() -> None:
        at_work = asyncio.Event()

        async def work(_: object) -> None:
            at_work.set()
            await asyncio.Event().wait()

        reading = asyncio.create_task(Connections(pool).read(work))
        await at_work.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    asyncio.run(asyncio.wait_for(cancelled(), timeout=20))
    assert (pool.taken, pool.dropped) == (1, 1)


def test_asyncpg_writes_nothing_of_its_own_to_stderr() -> None:
    """In whatever process: that a connection is lost is told in a line, without a traceback."""
    program = (
        "import logging, bulkfetch.ratelimit.postgres.schema; "
        "logging.getLogger('asyncpg.pool').warning('the connection is lost')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stderr == b""

"""A process that uses the shared window of a scaled account until it is killed.

`python -m tests.support.window_process STORE LOG`, where STORE is a state directory or the address
of a PostgreSQL: appends one line per request to LOG, pid and
seconds since boot, where a server would count it: between the grant and the answer.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from bulkfetch.clock import boottime
from bulkfetch.ratelimit import RateLimit, open_limiter
from bulkfetch.ratelimit.postgres.database import WindowDatabase
from bulkfetch.ratelimit.postgres.limiter import open_database_limiter

# Ten in 0.5 s. The lease is long beside any pause of a busy machine.
SCALED = RateLimit(period_s=0.5, margin_s=0.02, grace_s=0.1, headers_timeout_s=1.0)


async def main(store: str, log: Path) -> None:
    if store.startswith("postgresql:"):
        database = await WindowDatabase.open(store)
        window = await open_database_limiter(SCALED, "scaled", "scaled", database)
    else:
        window = await open_limiter(SCALED, "scaled", Path(store))
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    while True:
        permit = await window.acquire()
        await asyncio.sleep(random.uniform(0, 0.01))
        os.write(out, b"%d %.6f\n" % (os.getpid(), boottime()))
        await asyncio.sleep(random.uniform(0, 0.01))
        permit.answered()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))

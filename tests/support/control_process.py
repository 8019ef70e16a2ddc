"""A process that makes control calls of a scaled account until it is killed.

`python -m tests.support.control_process STORE LOG`, where STORE is a state directory or the address
of a PostgreSQL: appends two lines per call to LOG, `begin` or `end`, kind, pid and seconds since
boot, where a server would see them.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from bulkfetch.clock import boottime
from bulkfetch.control import allowance
from bulkfetch.control import budget as budgets
from bulkfetch.control.allowance import ControlLimits
from bulkfetch.control.budget import ControlBudget
from bulkfetch.control.calls import Kind
from bulkfetch.control.hosts_ledger import HostsLedger
from bulkfetch.ratelimit.postgres.database import WindowDatabase

# A minute of 0.5 s, and a lease that is long beside any pause of a busy machine.
MINUTE_S, LEASE_S = 0.5, 1.0
LIMITS = ControlLimits(concurrency=3, creates_per_minute=4, polls_per_minute=9)


async def main(store: str, log: Path) -> None:
    allowance.REFILL_S = MINUTE_S + 0.02
    budgets.LATE_S = LEASE_S / 2
    if store.startswith("postgresql:"):
        ledger = HostsLedger("scaled", await WindowDatabase.open(store))
        budget = ControlBudget(LIMITS, "scaled", ledger, LEASE_S)
    else:
        budget = await ControlBudget.open(LIMITS, "scaled", Path(store), lease_s=LEASE_S)
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def calls(kind: Kind) -> None:
        while True:
            async with budget.call(kind) as place:
                os.write(out, b"begin %s %d %.6f\n" % (kind.encode(), os.getpid(), boottime()))
                await asyncio.sleep(random.uniform(0, 0.02))
                os.write(out, b"end %s %d %.6f\n" % (kind.encode(), os.getpid(), boottime()))
                place.answered(None, well=True)

    await asyncio.gather(*(calls(kind) for kind in ("create", "create", "status", "status")))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))

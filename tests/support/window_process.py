"""A process that uses the machine's window of a scaled account until it is killed.

`python -m tests.support.window_process STATE_DIR LOG`: appends one line per request to LOG, pid and
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

# Ten in 0.5 s. The lease is long beside any pause of a busy machine.
SCALED = RateLimit(period_s=0.5, margin_s=0.02, grace_s=0.1, headers_timeout_s=1.0)


async def main(state_dir: Path, log: Path) -> None:
    window = await open_limiter(SCALED, "scaled", state_dir)
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    while True:
        permit = await window.acquire()
        await asyncio.sleep(random.uniform(0, 0.01))
        os.write(out, b"%d %.6f\n" % (os.getpid(), boottime()))
        await asyncio.sleep(random.uniform(0, 0.01))
        permit.answered()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))

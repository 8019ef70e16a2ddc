"""How long a service's event loop is held up by 100 calls of `get` on one long-lived client.

    python -m benchmarks.loop_lag
    python -m benchmarks.loop_lag --records 200000

A task sleeps for a millisecond again and again and takes down how much too late it wakes: first
with nothing else in the loop, which is what this machine and its other programs cost, then under
the client's first call, which imports and opens, then under the calls. The sandbox is a process of
its own, its window is opened wide. `late` is what another request of the service waits, and holds
whatever else the machine has to do; `cpu` is what the loop's own thread has worked between two
wakings, and so more than any single turn of the loop: what the library answers for.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from time import perf_counter, thread_time
from typing import NamedTuple

from bulkfetch import Client, Settings, load_settings

CALLS = 100
JOBS = 80  # so that some calls ask for what others do
_SERVER = """
import sys
from bulkfetch.sandbox import SandboxOptions, SandboxThread
with SandboxThread(SandboxOptions(records=int(sys.argv[1]), requests=1_000_000)) as sandbox:
    print(sandbox.url, flush=True)
    sys.stdin.read()
"""


class Lag(NamedTuple):
    """How late the loop was, and the most that its thread worked between two wakings."""

    late_ms: float
    late_p99_ms: float
    cpu_ms: float
    wakings: int


async def watched(work: Awaitable[object]) -> Lag:
    """Await something beside a task that wakes each millisecond, and give how late that was."""
    late: list[float] = []
    cpu: list[float] = []

    async def watch() -> None:
        while True:
            due, worked = perf_counter() + 0.001, thread_time()
            await asyncio.sleep(0.001)
            cpu.append((thread_time() - worked) * 1000)
            late.append((perf_counter() - due) * 1000)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0.01)
    await work
    await asyncio.sleep(0.01)
    watching.cancel()
    late.sort()
    return Lag(late[-1], late[int(len(late) * 0.99)], max(cpu), len(late))


async def measured(settings: Settings) -> dict[str, Lag]:
    """Give the lags of one service, by what it did."""
    found = {"nothing": await watched(asyncio.sleep(2))}
    client = Client(settings)
    found["entering"] = await watched(client.__aenter__())
    try:
        found["first call"] = await watched(client.get("1"))
        calls = [str(number % JOBS + 1) for number in range(CALLS)]
        found[f"{CALLS} calls"] = await watched(asyncio.gather(*map(client.get, calls)))
        found[f"{CALLS} calls again"] = await watched(asyncio.gather(*map(client.get, calls)))
    finally:
        found["leaving"] = await watched(client.__aexit__(None, None, None))
    return found


def main() -> None:
    """Measure once, in a new folder, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--records", type=int, default=20_000)
    records = parser.parse_args().records
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, "-c", _SERVER, str(records)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as server,
    ):
        assert server.stdout is not None
        toml = Path(folder, "jobs.toml")
        toml.write_text(
            f'out = "out"\n[account]\napi_domain = "{server.stdout.readline().strip()}"\n'
            "[account.window]\nrequests = 100000\nperiod_s = 1\nmargin_s = 0\n"
        )
        env = {"ZOHO_ACCESS_TOKEN": "any", "BULKFETCH_STATE_DIR": f"{folder}/state"}
        lags = asyncio.run(measured(load_settings(toml, env)))
        server.communicate()
    print(f"{'':16} {'late ms':>8} {'99 %':>6} {'cpu ms':>7} {'wakings':>8}")
    for what, lag in lags.items():
        print(
            f"{what:16} {lag.late_ms:8.1f} {lag.late_p99_ms:6.1f} {lag.cpu_ms:7.1f} {lag.wakings:8}"
        )


if __name__ == "__main__":
    main()

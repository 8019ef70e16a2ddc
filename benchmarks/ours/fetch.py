"""fetch.py OUT BASE CA_FILE SEATS sha256|crc ID…: the whole product through its public names.

With `crc` it does only what every rival does: no digest, and no records counted. An ID of the form
CODE*COUNT stands for COUNT ids of a body, made lazily. The window is opened wide, which settings
allow for a server on this machine.
"""

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import bulkfetch

SETTINGS = """\
out = {out}
sha256 = {sha256}
records = {sha256}
[account]
api_domain = {base}
accounts_url = {base}
ca_file = {ca_file}
[account.window]
requests = 1000000
period_s = 0.01
margin_s = 0.0
concurrency = {seats}
"""


def ids(words: list[str]) -> Iterator[str]:
    """Give the ids."""
    for word in words:
        code, star, count = word.partition("*")
        if star:
            yield from (f"{code}{number:017d}" for number in range(int(count)))
        else:
            yield word


async def main() -> None:
    """Fetch all; tell how fast, and how large the process was."""
    out, base, ca_file, seats, sums = sys.argv[1:6]
    # Beside the output folder, which must hold nothing else than results.
    file = Path(out).with_name("jobs.toml")
    file.write_text(
        SETTINGS.format(
            out=json.dumps(out),
            base=json.dumps(base),
            ca_file=json.dumps(ca_file),
            seats=seats,
            sha256=json.dumps(sums == "sha256"),
        )
    )
    begin, cpu = time.perf_counter(), time.process_time()
    async with bulkfetch.Client(bulkfetch.load_settings(file)) as client:
        run = client.fetch(ids(sys.argv[6:]))
        async for outcome in run:
            if outcome.status != "done":
                print(outcome, file=sys.stderr)
    report = run.report
    took, used = time.perf_counter() - begin, time.process_time() - cpu
    if not report.ok:
        print(report, file=sys.stderr)
        os._exit(1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    figures = {
        "jobs": report.done,
        "jobs_per_s": report.done / took,
        "cpu_us_per_job": used / report.done * 1e6,
        "peak_rss_bytes": peak,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main())

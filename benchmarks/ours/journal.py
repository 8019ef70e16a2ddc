"""journal.py OUT COUNT: admit a list, close, open anew and admit it again, take, record."""

import asyncio
import itertools
import json
import sys
import time
from pathlib import Path

from bulkfetch.journal import Entry, Journal
from bulkfetch.models import Job, Outcome, PublishedFile

BATCH_JOBS = 2000
RECORDED = 2000


async def admit(journal: Journal, count: int) -> float:
    """Give the seconds that it takes."""
    begin = time.perf_counter()
    ids = (Job(f"554{number:016d}") for number in range(count))
    while batch := list(itertools.islice(ids, BATCH_JOBS)):
        await journal.enqueue(batch)
    return time.perf_counter() - begin


async def record(journal: Journal, out: Path, entries: list[Entry]) -> float:
    """Give the seconds that two durable records of each job take, fifty callers at once."""
    waiting = iter(entries)

    async def caller() -> None:
        for entry in waiting:
            await journal.downloaded(entry, zip_bytes=1000, attempts=1)
            file = PublishedFile(str(out / f"{entry.job.id}.csv"), 1000, "0" * 64)
            outcome = Outcome(entry.job.id, "default", "done", (file,), 1000, attempts=1)
            await journal.done(entry, outcome)

    begin = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(50)))
    return time.perf_counter() - begin


async def main() -> None:
    """Tell the times and the size."""
    out, count = Path(sys.argv[1]), int(sys.argv[2])
    folder = out / ".bulkfetch"
    journal = await Journal.open(folder)
    admitted_s = await admit(journal, count)
    await journal.aclose()
    size = sum(path.stat().st_size for path in folder.iterdir())

    begin = time.perf_counter()
    journal = await Journal.open(folder)
    opened_s = time.perf_counter() - begin
    again_s = await admit(journal, count)
    begin = time.perf_counter()
    entries = await journal.take("default", 200)
    taken_s = time.perf_counter() - begin
    entries += await journal.take("default", RECORDED - 200)
    recorded_s = await record(journal, out, entries)
    await journal.aclose()
    figures = {
        "admit_us_per_job": admitted_s / count * 1e6,
        "admit_again_us_per_job": again_s / count * 1e6,
        "open_ms": opened_s * 1e3,
        "first_take_ms": taken_s * 1e3,
        "done_us_per_job": recorded_s / len(entries) * 1e6,
        "bytes_per_job": size / count,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main())

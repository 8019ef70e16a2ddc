"""A process to be killed: works a list through a journal and says aloud what it was promised.

`python journal_victim.py OUT COUNT`: for each of COUNT jobs prints `Z id` once "downloaded" is
recorded and `D id` (or `F id` for every seventh) once its end is; each only after the journal
returned.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from bulkfetch.journal import Entry, Journal
from bulkfetch.models import Failure, Job, Outcome, PublishedFile


def _say(word: str, entry: Entry) -> None:
    os.write(1, f"{word} {entry.job.id}\n".encode())


def fails(job_id: str) -> bool:
    """Say whether the victim lets this job fail."""
    return int(job_id) % 7 == 0


async def _lane(journal: Journal, out: Path) -> None:
    while entries := await journal.take("default", 1):
        (entry,) = entries
        await journal.attempted(entry, entry.attempts + 1)
        if entry.state == "pending":
            await journal.downloaded(entry, zip_bytes=1000, attempts=entry.attempts + 1)
            _say("Z", entry)
        if fails(entry.job.id):
            failure = Failure("ZIP_CORRUPT", "The archive is damaged.")
            await journal.failed(entry, Outcome(entry.job.id, "default", "failed", error=failure))
            _say("F", entry)
        else:
            files = (PublishedFile(str(out / f"{entry.job.id}.csv"), 5, "5e" * 32),)
            await journal.done(entry, Outcome(entry.job.id, "default", "done", files=files))
            _say("D", entry)


async def _main(out: Path, count: int) -> None:
    journal = await Journal.open(out / ".bulkfetch")
    await journal.enqueue([Job(str(n)) for n in range(count)])
    await asyncio.gather(*(_lane(journal, out) for _ in range(8)))
    await journal.aclose()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), int(sys.argv[2])))

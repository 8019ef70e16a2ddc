"""A limit to how many jobs of a list one run takes up: those that are done do not count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from bulkfetch.cli.recall import journal_in
from bulkfetch.errors import is_permanent
from bulkfetch.models import Job

if TYPE_CHECKING:
    from pathlib import Path

    from bulkfetch.journal import JournalReader


class JobLimit:
    """At most `most` jobs that are still to do. `passed_over` counts those that are not."""

    def __init__(self, most: int) -> None:
        self.passed_over = 0
        self._most = most

    @contextmanager
    def over(self, jobs: Iterator[Job], out: Path) -> Iterator[Iterator[Job]]:
        """Yield the jobs that are to be taken up, by what the journal of an output folder says.

        To be left in the thread that entered it. Raises RunError where the journal cannot be read.
        """
        with journal_in(out) or nullcontext() as reader:
            yield self._first(jobs, reader)

    def _first(self, jobs: Iterator[Job], reader: JournalReader | None) -> Iterator[Job]:
        taken: set[tuple[str, str]] = set()
        for job in jobs:
            key = (job.account, job.id)
            if key in taken:
                continue
            if reader is not None and not job.again and _has_ended(job, reader):
                self.passed_over += 1
                continue
            yield job
            taken.add(key)
            if len(taken) >= self._most:
                return


def _has_ended(job: Job, reader: JournalReader) -> bool:
    """Return whether a run would ask nothing for a job: it is done, or has failed for good."""
    if (known := reader.find_job(job)) is None:
        return False
    status, error = known.outcome.status, known.outcome.error
    for_good = status == "failed" and error is not None and is_permanent(error.code)
    return status == "done" or for_good

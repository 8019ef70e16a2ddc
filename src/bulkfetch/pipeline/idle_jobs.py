"""The jobs of a list that no worker has: refused, skipped, or left pending at the end of a run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

import anyio
import anyio.to_thread

from bulkfetch.disk import file_size
from bulkfetch.errors import BulkfetchError
from bulkfetch.events import Emit, is_followed
from bulkfetch.journal import Journal, Refused
from bulkfetch.models import Failure, Outcome, PublishedFile
from bulkfetch.pipeline.layout import OutputLayout
from bulkfetch.pipeline.outcomes import OutcomeSink, failure_event

# Jobs read from the journal at a time, to be reported one by one.
PAGE_JOBS = 2000


class IdleJobs:
    """Reports each of them to `report`, until the run is `abandoned`, and counts some.

    `only_new`: skipped jobs are only counted. `refused` could not be asked for at all, `missing`
    were done before and their file is gone, `superseded` were published over by a newer job.
    """

    def __init__(
        self,
        layout: OutputLayout,
        report: OutcomeSink,
        abandoned: anyio.Event,
        *,
        only_new: bool,
        emit: Emit,
    ) -> None:
        self.refused = 0
        self.missing = 0
        self.superseded = 0
        self._layout = layout
        self._report = report
        self._abandoned = abandoned
        self._only_new = only_new
        self._emit = emit
        self._skipped: deque[Outcome] = deque()  # read from the journal and not yet reported
        self._skipped_read = 0  # the journal's bookmark

    async def report_refused(self, refused: Iterable[Refused]) -> None:
        """Report jobs that the list cannot have fetched. If cancelled: some may not be reported."""
        for job, error in refused:
            self.refused += 1
            outcome = Outcome(job.id, job.account, "failed", error=Failure.of(error))
            if is_followed(self._emit):
                self._emit(failure_event(outcome))
            await self._report(outcome)

    async def report_skipped(self, journal: Journal) -> None:
        """Check what ended before this run, and report it.

        If cancelled: the next call goes on where this one was cut short.
        """
        while not self._abandoned.is_set():
            while self._skipped:
                await self._report(self._skipped[0])
                self._skipped.popleft()
            page, self._skipped_read = await journal.skipped(self._skipped_read, PAGE_JOBS)
            if not page:
                return
            page = await anyio.to_thread.run_sync(looked_at, page, self._layout)
            self.missing += sum(outcome.missing for outcome in page)
            self.superseded += sum(outcome.superseded_by is not None for outcome in page)
            if not self._only_new:
                self._skipped.extend(page)

    async def report_pending(
        self, journal: Journal, account: str, cause: BulkfetchError | None
    ) -> None:
        """Report an account's jobs that have not ended, and why. If cancelled: not all of them."""
        bookmark, error = 0, Failure.of(cause) if cause else None
        while not self._abandoned.is_set():
            page, bookmark = await journal.pending(account, bookmark, PAGE_JOBS)
            if not page:
                return
            for entry in page:
                await self._report(
                    Outcome(
                        entry.job.id,
                        account,
                        "pending",
                        zip_bytes=entry.zip_bytes,
                        attempts=entry.attempts,
                        error=error,
                    )
                )


def looked_at(outcomes: Iterable[Outcome], places: OutputLayout) -> list[Outcome]:
    """Return the outcomes, those marked `missing` whose file is gone or has another size.

    Blocking: one stat for each file.
    """
    return [
        replace(outcome, missing=True) if are_missing(outcome.files, places) else outcome
        for outcome in outcomes
    ]


def are_missing(files: Iterable[PublishedFile], places: OutputLayout) -> bool:
    """Return whether one of the files is no longer there as it was published.

    Those in a bucket are not looked at: each would be a request.
    """
    return any(
        file_size(places.absolute(file.path)) != file.bytes for file in files if not file.is_object
    )

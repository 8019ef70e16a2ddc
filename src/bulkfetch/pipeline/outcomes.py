"""Outcomes on their way from those who end jobs to the one who reads."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from bulkfetch.events import Event
from bulkfetch.models import Outcome

# Takes the outcome of a job that has finished; may hold its caller up.
OutcomeSink = Callable[[Outcome], Awaitable[None]]

# Outcomes that wait for their reader; more hold up those who end jobs.
WAITING_OUTCOMES = 256
# Failures kept for the report: enough to read, however long the list.
REPORTED_FAILURES = 100


def failure_event(outcome: Outcome) -> Event:
    """Return the news of a job that has failed for good."""
    error = outcome.error
    assert error is not None, "a failed job says why"
    data: dict[str, int | float | str] = {
        "code": error.code,
        "hint": error.hint,
        "attempts": outcome.attempts,
    }
    message = f"{error.code}: {error.message}"
    return Event("failed", message, outcome.account, outcome.job_id, data)


class OutcomeStream:
    """A bounded stream of outcomes, with the sums of what has gone through it.

    `zip_bytes` and `file_bytes` are of jobs done in this run; `failures` are the first ones.
    """

    def __init__(self) -> None:
        self.zip_bytes = 0
        self.file_bytes = 0
        self.failures: list[Outcome] = []
        self._put, self._reader = anyio.create_memory_object_stream[Outcome](WAITING_OUTCOMES)
        self._news = anyio.Event()
        # What nobody read is in the journal; the streams would warn of it. Not __del__, which may
        # be called after theirs.
        weakref.finalize(self, _close, self._put, self._reader).atexit = False

    async def put(self, outcome: Outcome) -> None:
        """Put an outcome into the stream; wait for the reader when it is full.

        Raises anyio.BrokenResourceError if nobody will read it, even while waiting.
        If cancelled: it may not be reported; the journal has it.
        """
        if outcome.status == "done" and not outcome.skipped:
            self.zip_bytes += outcome.zip_bytes or 0
            self.file_bytes += sum(file.bytes for file in outcome.files)
        if (
            outcome.status == "failed"
            and not outcome.skipped
            and len(self.failures) < REPORTED_FAILURES
        ):
            self.failures.append(outcome)
        try:
            self._put.send_nowait(outcome)  # a turn of the loop for each would be expensive
        except anyio.WouldBlock:
            await self._put.send(outcome)
        self._news.set()

    async def next(self) -> Outcome:
        """Return the next outcome; raises anyio.EndOfStream after the last.

        If cancelled: none is lost.
        """
        while True:
            try:
                return self._reader.receive_nowait()
            except anyio.ClosedResourceError:
                raise anyio.EndOfStream from None
            except anyio.WouldBlock:
                # Not receive(): it loses what it is given in the instant of a cancellation.
                if self._news.is_set():
                    self._news = anyio.Event()
                await self._news.wait()

    def leave_unread(self) -> None:
        """Close the reading end: nobody waits to report any more."""
        self._reader.close()
        self._news.set()

    def end(self) -> None:
        """Close the writing end after the last outcome."""
        self._put.close()
        self._news.set()


def _close(
    put: MemoryObjectSendStream[Outcome], reader: MemoryObjectReceiveStream[Outcome]
) -> None:
    put.close()
    reader.close()

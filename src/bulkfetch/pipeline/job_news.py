"""What is told of the jobs of one account: events, made only where somebody follows them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from bulkfetch.download.attempt import Attempt
from bulkfetch.download.retry import Decision
from bulkfetch.errors import BulkfetchError
from bulkfetch.events import Emit, Event, EventKind, is_followed
from bulkfetch.models import Outcome
from bulkfetch.pipeline.active_job import ActiveJob
from bulkfetch.pipeline.outcomes import failure_event
from bulkfetch.pipeline.publish import Published

Figure = int | float | str


class JobNews:
    """Tells of an account and its jobs; what happens to every job only if `is_followed`."""

    def __init__(self, account: str, emit: Emit) -> None:
        self.is_followed = is_followed(emit)
        self._account = account
        self._emit = emit

    def say(self, kind: EventKind, job: ActiveJob | None, message: str, **data: Figure) -> None:
        """Tell of a job, or of the account as a whole."""
        self._emit(Event(kind, message, self._account, job.job.id if job else None, data))

    def started(self, job: ActiveJob, attempt: Attempt) -> None:
        """Tell that an attempt starts, and of its slot; have the attempt tell what follows."""
        if not self.is_followed:
            return
        attempt.tell = partial(self._of_attempt, job)
        if attempt.permit is not None:
            attempt.took(attempt.permit, attempt.waited_s, attempt.connection_waited_s)
        number = job.attempts + 1
        self.say("attempt_started", job, f"attempt {number} started", attempt=number)

    def attempt_failed(
        self,
        job: ActiveJob,
        error: BulkfetchError,
        decision: Decision,
        *,
        received: int = 0,
        delay_s: float = 0.0,
        text: str | None = None,
    ) -> None:
        """Tell why an attempt failed, and what is done about it."""
        self.say(
            "attempt_failed",
            job,
            f"{error.code}: {error.message}; {text or decision.next.value}"
            + (f" in {delay_s:.1f} s" if delay_s else ""),
            code=error.code,
            next=decision.next.value,
            attempt=job.attempts,
            delay_s=delay_s,
            received_bytes=received,
        )

    def verified(self, job: ActiveJob, zip_bytes: int) -> None:
        """Tell that a ZIP is sound."""
        if self.is_followed:
            self.say("verified", job, f"a sound ZIP of {zip_bytes} bytes", zip_bytes=zip_bytes)

    def done(self, job: ActiveJob, published: Published, took_s: float) -> None:
        """Tell that a job's files are published, `took_s` after its request."""
        if not self.is_followed:
            return
        told = ", ".join(f"{file.path}, {file.bytes} bytes" for file in published.files)
        text = f"published as {told}"
        text += f", {took_s:.1f} s from its request" if job.started is not None else ""
        first = published.files[0]
        counted = {} if published.records is None else {"records": published.records}
        self.say("done", job, text, path=first.path, bytes=first.bytes, took_s=took_s, **counted)

    def failed(self, outcome: Outcome) -> None:
        """Tell that a job has failed for good."""
        if self.is_followed:
            self._emit(failure_event(outcome))

    def _of_attempt(
        self, job: ActiveJob, kind: EventKind, message: str, data: Mapping[str, Figure]
    ) -> None:
        self._emit(Event(kind, message, self._account, job.job.id, data))

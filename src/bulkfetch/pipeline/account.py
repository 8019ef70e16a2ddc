"""The jobs of one account: each fetched, published and reported by one coroutine."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Collection
from functools import partial

import anyio

from bulkfetch.archive import ExtractionCancelled
from bulkfetch.disk import remove
from bulkfetch.download.attempt import Attempt
from bulkfetch.download.retry import Decision, RetryAction
from bulkfetch.errors import (
    AccountError,
    ArchiveError,
    BulkfetchError,
    NotAZip,
    NotConvertible,
    PublishConflict,
    ServerError,
    TokenRejected,
    ZipCorrupt,
)
from bulkfetch.events import Emit, EventKind
from bulkfetch.journal import Journal
from bulkfetch.models import Failure, Outcome
from bulkfetch.pipeline.active_job import AccountAccess, ActiveJob
from bulkfetch.pipeline.dispatch import Dispatcher, StagingBudget
from bulkfetch.pipeline.health import Health, without_another
from bulkfetch.pipeline.job_news import JobNews
from bulkfetch.pipeline.layout import OutputLayout
from bulkfetch.pipeline.outcomes import OutcomeSink
from bulkfetch.pipeline.progress import JobTimes, Transfer
from bulkfetch.pipeline.publish import Published, Publisher
from bulkfetch.pipeline.source import JobSource, JournalSource
from bulkfetch.secret import Secret

OnEnd = Callable[[str, AccountError, Collection[int]], Awaitable[None]]

# Bytes that were fetched in vain are told of from here on: less is the body of an error.
WORTH_TELLING_BYTES = 1 << 16


class AccountWorker:
    """Brings an account's jobs to their outcomes until its list is done, it is stopped or ends.

    `ended` is why nothing more can be fetched for this account, None as long as something can;
    `times` is what its jobs took. `source` gives its jobs, without one the journal. `leftovers`
    are the keys of jobs with a body in staging from a dead run. `started` are those under way, by
    their keys in the journal; `on_end` is awaited with them when the account has ended.
    """

    def __init__(
        self,
        access: AccountAccess,
        journal: Journal,
        publisher: Publisher,
        layout: OutputLayout,
        budget: StagingBudget,
        job_finished: OutcomeSink,
        emit: Emit,
        *,
        source: JobSource | None = None,
        leftovers: frozenset[str] = frozenset(),
        on_end: OnEnd | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.account = access.account
        self.limiter = access.limiter
        self.ended: AccountError | None = None
        self.times = JobTimes()
        self._access = access
        self._journal = journal
        self._publisher = publisher
        self._layout = layout
        self._budget = budget
        self._job_finished = job_finished
        self._news = JobNews(access.account, emit)
        self._jitter = jitter
        self._renewed: Secret | None = None
        self._health = Health()
        self.source = source or JournalSource(access.account, journal)
        self.dispatcher = Dispatcher(access, self.source, layout, budget, self._health, leftovers)
        self._dispatching = anyio.CancelScope()
        self._underway: dict[str, tuple[ActiveJob, Attempt | None]] = {}
        self.started: set[int] = set()
        self._on_end = on_end

    async def run(self) -> None:
        """Start each job as early as the limit allows, until the list ends or the account does.

        Returns when all that was started has ended. Raises RunError, in a group, which ends the
        run. If cancelled: requests in flight are dropped, their slots settled; incomplete bodies
        are removed, complete ones stay in staging for a later run.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.source.run, self.dispatcher.more)
            with self._dispatching:
                try:
                    while (starting := await self.dispatcher.next()) is not None:
                        self.started.add(starting[0].entry.key)
                        tasks.start_soon(self._process, *starting)
                    ending = self.source.error
                except AccountError as error:  # there are no more slots for this process
                    ending = error
                if ending is not None:
                    self._end(ending)
            self.source.stop()
            if self.ended is not None and self._on_end is not None:
                await self._on_end(self.account, self.ended, self.started)

    def transfers(self) -> list[Transfer]:
        """Return the jobs between their request and their file, those that began first first."""
        return [job.transfer(attempt) for job, attempt in self._underway.values()]

    def more(self) -> None:
        """Note that the list has got more jobs for this account."""
        self.source.more()
        self.dispatcher.more()

    def stop(self) -> None:
        """Start no more jobs; what is under way goes on."""
        self.dispatcher.stopped = True
        self._dispatching.cancel()

    async def _process(self, job: ActiveJob, attempt: Attempt | None) -> None:
        """Take a job from its request to its outcome; without an attempt, its ZIP is in staging."""
        try:
            await self._fetch_and_publish(job, attempt)
        finally:
            self.started.discard(job.entry.key)

    async def _fetch_and_publish(self, job: ActiveJob, attempt: Attempt | None) -> None:
        key = job.job.id
        try:
            try:
                if attempt is not None:
                    self._underway[key] = job, attempt
                    await self._fetch(job, attempt)
                self._underway[key] = job, None
                published = await self._publish(job)
            finally:
                self._underway.pop(key, None)
        except ExtractionCancelled:
            return  # the run ends: the ZIP is complete, and a later run goes on from it
        except BulkfetchError as error:
            if job.staged:
                await self._handle_refused_zip(job, error)
            else:
                assert attempt is not None, "only a request's failure leaves no ZIP"
                await self._handle_failed_attempt(job, attempt, error)
        else:
            if published is None:
                await self._fetch_again(job)
            else:
                await self._finish(job, published)

    async def _fetch(self, job: ActiveJob, attempt: Attempt) -> None:
        attempt.partial = job.partial
        part = self._layout.part(job.job)
        job.started = anyio.current_time()
        self.times.started(job.started)
        try:
            self._news.started(job, attempt)
            download = await self._access.downloader.fetch(job.job.id, part, attempt)
        except anyio.get_cancelled_exc_class():
            # Cut short: worth nothing to a later run, and perhaps the room that the disk lacks.
            remove(part)
            raise
        finally:
            self.dispatcher.attempt_ended(attempt)
            job.attempts += attempt.requests
        self._health.good()
        job.zip_bytes, job.staged, job.partial = download.zip_bytes, True, None
        self._budget.add(download.zip_bytes)
        if gained := download.resumed_bytes:
            self._news.say("resumed", job, f"resumed: {gained} bytes saved", gained_bytes=gained)

    async def _publish(self, job: ActiveJob) -> Published | None:
        """Publish a job's ZIP in staging; return None where there is none: somebody cleaned up."""
        staged = await self._publisher.stage(job.job)
        if staged is None:
            return None
        if job.zip_bytes is None:  # nobody has counted it yet
            job.zip_bytes = staged.zip_bytes
            self._budget.add(staged.zip_bytes)
            text = "its ZIP is here already; nothing is asked"
            self._news.say("salvaged", job, text, zip_bytes=staged.zip_bytes)
        self._news.verified(job, staged.zip_bytes)
        return await self._publisher.publish(job, staged)

    async def _finish(self, job: ActiveJob, published: Published) -> None:
        """Record a job as done, then report it; a cancellation waits for the record."""
        outcome = Outcome(
            job_id=job.job.id,
            account=job.job.account,
            status="done",
            files=published.files,
            zip_bytes=job.zip_bytes,
            records=published.records,
            attempts=job.attempts,
        )
        with anyio.CancelScope(shield=True):  # what the journal knows as done is reported
            await self._journal.done(job.entry, outcome, published.zip)
            await self._publisher.discard(job.job)
        took_s = 0.0
        if job.started is not None:
            now = anyio.current_time()
            took_s = now - job.started
            self.times.ended(job.started, now)
        self._news.done(job, published, took_s)
        for doubt in published.doubts:
            path = published.files[0].path
            self._news.say("note", job, f"{path} is published, but {doubt}")
        await self._report(job, outcome)

    async def _fail(
        self, job: ActiveJob, error: BulkfetchError, quarantine: str | None = None
    ) -> None:
        """Record a job as failed, then report it; a cancellation waits for the record."""
        outcome = Outcome(
            job_id=job.job.id,
            account=job.job.account,
            status="failed",
            zip_bytes=job.zip_bytes,
            attempts=job.attempts,
            quarantine=quarantine,
            error=Failure.of(error),
        )
        with anyio.CancelScope(shield=True):  # what the journal knows as failed is reported
            await self._journal.failed(job.entry, outcome)
        self._news.failed(outcome)
        await self._report(job, outcome)

    async def _report(self, job: ActiveJob, outcome: Outcome) -> None:
        self._budget.remove(job.zip_bytes or 0)
        await self._job_finished(outcome)
        self.dispatcher.job_ended()

    async def _fetch_again(self, job: ActiveJob) -> None:
        """Put a job back whose ZIP is gone or of no use; it is fetched from its first byte."""
        await self._publisher.discard(job.job)
        if job.recorded:
            await self._journal.back_to_pending(job.entry)
        self._budget.remove(job.zip_bytes or 0)
        job.staged = job.recovered = job.recorded = False
        job.partial = job.zip_bytes = None
        self.dispatcher.retry(job)

    # --- failures --------------------------------------------------------------------------------

    async def _handle_refused_zip(self, job: ActiveJob, error: BulkfetchError) -> None:
        """Decide about a complete ZIP that could not be published; raise what ends the run."""
        match error:
            case PublishConflict() | NotConvertible():
                # The ZIP stays in staging: once the way is free, or the formats are others, a later
                # run needs no request.
                await self._fail(job, error)
            case ZipCorrupt() | NotAZip() if job.recovered:
                # A dead run's body that never was complete, or that the disk has lost.
                await self._fetch_again(job)
            case ArchiveError() | NotAZip():
                decision = self._health.judge(job, error, self._access.tries, anyio.current_time())
                if decision.next is RetryAction.REFETCH:
                    job.refetched = True
                    self._news.attempt_failed(job, error, decision, text="fetched once more")
                    await self._fetch_again(job)
                    return
                kept = await self._publisher.quarantine(job.job)
                shown = None if kept is None else self._layout.report(kept)
                if shown is not None:
                    text = f"the refused archive is kept as {shown}"
                    self._news.say("quarantined", job, text, path=shown)
                await self._fail(job, error, shown)
            case _:
                raise error

    async def _handle_failed_attempt(
        self, job: ActiveJob, attempt: Attempt, error: BulkfetchError
    ) -> None:
        """Have a job wait for its next try, fail it or end the account; raise what ends the run."""
        # Those on their way when one failed count with it.
        assert job.started is not None, "an attempt has begun"
        counts = job.started >= self.dispatcher.hold_until
        self._health.failed(job, error, anyio.current_time(), counts=counts)
        await self._journal.attempted(job.entry, job.attempts)
        if attempt.token is None:  # none was sent, since the source has none that is not refused
            job.repeated = True
        now, left = anyio.current_time(), attempt.partial
        decision = self._health.judge(
            job, error, self._access.tries, now, left=left, retry_after_s=attempt.retry_after_s
        )
        lost = attempt.received if left is None else 0
        if lost >= WORTH_TELLING_BYTES and decision.next is RetryAction.RETRY:
            self._news.say("restarted", job, f"{lost} bytes are fetched again", lost_bytes=lost)
        failed = partial(self._news.attempt_failed, job, error, decision, received=attempt.received)
        match decision.next:
            case RetryAction.HOLD:
                self._hold(job, error, decision, attempt.received)
            case RetryAction.RETRY:
                delay_s = decision.delay_s(self._jitter())
                self.dispatcher.retry(job, due=anyio.current_time() + delay_s)
                failed(delay_s=delay_s)
            case RetryAction.REPEAT:
                failed()
                await self._repeat(job, attempt, error)
            case RetryAction.AFTER_WINDOW:
                failed()
                self.dispatcher.retry(job, first=True)
            case RetryAction.END_ACCOUNT:
                self._end(error)
                if isinstance(error, TokenRejected) and attempt.token is not None:
                    await self._access.tokens.refuse(attempt.token)
            case RetryAction.END_RUN:
                remove(self._layout.part(job.job))
                raise error
            case RetryAction.FAIL | RetryAction.REFETCH:
                # What came of it is worth nothing to a later run, and would stay for ever.
                remove(self._layout.part(job.job))
                await self._fail(job, error)

    async def _repeat(self, job: ActiveJob, attempt: Attempt, error: BulkfetchError) -> None:
        """Have a job repeated with another token; end the account where there is none."""
        if self.ended is not None:
            return  # no other token is of any use
        job.repeated = True
        assert attempt.token is not None, "else it counts as repeated"
        try:
            token = await self._access.tokens.renew(attempt.token)
        except AccountError as refused:
            self._end(without_another(error, refused))
            return
        if token != self._renewed:  # many may have come with the same old one
            self._renewed = token
            self._news.say("token_renewed", None, "the access token was renewed")
        self.dispatcher.retry(job, first=True)

    def _hold(
        self, job: ActiveJob, error: BulkfetchError, decision: Decision, received: int
    ) -> None:
        """Let the whole account wait, and this job with it."""
        now, failing = anyio.current_time(), isinstance(error, ServerError)
        delay_s, until = decision.delay_s(self._jitter()), self.dispatcher.hold_until
        if now >= until or (failing and now + decision.least_s > until):
            self.dispatcher.hold_until = until = now + delay_s
            text = f"{error.message}; trying again in {delay_s:.1f} s"
            kind: EventKind = "service_down" if failing else "unconnected"
            self._news.say(kind, None, text, code=error.code, delay_s=delay_s)
        if failing:
            self._health.probing = True
            delay_s = max(0.0, until - now)
            self._news.attempt_failed(job, error, decision, received=received, delay_s=delay_s)
        # Where the server fails another job looks next: it may be this one alone that fails.
        self.dispatcher.retry(job, first=not failing)

    def _end(self, error: BulkfetchError) -> None:
        """Start no more requests for this account, because of `error`; its jobs stay pending."""
        if self.ended is not None:
            return
        self.ended = self._health.ending(error)
        data = {"code": self.ended.code, "hint": self.ended.hint}
        self._news.say("account_ended", None, self.ended.message, **data)
        self.stop()

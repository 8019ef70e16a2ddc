"""A run: one list of jobs, brought to its end or to a stop, in one task group.

The journal is the queue. The list goes into it as fast as it can be read, the accounts' workers
pull from it, and what each job came to is read from the run by iterating it. All is bounded: unread
outcomes hold up the jobs that would report more, and so many live jobs start no further request.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.abc
import anyio.to_thread

from bulkfetch.config import JobEntry
from bulkfetch.disk import disk_error, remove
from bulkfetch.errors import AccountError, RunError
from bulkfetch.events import Emit, ignore
from bulkfetch.journal import ClaimedNames, Counts, Journal
from bulkfetch.models import Failure, Job, Report
from bulkfetch.pipeline.handle import Run as Run  # a run's two sides are had from one place
from bulkfetch.pipeline.idle_jobs import IdleJobs
from bulkfetch.pipeline.layout import OutputLayout
from bulkfetch.pipeline.listing import BATCH_JOBS, Listed, batches, pump
from bulkfetch.pipeline.outcomes import OutcomeSink
from bulkfetch.pipeline.progress import JobCounts, Progress, typical
from bulkfetch.pipeline.readable import Readable, innermost
from bulkfetch.pipeline.refusal import refusal

if TYPE_CHECKING:
    from bulkfetch.pipeline.accounts import AccountWorkers, LeftSink

E = TypeVar("E", bound=BaseException)
Jobs = Iterable[Listed] | AsyncIterable[Listed]
OpenJournal = Callable[[], Awaitable[Journal]]
OpenWorkers = Callable[
    [Journal, frozenset[str], OutcomeSink, "LeftSink | None"], Awaitable["AccountWorkers"]
]

# After a stop, what is under way has this long to end by itself. With two seconds to tidy up it
# keeps the promise of ten.
DRAIN_S = 8.0
# After the reader has left: what came whole is kept, and the client is free within a second.
ABANDONED_S = 0.5


class Engine(Readable):
    """Does a run: gets one list of jobs into the journal, fetched, published and reported.

    `Run` is the caller's handle on it, and nothing in here refers to that: when the caller drops
    it, nobody can read any more, and the engine is told to end (`abandon`).
    """

    def __init__(
        self,
        jobs: Jobs,
        layout: OutputLayout,
        *,
        open_journal: OpenJournal,
        open_workers: OpenWorkers,
        as_job: Callable[[str | JobEntry], Job],
        accounts: frozenset[str],
        names: ClaimedNames,
        only_new: bool = False,
        left: LeftSink | None = None,
        previous: Readable | None = None,
        close_journal: bool = True,
        emit: Emit = ignore,
    ) -> None:
        """Use `Client.fetch`.

        `open_workers` makes what fetches, once there is something to fetch: of the journal, the
        keys of bodies in staging, who takes outcomes, and `left`. `as_job` makes a job of an id
        given as plain text, or of an entry. `accounts` are those that a job may be of, `names`
        gives what it may be published under. With `left` each job is awaited by somebody: what is
        not fetched is told at once and not at the end, that of an account that has ended by
        `left`, and the journal is opened likewise. `previous` is what has to end first, None where
        there is none. With `close_journal` false the journal is somebody else's, who closes it
        later. `emit` gets the news of jobs that cannot be asked for at all.
        """
        super().__init__(previous)
        self._jobs = jobs
        self._layout = layout
        self._open_journal = open_journal
        self._open_workers = open_workers
        self._as_job = as_job
        self._known_accounts = accounts
        self._names = names
        self._only_new = only_new
        self._left = left
        self._closes_journal = close_journal
        self._opened: Journal | None = None
        self._workers: AccountWorkers | None = None
        self._accounts: dict[str, None] = {}  # in the order of the list
        self._started = anyio.current_time()
        self._report: Report | None = None
        self._list_read = False
        self._leftovers: frozenset[str] = frozenset()
        self._loading = anyio.CancelScope()
        self._idle = IdleJobs(layout, self._abandoned, only_new=only_new, emit=emit)

    # --- for the reader --------------------------------------------------------------------------

    @property
    def report(self) -> Report:
        """What the run came to. Raises RuntimeError before its end."""
        if self._report is None:
            raise RuntimeError("the run has not ended")
        return self._report

    @property
    def ended(self) -> bool:
        """Whether there is a report."""
        return self._report is not None

    def so_far(self) -> Report:
        """Return what the run has come to up to now."""
        return self._report or self._sum_up()

    def progress(self) -> Progress:
        """Return where the run stands now; cheap, for a display."""
        workers = list(self._workers.workers.values()) if self._workers else []
        by_account = [worker.dispatcher.counts() for worker in workers]
        jobs = JobCounts(*map(sum, zip(*by_account, strict=True)))
        usual = typical((worker.times for worker in workers), anyio.current_time())
        return Progress(
            counts=self._counts(),
            list_read=self._list_read,
            stopping=self._stopping.is_set(),
            requests=jobs.requests,
            in_flight=jobs.in_flight,
            waiting_retries=jobs.waiting_retries,
            received_bytes=jobs.received_bytes,
            staged_bytes=self._workers.budget.bytes if self._workers else 0,
            file_bytes=self._outcomes.file_bytes,
            elapsed_s=anyio.current_time() - self._started,
            windows={worker.account: worker.limiter.state() for worker in workers},
            finishing=jobs.finishing,
            job_s=usual.job_s,
            since_start_s=usual.since_start_s,
            preparing=sum(worker.source.preparing for worker in workers),
            retried=jobs.retried,
            transfers=tuple(each for worker in workers for each in worker.transfers()),
        )

    def _counts(self) -> Counts:
        """Return where the list's jobs stand, those that cannot be asked for included."""
        counts = self._opened.counts() if self._opened else Counts()
        return counts._replace(failed=counts.failed + self._idle.refused)

    @property
    def _journal(self) -> Journal:
        assert self._opened is not None, "opened before anything else is done"
        return self._opened

    # --- the run itself --------------------------------------------------------------------------

    async def _all(self) -> None:
        try:
            self._opened = await self._open_journal()
            await self._clear_away()
            await self._process_all()
        except* RunError as group:
            self._aborted = self._layout.as_given(innermost(group))
        except* OSError as group:
            self._aborted = self._layout.as_given(disk_error(innermost(group)))
        except* Exception as group:
            # A mistake in here or in the caller's iterable: told where the run is iterated.
            self._crash = innermost(group)
        try:
            if self._opened is not None and not self.abandoned:
                await self._idle.report_skipped(self._opened, self._report_outcome)
                if not self._only_new:
                    # Whatever the counts say: a batch whose admission was cut short may not be
                    # counted yet.
                    for account in self._accounts:
                        cause = self._aborted or self.account_ended(account)
                        await self._idle.report_pending(
                            self._opened, account, cause, self._report_outcome
                        )
        except RunError as error:
            self._aborted = self._aborted or error

    async def _end_all(self) -> None:
        try:
            if self._opened is not None and self._closes_journal:
                await self._opened.aclose()
        except RunError as error:
            self._aborted = self._aborted or error
        finally:
            self._report = self._sum_up()

    async def _clear_away(self) -> None:
        """Look at what dead runs left in staging, and remove what nobody needs any more."""
        needed = set()
        for key in await anyio.to_thread.run_sync(self._layout.leftovers):
            account, _, job_id = key.rpartition(".")
            job = Job(job_id, account)
            if await self._journal.is_done(account, job_id):
                remove(self._layout.zip(job), self._layout.part(job))
            else:
                needed.add(key)
        self._leftovers = frozenset(needed)

    async def _process_all(self) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._halt_threads_at_the_end)
            group.start_soon(self._drain_when_stopped, group.cancel_scope)
            async with anyio.create_task_group() as workers:
                with self._loading:
                    await self._load(workers)
                if self._workers is not None:
                    self._workers.list_ended()
            group.cancel_scope.cancel()

    async def _halt_threads_at_the_end(self) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            if self._workers is not None:
                self._workers.halt()

    async def _drain_when_stopped(self, everything: anyio.CancelScope) -> None:
        await self._stopping.wait()
        self._loading.cancel()
        if self._workers is not None:
            self._workers.stop()
        with anyio.move_on_after(DRAIN_S):
            await self._abandoned.wait()
            await anyio.sleep(ABANDONED_S)
        everything.cancel()

    async def _load(self, tasks: anyio.abc.TaskGroup) -> None:
        """Put the list into the journal, and have what it holds fetched."""
        if isinstance(self._jobs, AsyncIterable):
            put, ready = anyio.create_memory_object_stream[Listed](BATCH_JOBS)
            async with anyio.create_task_group() as reading, ready:
                reading.start_soon(pump, self._jobs, put)
                async for batch in batches(ready):
                    await self._admit(batch, tasks)
        else:
            source = iter(self._jobs)
            while batch := list(itertools.islice(source, BATCH_JOBS)):
                await self._admit(batch, tasks)
        self._list_read = True
        await self._idle.report_skipped(self._journal, self._report_outcome)

    async def _admit(self, batch: list[Listed], tasks: anyio.abc.TaskGroup) -> None:
        """Put a batch into the journal, report what is not to fetch, have the rest fetched."""
        asked = [job if isinstance(job, Job) else self._as_job(job) for job in batch]
        found = [refusal(job, self._known_accounts) for job in asked]
        refused = [each for each in found if each is not None]
        jobs = [job for job, each in zip(asked, found, strict=True) if each is None]
        # Before the await: what is admitted is answered for, even if this is cut short.
        self._accounts.update((job.account, None) for job in jobs)
        if refused:
            failures = [(job, Failure.of(error)) for job, error in refused]
            await self._journal.refused(failures)
        admission = await self._journal.enqueue(jobs, self._names)
        await self._idle.report_refused(refused + admission.refused, self._report_outcome)
        for account, share in admission.accounts.items():
            if share.pending:
                if self._workers is None:
                    self._workers = await self._open_workers(
                        self._journal,
                        self._leftovers,
                        self._report_outcome,
                        self._left,
                    )
                await self._workers.more(account, tasks)
        if self._left is not None:
            await self._idle.report_skipped(self._journal, self._report_outcome)

    # --- outcomes --------------------------------------------------------------------------------

    def account_ended(self, account: str) -> AccountError | None:
        """Return why nothing more can be fetched for an account; None as long as something can."""
        return self._workers.ended(account) if self._workers else None

    def _sum_up(self) -> Report:
        counts = self._counts()
        workers = self._workers.workers.values() if self._workers else ()
        cause = self._aborted or next(filter(None, map(self.account_ended, self._accounts)), None)
        return Report(
            done=counts.done,
            failed=counts.failed,
            pending=counts.pending,
            skipped=counts.skipped,
            requests=sum(worker.dispatcher.requests for worker in workers),
            zip_bytes=self._outcomes.zip_bytes,
            file_bytes=self._outcomes.file_bytes,
            elapsed_s=anyio.current_time() - self._started,
            aborted=Failure.of(cause) if cause else None,
            interrupted=self._stopping.is_set(),
            list_read=self._list_read,
            failures=tuple(self._outcomes.failures),
            failed_before=counts.failed_before,
            missing=self._idle.missing,
            superseded=self._idle.superseded,
        )

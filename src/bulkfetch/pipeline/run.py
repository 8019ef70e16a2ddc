"""A run: one list of jobs, brought to its end or to a stop, in one task group.

The journal is the queue. The list goes into it as fast as it can be read, the accounts' workers
pull from it, and what each job came to is read from the run by iterating it. All is bounded: unread
outcomes hold up the jobs that would report more, and so many live jobs start no further request.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

import anyio
import anyio.abc
import anyio.to_thread

from bulkfetch.config import JobEntry
from bulkfetch.disk import remove
from bulkfetch.errors import AccountError, RunError
from bulkfetch.events import Emit, ignore
from bulkfetch.journal import ClaimedNames, Counts, Journal
from bulkfetch.models import Failure, Job, Report
from bulkfetch.pipeline.engine import Engine, OpenJournal, each_error
from bulkfetch.pipeline.idle_jobs import IdleJobs
from bulkfetch.pipeline.layout import OutputLayout
from bulkfetch.pipeline.listing import BATCH_JOBS, Listed, batches, pump
from bulkfetch.pipeline.outcomes import OutcomeSink
from bulkfetch.pipeline.progress import JobCounts, Progress, typical
from bulkfetch.pipeline.refusal import refusal

if TYPE_CHECKING:
    from bulkfetch.pipeline.accounts import AccountWorkers

Jobs = Iterable[Listed] | AsyncIterable[Listed]
OpenWorkers = Callable[[Journal, frozenset[str], OutcomeSink], Awaitable["AccountWorkers"]]


class DownloadEngine(Engine):
    """Gets one list of jobs into the journal, fetched, published and reported.

    `Run` is the caller's handle on it.
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
        fed: bool = False,
        previous: Engine | None = None,
        close_journal: bool = True,
        emit: Emit = ignore,
    ) -> None:
        """Start nothing yet.

        `open_workers` makes what fetches, once there is something to fetch: of the journal, the
        keys of bodies in staging, and who takes outcomes. `as_job` makes a job of an id given as
        plain text, or of an entry. `accounts` are those that a job may be of, `names` gives what
        it may be published under. `only_new`: jobs that were done before, and those left pending,
        are only counted. `fed`: each job is awaited by somebody, so that what is not fetched is
        reported at once and not at the end. `emit` gets the news of jobs that cannot be asked for
        at all.
        """
        super().__init__(layout, open_journal, previous, close_journal=close_journal)
        self._jobs = jobs
        self._open_workers = open_workers
        self._as_job = as_job
        self._known_accounts = accounts
        self._names = names
        self._only_new = only_new
        self._fed = fed
        self._workers: AccountWorkers | None = None
        self._accounts: dict[str, None] = {}  # in the order of the list
        self._list_read = False
        self._leftovers: frozenset[str] = frozenset()
        self._loading = anyio.CancelScope()
        self._idle = IdleJobs(
            layout, self._report_outcome, self._abandoned, only_new=only_new, emit=emit
        )

    # --- for the reader --------------------------------------------------------------------------

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
        counts = self._opened.counts if self._opened else Counts()
        return counts._replace(failed=counts.failed + self._idle.refused)

    # --- the run itself --------------------------------------------------------------------------

    async def _all(self) -> None:
        try:
            self._opened = await self._open_journal()
            await self._clear_away()
            await self._process_all()
        except* Exception as group:
            for error in each_error(group):
                self._broken_by(error)
        try:
            if self._opened is not None and not self.abandoned:
                await self._report_rest()
        except RunError as error:
            self._broken_by(error)

    async def _report_rest(self) -> None:
        """Report the jobs that no worker has ended."""
        await self._idle.report_skipped(self._journal)
        if self._only_new:
            return
        # Whatever the counts say: a batch whose admission was cut short may not be counted yet.
        for account in self._accounts:
            cause = self._aborted or self.account_ended(account)
            await self._idle.report_pending(self._journal, account, cause)

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
            group.start_soon(self._end_in_time, group.cancel_scope)
            async with anyio.create_task_group() as workers:
                with self._loading:
                    await self._load(workers)
                if self._workers is not None:
                    self._workers.list_ended()
            group.cancel_scope.cancel()

    async def _end_in_time(self, everything: anyio.CancelScope) -> None:
        """Drain what is under way after a stop; halt its threads at the end, however that comes."""
        try:
            await self._stopping.wait()
            self._loading.cancel()
            if self._workers is not None:
                self._workers.stop()
            await self._let_drain()
            everything.cancel()
        finally:
            if self._workers is not None:
                self._workers.publisher.halt()

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
        await self._idle.report_skipped(self._journal)

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
        await self._idle.report_refused(refused + admission.refused)
        for account, share in admission.accounts.items():
            if share.pending:
                if self._workers is None:
                    self._workers = await self._open_workers(
                        self._journal, self._leftovers, self._report_outcome
                    )
                await self._workers.more(account, tasks)
        if self._fed:
            await self._idle.report_skipped(self._journal)

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

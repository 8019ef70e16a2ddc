"""A run: one list of jobs, brought to its end or to a stop, in one task group.

The journal is the queue. The list goes into it as fast as it can be read, the lanes pull from it,
the finishers publish, and what each job came to is read from the run by iterating it. Streams are
bounded everywhere: who reads the outcomes slowly holds up the finishers, these hold up the lanes,
and the lanes start no further request.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import closing
from typing import NamedTuple, TypeVar

import anyio
import anyio.abc
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from bulkfetch.disk import disk_error
from bulkfetch.errors import AccountError, BulkfetchError, InvalidJobId, RunError
from bulkfetch.events import Emit
from bulkfetch.journal import Counts, Entry, Journal
from bulkfetch.models import Failure, Job, Outcome, Report, is_job_id
from bulkfetch.pipeline.deliveries import Deliveries, Delivery
from bulkfetch.pipeline.finish import Finisher, Finishing
from bulkfetch.pipeline.lane import Lane
from bulkfetch.pipeline.outcomes import Outcomes
from bulkfetch.pipeline.places import Places
from bulkfetch.pipeline.progress import Progress
from bulkfetch.pipeline.staging import StagingRoom
from bulkfetch.pipeline.work import Ends, Line, Work

E = TypeVar("E", bound=BaseException)
Jobs = Iterable[str | Job] | AsyncIterable[str | Job]

# Ids admitted to the journal in one transaction.
BATCH_JOBS = 2000
# Jobs read from the journal at a time, to be told one by one.
PAGE_JOBS = 2000
# After a stop, what is under way has this long to end by itself. With two seconds to tidy up it
# keeps the promise of ten.
DRAIN_S = 8.0


class Plan(NamedTuple):
    """How a run works: threads that unpack, bytes that complete ZIPs may hold in staging.

    `as_job` makes a job of an id given as plain text. `only_new`: those done before and those left
    pending are counted, but not told one by one.
    """

    finishing: Finishing
    threads: int
    staging_bytes: int
    as_job: Callable[[str], Job]
    only_new: bool = False


class Run(AsyncIterator[Outcome]):
    """A run under way: iterate it for the outcomes, in the order in which jobs end.

    Every id of the list is answered for: done, failed, or, at the end of a run that was stopped or
    could not go on, pending (unless the plan is `only_new`). `report` is there when the iteration
    has ended. A run that had to be aborted as a whole ends the iteration with its RunError, after
    all that could be told.
    """

    def __init__(
        self,
        jobs: Jobs,
        open_journal: Callable[[], Awaitable[Journal]],
        places: Places,
        plan: Plan,
        open_line: Callable[[str], Awaitable[Line]],
        emit: Emit,
    ) -> None:
        self._jobs = jobs
        self._open_journal = open_journal
        self._opened: Journal | None = None
        self._places = places
        self._plan = plan
        self._open_line = open_line
        self._emit = emit
        self._lanes: dict[str, Lane] = {}
        self._accounts: dict[str, None] = {}  # in the order of the list
        self._refused_accounts: dict[str, AccountError] = {}
        self._room = StagingRoom(plan.staging_bytes)
        self._started = anyio.current_time()
        self._report: Report | None = None
        self._list_read = False
        self._stopping = anyio.Event()
        self._aborted: RunError | None = None
        self._crash: Exception | None = None
        self._unasked = 0
        self._skipped: deque[Outcome] = deque()  # read from the journal and not yet told
        self._skipped_read = 0  # the journal's bookmark
        self._leftovers: frozenset[str] = frozenset()
        self._outcomes = Outcomes()
        self._loading = anyio.CancelScope()

    # --- for the reader --------------------------------------------------------------------------

    def __aiter__(self) -> Run:
        return self

    async def __anext__(self) -> Outcome:
        """Give the next outcome. If cancelled: nothing is lost, the run goes on."""
        try:
            return await self._outcomes.next()
        except anyio.EndOfStream:
            if self._crash is not None:
                raise self._crash from None
            if self._aborted is not None:
                raise self._aborted from None
            raise StopAsyncIteration from None

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

    def stop(self) -> None:
        """Start no more requests, finish what is under way within DRAIN_S, then end.

        May be called more than once, from the run's event loop.
        """
        self._stopping.set()

    def leave(self) -> None:
        """Have the iteration end, also of a run whose `work` was cancelled before it began."""
        self._outcomes.end()

    def progress(self) -> Progress:
        """Say where the run stands now; cheap, for a display."""
        lanes = self._lanes.values()
        counts = self._opened.counts() if self._opened else Counts()
        return Progress(
            counts=Counts(
                counts.done, counts.failed + self._unasked, counts.pending, counts.skipped
            ),
            list_read=self._list_read,
            stopping=self._stopping.is_set(),
            requests=sum(lane.requests for lane in lanes),
            in_flight=sum(lane.in_flight for lane in lanes),
            waiting_retries=sum(lane.waiting_retries for lane in lanes),
            received_bytes=sum(lane.received_bytes for lane in lanes),
            staged_bytes=self._room.bytes,
            file_bytes=self._outcomes.file_bytes,
            elapsed_s=anyio.current_time() - self._started,
            windows={lane.account: lane.window.state() for lane in lanes},
        )

    @property
    def _journal(self) -> Journal:
        assert self._opened is not None, "opened before anything else is done"
        return self._opened

    # --- the run itself --------------------------------------------------------------------------

    async def work(self) -> None:
        """Do the run; started once, beside the reader.

        Never raises for what happens to jobs, accounts or the disk: that is told by iterating.
        If cancelled: everything under way is dropped; the journal is right all the same.
        """
        try:
            await self._all()
        finally:
            try:
                # Cancelled or not: what the journal has been told is written down.
                with anyio.CancelScope(shield=True):
                    await self._close_journal()
            finally:
                self._report = self._sum_up()
                self.leave()

    async def _all(self) -> None:
        try:
            self._opened = await self._open_journal()
            await self._clear_away()
            await self._bring_home()
        except* RunError as group:
            self._aborted = _first(group)
        except* OSError as group:
            self._aborted = disk_error(_first(group))
        except* Exception as group:
            # A mistake in here or in the caller's iterable: told where the run is iterated.
            self._crash = _first(group)
        try:
            if self._opened is not None and not self._plan.only_new:
                await self._tell_skipped()
                await self._answer_for_the_rest()
        except RunError as error:
            self._aborted = self._aborted or error

    async def _close_journal(self) -> None:
        try:
            if self._opened is not None:
                await self._opened.aclose()
        except RunError as error:
            self._aborted = self._aborted or error

    async def _clear_away(self) -> None:
        """Look at what dead runs left in staging, and remove what nobody needs any more."""
        needed = set()
        for key in self._places.leftovers():
            account, _, job_id = key.rpartition(".")
            job = Job(job_id, account)
            if await self._journal.is_done(account, job_id):
                self._places.zip(job).unlink(missing_ok=True)
                self._places.part(job).unlink(missing_ok=True)
            else:
                needed.add(key)
        self._leftovers = frozenset(needed)

    async def _bring_home(self) -> None:
        finisher = Finisher(
            self._journal,
            self._places,
            self._plan.finishing,
            self._room,
            self._plan.threads,
            self._conclude,
            self._emit,
        )
        with closing(Deliveries()) as deliveries:
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._halt_threads_at_the_end, finisher)
                    group.start_soon(self._drain_when_stopped, group.cancel_scope)
                    async with anyio.create_task_group() as finishing:
                        finishing.start_soon(finisher.run, deliveries)
                        async with anyio.create_task_group() as lanes:
                            with self._loading:
                                await self._load(lanes, finisher, deliveries)
                            for lane in self._lanes.values():
                                lane.list_ended()
                        deliveries.no_more()
                    group.cancel_scope.cancel()
            finally:
                with anyio.CancelScope(shield=True):
                    await finisher.keep_held()

    async def _halt_threads_at_the_end(self, finisher: Finisher) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            finisher.halt()

    async def _drain_when_stopped(self, everything: anyio.CancelScope) -> None:
        await self._stopping.wait()
        self._loading.cancel()
        for lane in self._lanes.values():
            lane.stop()
        await anyio.sleep(DRAIN_S)
        everything.cancel()

    async def _load(
        self,
        lanes: anyio.abc.TaskGroup,
        finisher: Finisher,
        deliveries: Deliveries,
    ) -> None:
        """Put the list into the journal, and start a lane for each account that it needs."""

        async def admit(batch: list[str | Job]) -> None:
            asked = [job if isinstance(job, Job) else self._plan.as_job(job) for job in batch]
            for job in asked:
                if not is_job_id(job.id):
                    await self._fail_unasked(job)
            jobs = [job for job in asked if is_job_id(job.id)]
            # Before the await: what is admitted is answered for, even if this is cut short.
            self._accounts.update((job.account, None) for job in jobs)
            admitted = await self._journal.admit(jobs)
            for account, share in admitted.items():
                if share.to_do and (lane := await self._lane(account, lanes, finisher, deliveries)):
                    lane.more()

        if isinstance(self._jobs, AsyncIterable):
            put, ready = anyio.create_memory_object_stream[str | Job](BATCH_JOBS)
            async with anyio.create_task_group() as reading, ready:
                reading.start_soon(_pump, self._jobs, put)
                async for batch in _batches(ready):
                    await admit(batch)
        else:
            source = iter(self._jobs)
            while batch := list(itertools.islice(source, BATCH_JOBS)):
                await admit(batch)
        self._list_read = True
        if not self._plan.only_new:
            await self._tell_skipped()

    async def _lane(
        self,
        account: str,
        lanes: anyio.abc.TaskGroup,
        finisher: Finisher,
        deliveries: Deliveries,
    ) -> Lane | None:
        if account in self._lanes or account in self._refused_accounts:
            return self._lanes.get(account)
        try:
            line = await self._open_line(account)
        except AccountError as error:
            self._refused_accounts[account] = error
            return None

        async def take(limit: int) -> list[Work]:
            return [await self._work(entry) for entry in await self._journal.take(account, limit)]

        async def note(work: Work) -> None:
            await self._journal.attempted(work.entry, work.attempts)

        async def hand_over(work: Work) -> None:
            finisher.hold(work)
            await deliveries.send(Delivery(lane, work, salvaged=work.zip_bytes is None))

        async def fail(work: Work, error: BulkfetchError) -> None:
            await finisher.fail(lane, work, error)

        ends = Ends(take, note, hand_over, fail)
        lane = self._lanes[account] = Lane(line, ends, self._places, self._room, self._emit)
        lanes.start_soon(lane.run)
        return lane

    async def _work(self, entry: Entry) -> Work:
        recorded = entry.state == "downloaded"
        on_disk = self._places.key(entry.job) in self._leftovers
        held = await self._journal.held(entry) if recorded else None
        if held is not None and on_disk:
            # Put down when a run ended, perhaps not to its last byte; the journal's is whole.
            self._places.part(entry.job).unlink(missing_ok=True)
        return Work(
            entry, staged=recorded or on_disk, recorded=recorded, body=held, attempts=entry.attempts
        )

    # --- outcomes --------------------------------------------------------------------------------

    async def _conclude(self, outcome: Outcome) -> None:
        try:
            await self._outcomes.put(outcome)
        except anyio.BrokenResourceError:
            # Nobody reads any more; the journal has it.
            self.stop()

    async def _fail_unasked(self, job: Job) -> None:
        self._unasked += 1
        where = f"{job.origin}: " if job.origin else ""
        error = InvalidJobId(f"{where}{job.id!r} is not a job id")
        await self._conclude(Outcome(job.id, job.account, "failed", error=Failure.of(error)))

    async def _tell_skipped(self) -> None:
        """Tell of what was done before, and go on where an earlier call was cut short."""
        while True:
            while self._skipped:
                await self._conclude(self._skipped[0])
                self._skipped.popleft()
            page, self._skipped_read = await self._journal.skipped(self._skipped_read, PAGE_JOBS)
            if not page:
                return
            self._skipped.extend(page)

    async def _answer_for_the_rest(self) -> None:
        # Whatever the counts say: a batch whose admission was cut short may not be counted yet.
        for account in self._accounts:
            bookmark = 0
            cause = self._aborted or self._ended(account)
            while True:
                page, bookmark = await self._journal.pending(account, bookmark, PAGE_JOBS)
                if not page:
                    break
                for entry in page:
                    await self._conclude(
                        Outcome(
                            entry.job.id,
                            account,
                            "pending",
                            zip_bytes=entry.zip_bytes,
                            attempts=entry.attempts,
                            error=Failure.of(cause) if cause else None,
                        )
                    )

    def _ended(self, account: str) -> AccountError | None:
        lane = self._lanes.get(account)
        return lane.ended if lane else self._refused_accounts.get(account)

    def _sum_up(self) -> Report:
        now = self.progress()
        cause = self._aborted or next(filter(None, map(self._ended, self._accounts)), None)
        return Report(
            done=now.counts.done,
            failed=now.counts.failed,
            pending=now.counts.pending,
            skipped=now.counts.skipped,
            requests=now.requests,
            zip_bytes=self._outcomes.zip_bytes,
            file_bytes=self._outcomes.file_bytes,
            elapsed_s=now.elapsed_s,
            aborted=Failure.of(cause) if cause else None,
            interrupted=now.stopping,
            list_read=self._list_read,
            failures=tuple(self._outcomes.failures),
        )


async def _batches(ready: MemoryObjectReceiveStream[str | Job]) -> AsyncIterator[list[str | Job]]:
    """Cut what a stream holds ready into batches, waiting only for the first of each."""
    async for job in ready:
        batch = [job]
        try:
            while len(batch) < BATCH_JOBS:
                batch.append(ready.receive_nowait())
        except (anyio.WouldBlock, anyio.EndOfStream):
            yield batch
        else:
            yield batch


async def _pump(jobs: AsyncIterable[str | Job], ready: MemoryObjectSendStream[str | Job]) -> None:
    async with ready:
        async for job in jobs:
            await ready.send(job)


def _first(group: BaseExceptionGroup[E]) -> E:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner

"""Which job of an account starts next, and when: the only place that spends a slot.

It waits for a job, room in staging, a connection and a slot, in this order: what waits costs no
task. Jobs to be tried again wait in the queue, without a connection or a slot.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio

from bulkfetch.download.attempt import Attempt
from bulkfetch.errors import DiskFull
from bulkfetch.pipeline.active_job import AccountAccess, ActiveJob
from bulkfetch.pipeline.health import Health
from bulkfetch.pipeline.layout import OutputLayout
from bulkfetch.pipeline.progress import JobCounts
from bulkfetch.pipeline.retry_queue import RetryQueue
from bulkfetch.pipeline.source import JobSource

if TYPE_CHECKING:
    from bulkfetch.ratelimit import Permit

# Jobs of one account that were taken from its source and have not ended: in flight, being
# published, waiting for the reader or to be tried again. First tries then wait for some to end.
LIVE_JOBS = 200
# Jobs taken from the source at a time: enough that the journal is seldom asked.
TAKE_JOBS = 50


class Dispatcher:
    """Takes an account's jobs from their source and says when each may start.

    `leftovers` are the keys of jobs with a body in staging from a dead run. `requests` counts this
    run; `hold_until` is when the account may ask again, on the loop's clock; once `stopped`, no job
    starts any more.
    """

    def __init__(
        self,
        access: AccountAccess,
        source: JobSource,
        layout: OutputLayout,
        budget: StagingBudget,
        health: Health,
        leftovers: frozenset[str],
    ) -> None:
        self.requests = 0
        self._retried = 0
        self.stopped = False
        self.hold_until = float("-inf")
        self._received_bytes = 0
        self._in_flight: set[Attempt] = set()
        self._limiter = access.limiter
        self._clock = access.clock
        self._source = source
        self._layout = layout
        self._budget = budget
        self._health = health
        self._leftovers = leftovers
        self._staged: deque[ActiveJob] = deque()
        self._queue = RetryQueue()
        self._live = 0
        self._list_ended = False
        self._source_dry = False
        self._probe: Attempt | None = None  # on its way while the service fails
        self._news = anyio.Event()
        # A free connection is taken without a turn of the loop.
        self._connections = anyio.Semaphore(access.connections, fast_acquire=True)

    def counts(self) -> JobCounts:
        """Return where the account's jobs stand now, those of attempts under way included."""
        in_flight, retries = len(self._in_flight), self._queue.retries
        waiting = len(self._staged) + len(self._queue.fresh) + retries
        return JobCounts(
            requests=self.requests,
            in_flight=in_flight,
            waiting_retries=retries,
            finishing=max(self._live - in_flight - waiting, 0),
            received_bytes=self._received_bytes + sum(each.received for each in self._in_flight),
            retried=self._retried,
        )

    # --- what has happened -----------------------------------------------------------------------

    def more(self) -> None:
        """Note that there may be more jobs to take."""
        self._source_dry = False
        self._news.set()

    def list_ended(self) -> None:
        """Note that the list will get no more jobs."""
        self._list_ended = True
        self._news.set()

    def attempt_ended(self, attempt: Attempt) -> None:
        """Take back the connection of an attempt that ended, one way or the other."""
        if attempt.permit is not None:  # a callback broke the run off
            attempt.permit.unused()
        self._in_flight.discard(attempt)
        if attempt is self._probe:
            self._probe = None
        self.requests += attempt.requests
        self._received_bytes += attempt.received
        self._connections.release()
        self._news.set()

    def retry(self, job: ActiveJob, *, due: float | None = None, first: bool = False) -> None:
        """Have a job start once more: at a time `due`, else in its turn, or before the others."""
        self._retried += 1
        self._queue.retry(job, due=due, first=first)
        self._news.set()

    def job_ended(self) -> None:
        """Note that a job has come to its outcome."""
        self._live -= 1
        self._news.set()

    # --- what starts next ------------------------------------------------------------------------

    async def next(self) -> tuple[ActiveJob, Attempt | None] | None:
        """Return the next job to start, with its attempt; None when there will be none.

        A job whose ZIP is, or may be, in staging has no attempt. An attempt has a connection and a
        slot, which `Downloader.fetch` settles and `attempt_ended` takes back. Raises AccountError
        where there are no more slots. If cancelled: neither is held.
        """
        while not self.stopped and await self._job_waits():
            if self._staged:
                return self._staged.popleft(), None
            await self._budget.wait()
            asked_at = anyio.current_time()
            permit, connected_at = await self._acquire()
            now = anyio.current_time()
            if self.stopped or now < self.hold_until or self._awaits_probe:
                # Found by others while this one waited: no connection, no service, no account.
                permit.unused()
                self._connections.release()
                continue
            attempt = Attempt(permit=permit, permit_at=self._clock.boottime(), begun=self._begun)
            attempt.waited_s = now - connected_at
            attempt.connection_waited_s = connected_at - asked_at
            self._in_flight.add(attempt)  # here: the next look is before this one has begun
            if self._health.probing:
                self._probe = attempt
            return self._queue.take(now), attempt
        return None

    async def _job_waits(self) -> bool:
        """Wait for a job that may start; return False when there will be none."""
        while True:
            self._news = anyio.Event()
            now = anyio.current_time()
            if not self._queue.fresh and not self._source_dry and self._live < LIVE_JOBS:
                await self._refill()
                continue
            if self._staged:
                return True
            ready = self._queue.ready(now)
            if ready and now >= self.hold_until:
                return True
            over = self._list_ended and self._source_dry and not self._live
            if over and not self._source.may_give_more:
                return False
            with anyio.move_on_at(self.hold_until if ready else self._queue.next_due()):
                await self._news.wait()

    async def _refill(self) -> None:
        # Dry until shown otherwise, said before the await: `more` may speak meanwhile.
        self._source_dry = True
        entries = await self._source.take(TAKE_JOBS)
        if entries:
            self._source_dry = False
        self._live += len(entries)
        for entry in entries:
            recorded = entry.state == "downloaded"
            staged = recorded or self._layout.key(entry.job) in self._leftovers
            job = ActiveJob(
                entry, staged=staged, recovered=staged, recorded=recorded, attempts=entry.attempts
            )
            (self._staged if staged else self._queue.fresh).append(job)

    async def _acquire(self) -> tuple[Permit, float]:
        """Wait for a connection and a slot; return when there was the connection too.

        If cancelled: neither is held.
        """
        await self._connections.acquire()
        try:
            # No more at once than the account seems to bear.
            while self._awaits_probe or (
                (cap := self._limiter.in_flight_cap) and len(self._in_flight) >= cap
            ):
                self._news = anyio.Event()
                await self._news.wait()
            connected_at = anyio.current_time()
            return await self._limiter.acquire(), connected_at
        except BaseException:
            self._connections.release()
            raise

    @property
    def _awaits_probe(self) -> bool:
        """Whether a request is about to show that the service is back, or still is not."""
        return self._health.probing and self._probe is not None

    def _begun(self) -> None:
        """Take in the beginning of a file, whose end may be long in coming."""
        self._health.good()
        self._news.set()


class StagingBudget:
    """Counts the bytes of complete ZIPs in staging against a limit.

    Only what is complete counts: bodies on their way in are bounded by the requests in flight.
    `lacking` says why the disk has no room for another one, None where it has.
    """

    def __init__(
        self, limit_bytes: int, lacking: Callable[[], DiskFull | None] = lambda: None
    ) -> None:
        self.bytes = 0
        self._limit_bytes = limit_bytes
        self._lacking = lacking
        self._freed = anyio.Event()

    def add(self, size: int) -> None:
        """Count a ZIP in."""
        self.bytes += size

    def remove(self, size: int) -> None:
        """Count a ZIP out."""
        self.bytes -= size
        self._freed.set()

    async def wait(self) -> None:
        """Wait until there is room for another one. If cancelled: nothing has changed.

        Raises DiskFull where the disk has none and no ZIP waits here whose end may make some.
        """
        while (error := self._lacking()) is not None or self.bytes >= self._limit_bytes:
            if error is not None and self.bytes <= 0:
                raise error
            if self._freed.is_set():  # else others wait for this one already
                self._freed = anyio.Event()
            await self._freed.wait()

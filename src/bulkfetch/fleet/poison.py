"""A turn of an account at which workers have died: one thing at a time, in a process of its own.

What kills a process may be one result: an archive at which a library crashes, or that takes all
memory. Deaths that are counted in a shared process would blame whatever was under way beside it.
Here exactly the culprit, a job or an export, fails, and all else of the account is done. Slots are
waited for here, so that no process stands idle meanwhile that another account could use.
"""

from __future__ import annotations

import asyncio

from bulkfetch.access import pace_of
from bulkfetch.config.fleet import FleetSettings
from bulkfetch.disk import remove
from bulkfetch.errors import Poisoned, Superseded
from bulkfetch.events import Emit
from bulkfetch.fleet.alone import AloneProcesses, Order
from bulkfetch.fleet.exports import PendingExport
from bulkfetch.fleet.journal import FleetJournal
from bulkfetch.fleet.recorder import OutcomeRecorder
from bulkfetch.fleet.stopping import unless_set
from bulkfetch.fleet.turn import TurnEnd
from bulkfetch.fleet.turn_exports import known_exports
from bulkfetch.models import ExportReport, Failure, Job, Outcome
from bulkfetch.pipeline.layout import OutputLayout
from bulkfetch.pipeline.outcomes import failure_event
from bulkfetch.ratelimit import WindowState
from bulkfetch.ratelimit.interfaces import Settlement
from bulkfetch.ratelimit.postgres.limiter import DatabaseLimiter
from bulkfetch.ratelimit.postgres.store import WindowStore

# After so many deaths in a row.
DEATHS = 2
# What was under way when they died is among the first that are pending; the rest is for ordinary
# turns, which are many times faster.
_JOBS = 20
# A job that was under way so often when the worker itself died is not begun once more: where
# memory is short the system may end both processes.
_MARKS = 2


class CarefulTurn:
    """As `Turn`, for an account at which workers have died: its first jobs, and its exports.

    `processes` are for all such turns of a worker.
    """

    def __init__(
        self,
        fleet: FleetSettings,
        account: str,
        journal: FleetJournal,
        recorder: OutcomeRecorder,
        windows: WindowStore,
        generation: int,
        processes: AloneProcesses,
        on_event: Emit,
    ) -> None:
        self._processes = processes
        self._fleet = fleet
        self.account = account
        self._journal = journal
        self._recorder = recorder
        self._windows = windows
        self._generation = generation
        self._on_event = on_event
        self._stopping = asyncio.Event()
        self._limiter: DatabaseLimiter | None = None

    @property
    def window(self) -> WindowState | None:
        """As of `Turn`."""
        return None if self._limiter is None else self._limiter.state()

    def stop(self) -> None:
        """Begin nothing more; more calls do no harm."""
        self._stopping.set()

    async def run(self) -> TurnEnd:
        """Do the turn, as `Turn.run`. If cancelled: the job under way is broken off."""
        settings = self._fleet.of_account(self.account, self._fleet.fleet.staging)
        pace = pace_of(settings.account(self.account), settings.limits)
        limiter = DatabaseLimiter(pace, self.account, self._windows, generation=self._generation)
        self._limiter = limiter
        try:
            async with self._processes:
                return await self._run(limiter)
        finally:
            self._limiter = None
            await limiter.aclose()

    async def _run(self, limiter: DatabaseLimiter) -> TurnEnd:
        done = failed = 0
        jobs = [job for _, job in await self._journal.pending(self.account, 0, _JOBS)]
        settings = self._fleet.of_account(self.account, self._fleet.fleet.staging)
        pending = await self._journal.exports.pending(self.account)
        exports, unknown = known_exports(settings, pending)
        try:
            items: list[Job | PendingExport] = [*jobs, *exports]
            for item in items:
                if not await unless_set(self._stopping, _free_slot(limiter)):
                    break
                async with self._processes.places:
                    if self._stopping.is_set():
                        break
                    end = await self._do(item)
                done, failed = done + end.done, failed + end.failed
                if end.held or end.superseded or end.error:
                    return end._replace(done=done, failed=failed)
        except Superseded:
            return TurnEnd(done, failed, superseded=True)
        return TurnEnd(done, failed, unknown=unknown)

    async def _do(self, item: Job | PendingExport) -> TurnEnd:
        """Do a job or an export, marked just before it is begun. Raises Superseded.

        What only waits for a process is not marked: the worker's death would be laid to it too.
        """
        suspect = item.id if isinstance(item, Job) else f"export {item.name}"
        marked = await self._journal.mark(self.account, self._generation, suspect)
        end: TurnEnd | int | None = None
        if marked <= _MARKS:
            doing = self._processes.do(Order(self._generation, item), self._on_event)
            # An export may take minutes; wherever it is broken off it is gone on with.
            is_job = isinstance(item, Job)
            end = await (doing if is_job else unless_set(self._stopping, doing)) or TurnEnd(0, 0)
            if isinstance(end, TurnEnd):
                return end
        error = Poisoned(f"whatever process fetches it dies{f' of signal {end}' if end else ''}")
        if isinstance(item, Job):
            await self._fail(item, error)
            return TurnEnd(0, 1)
        failure = Failure.of(error)
        report = ExportReport(item.name, item.account, "failed", error=failure)
        await self._journal.exports.end(self._generation, report)
        return TurnEnd(0, 0)

    async def _fail(self, job: Job, error: Poisoned) -> None:
        outcome = Outcome(job.id, job.account, "failed", error=Failure.of(error))
        self._on_event(failure_event(outcome))
        await self._recorder.put(self._generation, outcome)
        await self._recorder.flush()
        settings = self._fleet.of_account(self.account, self._fleet.fleet.staging)
        layout = OutputLayout.of(settings.out)
        for path in (layout.zip(job), layout.part(job)):
            remove(path)


async def _free_slot(limiter: DatabaseLimiter) -> bool:
    """Wait until a process can take a slot at once; return True. Raises Superseded."""
    lease = await limiter.acquire()
    now = asyncio.get_running_loop().time()
    await limiter.settle([Settlement(lease, "unused", now, None)])
    return True

"""A turn of an account at which workers have died: one job at a time, in a process of its own.

What kills a process may be one result: an archive at which a library crashes, or that takes all
memory. Deaths that are counted in a shared process would blame whatever was under way beside it.
Here exactly the culprit fails, and the account's other jobs are done. Slots are waited for here, so
that no process stands idle meanwhile that another account could use.
"""

from __future__ import annotations

import asyncio
import os

from bulkfetch.access import pace_of
from bulkfetch.config.fleet import FleetSettings
from bulkfetch.disk import remove
from bulkfetch.errors import Poisoned, Superseded
from bulkfetch.events import Emit
from bulkfetch.fleet.alone import AloneProcesses, Order
from bulkfetch.fleet.journal import FleetJournal
from bulkfetch.fleet.recorder import OutcomeRecorder
from bulkfetch.fleet.turn import TurnEnd
from bulkfetch.models import Failure, Job, Outcome
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
    """As `Turn`, for the first jobs of an account at which workers have died.

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
        for _, job in await self._journal.pending(self.account, 0, _JOBS):
            try:
                if not await self._has_slot(limiter):
                    break
            except Superseded:
                return TurnEnd(done, failed, superseded=True)
            end = await self._do(job)
            done, failed = done + end.done, failed + end.failed
            if end.held or end.superseded or end.error:
                return end._replace(done=done, failed=failed)
        return TurnEnd(done, failed)

    async def _has_slot(self, limiter: DatabaseLimiter) -> bool:
        """Wait until the process can take a slot at once; return False once it is to stop."""
        asking = asyncio.ensure_future(_free_slot(limiter))
        stopping = asyncio.ensure_future(self._stopping.wait())
        tasks = (asking, stopping)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                return False
            asking.result()
            return True
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _do(self, job: Job) -> TurnEnd:
        """Do one job, marked before it is begun."""
        marked = await self._journal.mark(self.account, self._generation, job.id)
        end: TurnEnd | int = 0
        if marked <= _MARKS:
            end = await self._processes.do(Order(self._generation, job), self._on_event)
            if isinstance(end, TurnEnd):
                return end
        error = Poisoned(f"whatever process fetches it dies{f' of signal {end}' if end else ''}")
        outcome = Outcome(job.id, job.account, "failed", error=Failure.of(error))
        self._on_event(failure_event(outcome))
        await self._recorder.put(self._generation, outcome)
        await self._recorder.flush()
        out = self._fleet.fleet.staging / self.account
        layout = OutputLayout(out.absolute(), os.fspath(out))
        for path in (layout.zip(job), layout.part(job)):
            remove(path)
        return TurnEnd(0, 1)


async def _free_slot(limiter: DatabaseLimiter) -> None:
    """Wait for a slot, and give it back unused. Raises Superseded."""
    lease = await limiter.acquire()
    now = asyncio.get_running_loop().time()
    await limiter.settle([Settlement(lease, "unused", now, None)])

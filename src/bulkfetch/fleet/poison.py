"""A turn of an account at which workers have died: one job at a time, each in its own process.

What kills a process may be one result: an archive at which a library crashes, or that takes all
memory. Deaths that are counted in a shared process would blame whatever was under way beside it.
Here exactly the culprit fails, and the account's other jobs are done.
"""

from __future__ import annotations

import asyncio
import os

from bulkfetch.config.fleet import FleetSettings
from bulkfetch.disk import remove
from bulkfetch.errors import Poisoned
from bulkfetch.events import Emit
from bulkfetch.fleet.alone import Order, do_alone
from bulkfetch.fleet.journal import FleetJournal
from bulkfetch.fleet.recorder import OutcomeRecorder
from bulkfetch.fleet.turn import TurnEnd
from bulkfetch.models import Failure, Job, Outcome
from bulkfetch.pipeline.layout import OutputLayout
from bulkfetch.pipeline.outcomes import failure_event

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

    `processes` is how many such turns of a worker may have a process of their own.
    """

    def __init__(
        self,
        fleet: FleetSettings,
        account: str,
        journal: FleetJournal,
        recorder: OutcomeRecorder,
        generation: int,
        processes: asyncio.Semaphore,
        on_event: Emit,
    ) -> None:
        self._processes = processes
        self._fleet = fleet
        self._account = account
        self._journal = journal
        self._recorder = recorder
        self._generation = generation
        self._on_event = on_event
        self._stopped = False

    def stop(self) -> None:
        """Begin nothing more; more calls do no harm."""
        self._stopped = True

    async def run(self) -> TurnEnd:
        """Do the turn, as `Turn.run`. If cancelled: the job under way is broken off."""
        done = failed = 0
        for _, job in await self._journal.pending(self._account, 0, _JOBS):
            async with self._processes:
                if self._stopped:
                    break
                end = await self._do(job)
            done, failed = done + end.done, failed + end.failed
            if end.held or end.superseded or end.error:
                return end._replace(done=done, failed=failed)
        return TurnEnd(done, failed)

    async def _do(self, job: Job) -> TurnEnd:
        """Do one job, marked before it is begun."""
        marked = await self._journal.mark(self._account, self._generation, job.id)
        end: TurnEnd | int = 0
        if marked <= _MARKS:
            end = await do_alone(Order(self._fleet, self._generation, job), self._on_event)
            if isinstance(end, TurnEnd):
                return end
        error = Poisoned(f"whatever process fetches it dies{f' of signal {end}' if end else ''}")
        outcome = Outcome(job.id, job.account, "failed", error=Failure.of(error))
        self._on_event(failure_event(outcome))
        await self._recorder.put(self._generation, outcome)
        await self._recorder.flush()
        out = self._fleet.fleet.staging / self._account
        layout = OutputLayout(out.absolute(), os.fspath(out))
        for path in (layout.zip(job), layout.part(job)):
            remove(path)
        return TurnEnd(0, 1)

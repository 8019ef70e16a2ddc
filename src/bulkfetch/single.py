"""Single results of a client: what `Client.get` does once it knows which job is meant."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

import anyio.to_thread

from bulkfetch.config import Settings
from bulkfetch.errors import JobError, PreparationFailed
from bulkfetch.models import Failure, Job, Outcome
from bulkfetch.pipeline.calls import Calls
from bulkfetch.pipeline.layout import STATE_DIR
from bulkfetch.tasks import ClientTasks
from bulkfetch.wiring import Wiring

if TYPE_CHECKING:
    from bulkfetch.control.responses import JobStatus
    from bulkfetch.prepared import ReadyWaits


class SingleResults:
    """An open client's calls: those that wait until a result is prepared, those in its run."""

    def __init__(self, settings: Settings, wiring: Wiring, tasks: ClientTasks) -> None:
        self._settings = settings
        self._wiring = wiring
        self._tasks = tasks
        self._stopped = False
        self._calls: Calls | None = None  # of the newest run that is theirs
        self._waits: ReadyWaits | None = None  # once one has waited

    def stop(self) -> None:
        """Have calls return that wait until results are prepared, and later ones at once."""
        self._stopped = True
        if self._waits is not None:
            self._waits.end()

    @property
    def are_waiting(self) -> bool:
        """Whether calls wait until results are prepared, or for what their jobs come to."""
        prepares = self._waits is not None and self._waits.are_any
        return prepares or (self._calls is not None and self._calls.are_waiting)

    async def get(self, job: Job, wait_s: float) -> Outcome:
        """Return what becomes of a job, once its result is prepared; 0: it is.

        Raises and, if cancelled, does as `Client.get`.
        """
        if self._stopped:
            return Outcome(job.id, job.account, "pending")
        self._open_calls()
        if wait_s:
            prepared = await self._prepared(job, wait_s)
            if isinstance(prepared, Failure):
                return Outcome(job.id, job.account, "failed", error=prepared)
            if prepared is None or self._stopped:
                return Outcome(job.id, job.account, "pending")
            job = prepared
        return await self._open_calls().get(job)

    async def until_ended(self, account: str, job_id: str) -> JobStatus:
        """Return a job's last status, as `Client.wait`."""
        control = await self._wiring.control(account)
        from bulkfetch.prepared import until_ended

        return await until_ended(control.status, job_id)

    def _open_calls(self) -> Calls:
        """Return where calls wait, in a new run where there is none. Raises RuntimeError."""
        if self._calls is None or not self._calls.takes_more:
            previous = self._tasks.previous()
            self._calls = calls = Calls(partial(self._wiring.fed_downloads, previous))
            self._tasks.run(calls.engine)
            self._tasks.start(calls.answer())
        return self._calls

    async def _prepared(self, job: Job, wait_s: float) -> Job | Failure | None:
        """Return a job whose result is prepared; why it could not be; None if the end came first.

        Raises AccountError, RunError.
        """
        await anyio.to_thread.run_sync(import_module, "bulkfetch.prepared")
        from bulkfetch.prepared import ReadyWaits, needs_no_result

        state_dir = self._settings.out / STATE_DIR
        if await anyio.to_thread.run_sync(needs_no_result, job, state_dir):
            return job
        if self._stopped:
            return None
        if self._waits is None:
            self._waits = ReadyWaits(self.until_ended, self._tasks.start)
        try:
            status = await self._waits.wait(job.account, job.id, wait_s)
        except JobError as error:
            return Failure.of(error)
        if status is None:
            return None
        if status.state == "FAILURE":
            return status.failure or Failure.of(PreparationFailed())
        return replace(job, records=status.count) if self._settings.records else job

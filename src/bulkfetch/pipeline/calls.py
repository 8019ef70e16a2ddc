"""Single results for callers that await them: one run behind all calls, which feed it.

The run is an ordinary one, whose list are the calls. A job is in it once at a time: who asks for
one that is under way waits with the others.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bulkfetch.errors import AccountError, BulkfetchError, InvalidName
from bulkfetch.models import Failure, Job, Outcome
from bulkfetch.pipeline.handle import Run
from bulkfetch.pipeline.run import DownloadEngine

if TYPE_CHECKING:
    from bulkfetch.pipeline.accounts import LeftSink


class _Awaited(NamedTuple):
    """A job that somebody has asked for, and what it comes to: an outcome, or what to raise."""

    job: Job
    answer: asyncio.Future[Outcome | BaseException]


class Calls:
    """The calls of one run, in the loop in which it is made; `ended` when it takes no more."""

    def __init__(self, run_of: Callable[[AsyncIterator[Job], LeftSink], DownloadEngine]) -> None:
        """Have `run_of` make the run of a list; its work is to be started, and `answer` beside."""
        self.ended = False
        self._asked: asyncio.Queue[Job] = asyncio.Queue()  # no longer than there are calls
        self._awaited: dict[tuple[str, str], _Awaited] = {}
        self._callers = 0  # who wait for an answer: none may be left for a job under way
        self.engine = run_of(self._jobs(), self._leave)

    async def _jobs(self) -> AsyncIterator[Job]:
        while True:
            yield await self._asked.get()

    @property
    def are_waiting(self) -> bool:
        """Whether a call waits for its answer."""
        return self._callers > 0

    @property
    def takes_more(self) -> bool:
        """Whether a job belongs here, and not into a new run."""
        return not (self.ended or self.engine.abandoned)

    async def get(self, job: Job) -> Outcome:
        """Return what becomes of a job. Raises AccountError, RunError, and what broke the run off.

        If cancelled: the job goes on, for others who wait for it and for the journal, until the
        client takes a list.
        """
        key = (job.account, job.id)
        awaited = self._awaited.get(key)
        if awaited is None:
            answer = asyncio.get_running_loop().create_future()
            awaited = self._awaited[key] = _Awaited(job, answer)
            self._asked.put_nowait(job)
        elif job.name is not None and job.place != awaited.job.place:
            error = InvalidName(
                f"job {job.id} is being fetched under another name than {job.name!a}",
                hint="Ask again once it has ended, or for the same name.",
            )
            return Outcome(job.id, job.account, "failed", error=Failure.of(error))
        self._callers += 1
        self.engine.held = True
        try:
            found = await asyncio.shield(awaited.answer)
        finally:
            self._callers -= 1
            # Where nobody waits for this run, the client takes its next list at once.
            self.engine.held = self.are_waiting
        if isinstance(found, Outcome):
            return found
        # Each caller raises one of his own: a traceback grows with every raise.
        if isinstance(found, BulkfetchError):
            raise copy.copy(found) from found.__cause__
        raise found

    async def answer(self) -> None:
        """Give each call what its job came to, until the run has ended.

        Never raises what ends the run: the calls do. If cancelled: the calls return with their jobs
        pending, as at every end of the run.
        """
        cause: BaseException | None = None
        pending: dict[tuple[str, str], Outcome] = {}
        try:
            async for outcome in Run(self.engine):
                key = (outcome.account, outcome.job_id)
                if outcome.status != "pending":
                    self._settle(key, outcome)
                else:
                    pending[key] = outcome
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            cause = error
        finally:
            self.ended = True
            for account, job_id in list(self._awaited):
                left = Outcome(job_id, account, "pending")
                key = (account, job_id)
                self._settle(key, cause or pending.get(key, left))

    def _leave(self, account: str, job_ids: Sequence[str], error: AccountError) -> None:
        """Have the calls for these jobs raise why their account has ended."""
        for job_id in job_ids:
            self._settle((account, job_id), error)

    def _settle(self, key: tuple[str, str], found: Outcome | BaseException) -> None:
        awaited = self._awaited.pop(key, None)
        if awaited is not None:
            awaited.answer.set_result(found)

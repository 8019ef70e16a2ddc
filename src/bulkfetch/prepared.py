"""Waiting for single results that the service is still preparing, without a slot."""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from bulkfetch.errors import ControlPaused, JobError, NotReadyInTime, is_permanent
from bulkfetch.exports.polling import FIRST_S, PollTimer
from bulkfetch.journal import JournalReader
from bulkfetch.models import Job
from bulkfetch.text import duration
from bulkfetch.waiting import Ask

if TYPE_CHECKING:
    from bulkfetch.control.responses import JobStatus


async def until_ended(ask: Ask, job_id: str) -> JobStatus:
    """Ask until the service has prepared a result or could not, and return its last status.

    Raises JobError for an id that is unknown or may not be asked for, and AccountError.
    If cancelled: nothing is left behind.
    """
    now = anyio.current_time()
    timer = PollTimer(now, now, FIRST_S)
    while True:
        asked_s = 0.0
        try:
            status = await ask(job_id)
        except JobError as error:
            if not error.retryable:
                raise
            asked_s = error.retry_after_s if isinstance(error, ControlPaused) else 0.0
        else:
            if status.state in ("COMPLETED", "FAILURE"):
                return status
        now = anyio.current_time()
        timer = timer.asked(now, random.random())
        await anyio.sleep_until(max(timer.next_at, now + asked_s))


def needs_no_result(job: Job, state_dir: Path) -> bool:
    """Return whether an earlier run has a job's answer or its whole ZIP. Blocking.

    Raises RunError where the journal cannot be read.
    """
    if job.again:
        return False
    with JournalReader.open(state_dir) as journal:
        found = [each.outcome for each in journal.find(job.id) if each.job.account == job.account]
    return any(
        outcome.status == "done"
        or (outcome.error is not None and is_permanent(outcome.error.code))
        or (outcome.status == "pending" and outcome.zip_bytes is not None)
        for outcome in found
    )


@dataclass(eq=False, slots=True)
class _Poll:
    task: asyncio.Task[JobStatus]
    callers: int = 0


class ReadyWaits:
    """Waits of single calls until results are prepared; those for one result ask together.

    `ask` gets an account and an id and returns when the service has ended the job, however long
    that takes; `start` makes a task of it.
    """

    def __init__(
        self,
        ask: Callable[[str, str], Coroutine[Any, Any, JobStatus]],
        start: Callable[[Coroutine[Any, Any, JobStatus]], asyncio.Task[JobStatus]],
    ) -> None:
        self._ask = ask
        self._start = start
        self._polls: dict[tuple[str, str], _Poll] = {}

    @property
    def are_any(self) -> bool:
        """Whether somebody waits."""
        return bool(self._polls)

    async def wait(self, account: str, job_id: str, wait_s: float) -> JobStatus | None:
        """Return a job's last status; None where `end` came first.

        Raises NotReadyInTime after `wait_s`, and what `ask` does. If cancelled: others go on
        waiting; where there are none nothing more is asked.
        """
        key = (account, job_id)
        if key not in self._polls:
            self._polls[key] = _Poll(self._start(self._ask(account, job_id)))
        poll = self._polls[key]
        poll.callers += 1
        try:
            limit_s = None if wait_s == float("inf") else wait_s
            done, _ = await asyncio.wait([poll.task], timeout=limit_s)
        finally:
            poll.callers -= 1
            if not poll.callers:
                poll.task.cancel()
                self._polls.pop(key, None)
        if not done:
            raise NotReadyInTime(f"the result was not ready within {duration(wait_s)}")
        if poll.task.cancelled():
            return None
        error = poll.task.exception()
        if error is not None:  # each caller raises one of his own: a traceback grows
            raise copy.copy(error)
        return poll.task.result()

    def end(self) -> None:
        """Have all that wait return at once."""
        for poll in self._polls.values():
            poll.task.cancel()

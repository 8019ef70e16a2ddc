"""Waiting for results that the service is still preparing: a call for each state, never a slot.

`ReadySource` stands between the journal and the window. It looks at a bounded number of jobs at a
time, however long the list: each is asked for at once, then in growing steps, as `exports.polling`
says, and none is asked for while plenty of ready results wait for slots.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import TYPE_CHECKING

import anyio

from bulkfetch.download.retry import FAILING_FOR_S, REFUSED_FOR_S
from bulkfetch.errors import (
    AccountError,
    ControlPaused,
    JobError,
    NotReadyInTime,
    PreparationFailed,
    RateLimited,
    ServiceDown,
)
from bulkfetch.events import Emit, Event
from bulkfetch.exports.polling import FIRST_S, PLENTY, PollTimer
from bulkfetch.exports.server_time import server_time
from bulkfetch.journal import Entry, Journal
from bulkfetch.models import Failure, Outcome
from bulkfetch.pipeline.outcomes import OutcomeSink, failure_event
from bulkfetch.pipeline.source import WaitLimit
from bulkfetch.text import duration

if TYPE_CHECKING:
    from bulkfetch.control.responses import JobStatus

# Gives a job's status within the account's budget for such calls, and asks again by itself where
# that helps at once. Raises JobError, AccountError.
Ask = Callable[[str], Awaitable["JobStatus"]]

# Jobs of an account that are looked at, beyond those that wait for slots: with 30 calls a minute
# each is asked for about twice an hour at least. Further ones wait until some of these are ready.
WATCHED_JOBS = 1000
# Jobs taken from the journal at a time.
TAKE_JOBS = 50
# Calls at once; the budget may allow fewer.
CALLS_AT_ONCE = 4
# A job whose state could not be had so often, while that of others could, has failed.
FAILURES_OF_ONE = 5


@dataclass(order=True, slots=True)
class _Watched:
    """A job to be asked for at `next_at`.

    `told` says that it was not ready before, `failures` how often nothing could be learned.
    """

    next_at: float
    entry: Entry = field(compare=False)
    timer: PollTimer = field(compare=False)
    told: bool = field(default=False, compare=False)
    failures: int = field(default=0, compare=False)


@dataclass(order=True, slots=True)
class _Ready:
    """A job whose result is ready; those created first expire first, of unknown age goes last."""

    created: float
    place: int
    entry: Entry = field(compare=False)


class ReadySource:
    """A `JobSource` that hands out those of an account's jobs that are COMPLETED, the oldest first.

    A body that is in staging already is handed out as it is. FAILURE and unknown ids end a job
    here.
    `error` is set if the time is over before all is ready, or nothing more can be asked.
    """

    def __init__(
        self,
        account: str,
        journal: Journal,
        ask: Ask,
        limit: WaitLimit,
        *,
        is_staged: Callable[[Entry], bool],
        job_finished: OutcomeSink,
        emit: Emit,
        counts: bool = True,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Ask nothing yet.

        `is_staged` says that a body of an earlier run is in staging, `counts` whether the service's
        number of records is taken over into the jobs.
        """
        self.error: AccountError | None = None
        self.preparing = 0
        self._account = account
        self._journal = journal
        self._ask = ask
        self._limit = limit
        self._is_staged = is_staged
        self._job_finished = job_finished
        self._emit = emit
        self._counts = counts
        self._chance = chance
        self._staged: list[Entry] = []
        self._watched: list[_Watched] = []  # a heap, as is the next
        self._ready: list[_Ready] = []
        self._found_ready = 0
        self._unanswered = 0  # of those taken from the journal: neither ready nor failed
        self._journal_dry = False
        self._filling = False
        self._calls = 0
        self._asking: set[anyio.CancelScope] = set()
        self._trouble: PollTimer | None = None  # since the last answer
        self._hold_until = float("-inf")
        self._stopped = False
        self._ended = False
        self._news = anyio.Event()
        self._tell: Callable[[], None] = lambda: None

    @property
    def may_give_more(self) -> bool:
        """Whether jobs that were listed may still be handed out."""
        waits = self._unanswered > 0 or not self._journal_dry or self._filling
        return bool(self._ready or self._staged) or (waits and not self._ended)

    def more(self) -> None:
        """Note that the journal has got more jobs for this account."""
        self._journal_dry = False
        if self._ended:
            self._give_up()
        self._news.set()

    async def take(self, limit: int) -> list[Entry]:
        """Hand out what is in staging, and the ready result that will expire first.

        Only one, so that an older one that is found meanwhile can go before the others.
        """
        taken, self._staged = self._staged[:limit], self._staged[limit:]
        if self._ready and len(taken) < limit:
            taken.append(heappop(self._ready).entry)
            self._news.set()
        return taken

    def stop(self) -> None:
        """Ask no more; calls under way are dropped."""
        self._stopped = True
        self._drop_calls()
        self._news.set()

    async def run(self, news: Callable[[], None]) -> None:
        """Ask until the time is over, nothing more can be asked, or `stop`.

        If cancelled: calls under way are dropped; what has not ended is pending.
        """
        self._tell = news
        async with anyio.create_task_group() as calls:
            while self._goes_on:
                self._news = anyio.Event()
                await self._fill()
                due_at = self._due_at()
                if due_at <= anyio.current_time():
                    self._calls += 1
                    calls.start_soon(self._look, heappop(self._watched))
                    continue
                with anyio.move_on_at(min(due_at, self._limit.until)):
                    await self._news.wait()
            self._drop_calls()
        self._ended = True
        if self._unanswered or not self._journal_dry:
            self._give_up()
        news()

    @property
    def _goes_on(self) -> bool:
        return not (self._stopped or self.error or self._limit.is_over)

    def _give_up(self) -> None:
        if self.error is None and not self._stopped:
            self.error = NotReadyInTime(
                f"not all results were ready within {duration(self._limit.wait_s)}"
            )

    def _drop_calls(self) -> None:
        for scope in self._asking:
            scope.cancel()

    def _due_at(self) -> float:
        """Return when the next job is to be asked for, infinity if others must end before."""
        plenty = len(self._ready) + self._calls >= PLENTY
        if not self._watched or plenty or self._calls >= CALLS_AT_ONCE:
            return float("inf")
        return max(self._watched[0].next_at, self._hold_until)

    async def _fill(self) -> None:
        """Take jobs from the journal, as many as may be watched."""
        if self._journal_dry or self._unanswered >= WATCHED_JOBS:
            return
        self._filling = True
        while not self._journal_dry and self._unanswered < WATCHED_JOBS:
            # Dry until shown otherwise, said before the await: `more` may speak meanwhile.
            self._journal_dry = True
            entries = await self._journal.take(self._account, TAKE_JOBS)
            if not entries:
                break
            self._journal_dry = False
            now = anyio.current_time()
            for entry in entries:
                if entry.state == "downloaded" or self._is_staged(entry):
                    self._staged.append(entry)
                else:
                    self._unanswered += 1
                    heappush(self._watched, _Watched(now, entry, PollTimer(now, now, FIRST_S)))
        self._filling = False
        self._tell()

    async def _look(self, watched: _Watched) -> None:
        """Ask for a job's state, and do what follows."""
        status = None
        try:
            with anyio.CancelScope(deadline=self._limit.until) as scope:
                if self._goes_on:
                    self._asking.add(scope)
                    status = await self._ask(watched.entry.job.id)
        except AccountError as error:
            self.error = self.error or error
        except JobError as error:
            watched.failures += not isinstance(error, ControlPaused)
            its_own = self._trouble is None and watched.failures >= FAILURES_OF_ONE
            if its_own or not error.retryable:
                await self._fail(watched, Failure.of(error))
            else:
                self._take_trouble(error)
                self._watch_again(watched)
        finally:
            self._asking.discard(scope)
        if status is not None:
            await self._answered(watched, status)
        self._calls -= 1
        self._news.set()
        self._tell()

    async def _answered(self, watched: _Watched, status: JobStatus) -> None:
        self._trouble, entry = None, watched.entry
        if status.state == "COMPLETED":
            self._settle(watched)
            if self._counts and status.count is not None:
                entry = entry._replace(job=replace(entry.job, records=status.count))
            created = server_time(status.created_time)
            age = created.timestamp() if created else float("inf")
            self._found_ready += 1
            heappush(self._ready, _Ready(age, self._found_ready, entry))
        elif status.state == "FAILURE":
            await self._fail(watched, status.failure or Failure.of(PreparationFailed()))
        else:
            if not watched.told:
                watched.told = True
                self.preparing += 1
                text, data = f"not ready yet: {status.state}", {"state": status.state}
                self._emit(Event("preparing", text, self._account, entry.job.id, data))
            self._watch_again(watched)

    def _watch_again(self, watched: _Watched) -> None:
        watched.timer = watched.timer.asked(anyio.current_time(), self._chance())
        watched.next_at = watched.timer.next_at
        heappush(self._watched, watched)

    def _settle(self, watched: _Watched) -> None:
        self._unanswered -= 1
        self.preparing -= watched.told

    async def _fail(self, watched: _Watched, failure: Failure) -> None:
        """Record a job as failed, then report it. If cancelled: recorded or not, never half."""
        entry = watched.entry
        outcome = Outcome(
            entry.job.id, entry.job.account, "failed", attempts=entry.attempts, error=failure
        )
        await self._journal.failed(entry, outcome)
        self._emit(failure_event(outcome))
        await self._job_finished(outcome)
        self._settle(watched)

    def _take_trouble(self, error: JobError) -> None:
        """Let the account wait after a call that could not be answered; give it up after long."""
        now = anyio.current_time()
        self._trouble = (self._trouble or PollTimer(now, now, FIRST_S)).asked(now, self._chance())
        failing_s = now - self._trouble.created_at
        asked_s = error.retry_after_s if isinstance(error, ControlPaused) else 0.0
        if isinstance(error, ControlPaused) and max(failing_s, asked_s) >= REFUSED_FOR_S:
            self.error = RateLimited(f"the state of jobs cannot be asked for: {error.message}")
        elif not isinstance(error, ControlPaused) and failing_s >= FAILING_FOR_S:
            self.error = ServiceDown(f"no job's state for {duration(failing_s)}: {error.message}")
        else:
            self._hold_until = max(self._trouble.next_at, now + asked_s)
            delay_s = self._hold_until - now
            text = f"no job's state: {error.message}; asking again in {duration(delay_s)}"
            data: dict[str, float | str] = {"code": error.code, "delay_s": delay_s}
            self._emit(Event("service_down", text, self._account, data=data))

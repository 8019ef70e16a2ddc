"""A lane: all requests of one account, in list order, at the pace of its window.

One dispatcher waits for a job, room in staging, a seat (requests in flight) and a slot, in this
order, takes what else may start with it, and only then hands them to tasks: what waits costs no
task, and a stop has only real transfers to care for. Retries wait without a seat or a slot
(`waiting`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio
import anyio.abc
import anyio.lowlevel

from bulkfetch.clock import boottime
from bulkfetch.download.attempt import Attempt, Partial
from bulkfetch.download.retry import Decision, RetryAction, decide
from bulkfetch.errors import (
    AccountError,
    BulkfetchError,
    ConnectFailed,
    ServerError,
    TlsFailed,
    TokenRejected,
    TooManyRequests,
)
from bulkfetch.events import Emit, Event, Kind, ignore
from bulkfetch.pipeline.crew import Crew
from bulkfetch.pipeline.health import Health, without_another
from bulkfetch.pipeline.places import Places
from bulkfetch.pipeline.staging import StagingRoom
from bulkfetch.pipeline.timing import JobTimes
from bulkfetch.pipeline.waiting import Waiting
from bulkfetch.pipeline.work import Ends, Line, Work
from bulkfetch.secret import Secret

if TYPE_CHECKING:
    from bulkfetch.ratelimit import Permit, RateLimiter

# Jobs of one lane that are neither untouched nor ended: in flight, waiting to be tried again,
# being unpacked. Reached only when retries pile up; first tries then wait for some of them to end.
LIVE_JOBS = 1000
# Jobs taken from the journal at a time: enough that the journal is seldom asked.
TAKE_JOBS = 200
# What a broken attempt must have gained to give a job its tries back. Less would let a server that
# breaks off after every byte be asked for ever.
GROWTH_BYTES = 1 << 20
# Bytes that were fetched in vain are told of from here on: less is the body of an error.
WORTH_TELLING_BYTES = 1 << 16


class Lane:
    """Fetches the results of one account until its list is done, it is stopped, or it ended.

    `ended` is why nothing more can be fetched for this account, None as long as something can.
    `requests` and `received_bytes` count this run; `times` is what its jobs took.
    """

    def __init__(
        self,
        line: Line,
        ends: Ends,
        places: Places,
        room: StagingRoom,
        emit: Emit,
        *,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.ended: AccountError | None = None
        self.requests = 0
        self.times = JobTimes()
        self._received_bytes = 0
        self._in_flight: set[Attempt] = set()
        self._line = line
        self._ends = ends
        self._places = places
        self._room = room
        self._emit = emit
        self._is_followed = emit is not ignore
        self._dice = dice
        self._waiting = Waiting()
        self._live = 0
        self._list_ended = False
        self._source_dry = False
        self._renewed: Secret | None = None
        self._health = Health()
        self._hold_until = float("-inf")
        self._probe: Attempt | None = None  # on its way while the service fails
        self._news = anyio.Event()
        # A free seat is taken without a turn of the loop: requests that can start together do.
        self._seats = anyio.Semaphore(line.seats, fast_acquire=True)
        self._seated = Crew(self._attempt)
        self._dispatching = anyio.CancelScope()

    @property
    def account(self) -> str:
        """The account's name."""
        return self._line.account

    @property
    def window(self) -> RateLimiter:
        """The account's window, for progress."""
        return self._line.window

    @property
    def in_flight(self) -> int:
        """Requests under way, bodies included."""
        return len(self._in_flight)

    @property
    def waiting_retries(self) -> int:
        """Jobs that wait to be tried again."""
        return self._waiting.retries

    @property
    def finishing(self) -> int:
        """Jobs that are neither in flight nor waiting, nor ended: on their way to their file."""
        return max(self._live - len(self._in_flight) - self._waiting.jobs, 0)

    @property
    def received_bytes(self) -> int:
        """Body bytes received up to now, those of attempts under way included."""
        return self._received_bytes + sum(attempt.received for attempt in self._in_flight)

    def more(self) -> None:
        """Tell that the list has got more jobs for this account."""
        self._source_dry = False
        self._tell()

    def list_ended(self) -> None:
        """Tell that the list will get no more jobs."""
        self._list_ended = True
        self._tell()

    def stop(self) -> None:
        """Start no more requests; what is in flight goes on."""
        self._dispatching.cancel()

    def concluded(self) -> None:
        """Tell that a delivered job has ended, one way or the other."""
        self._live -= 1
        self._tell()

    def put_back(self, work: Work) -> None:
        """Take back a delivered job that must be fetched again, from its first byte."""
        work.staged, work.partial, work.zip_bytes = False, None, None
        self._waiting.add_retry(work)
        self._tell()

    async def run(self) -> None:
        """Fetch until there is nothing more to do.

        Raises RunError, which ends the run. If cancelled: requests in flight are dropped, their
        slots settled; incomplete bodies stay in staging and are not used again.
        """
        async with anyio.create_task_group() as tasks:
            with self._dispatching:
                await self._dispatch(tasks)
            self._seated.disband()

    async def _dispatch(self, tasks: anyio.abc.TaskGroup) -> None:
        while await self._job_at_hand(tasks):
            await self._room.wait()
            await self._seats.acquire()
            seats = 1
            permits: list[Permit] = []
            try:
                # Seats that fall free in this turn of the loop share one look at the window.
                await anyio.lowlevel.checkpoint()
                await self._fit_in()
                seats += self._take_more_seats()
                permits = await self._line.window.acquire_some(seats)
            finally:
                for _ in range(seats - len(permits)):
                    self._seats.release()
            now = anyio.current_time()
            for permit in permits:
                if now < self._hold_until or self._awaits_probe:
                    # While this one waited, others found that there is no connection, no service.
                    permit.unused()
                    self._seats.release()
                    continue
                attempt = Attempt(permit=permit, permit_at=boottime(), begun=self._begun)
                self._in_flight.add(attempt)  # here: the next look is before this one has begun
                if self._health.probing:
                    self._probe = attempt
                self._seated.order(tasks, self._waiting.take(now), attempt)

    def _take_more_seats(self) -> int:
        """Take the seats of all that may start beside the first; say how many these are."""
        if self._health.probing:
            return 0
        more = min(self._waiting.ready(anyio.current_time()) - 1, self._seats.value)
        for _ in range(more):
            self._seats.acquire_nowait()
        return more

    async def _job_at_hand(self, tasks: anyio.abc.TaskGroup) -> bool:
        """Wait for a job that wants a request; False when there will be none."""
        while True:
            self._news = anyio.Event()
            now = anyio.current_time()
            if not self._waiting.has_fresh and not self._source_dry and self._live < LIVE_JOBS:
                await self._refill(tasks)
                continue
            ready = self._waiting.ready(now)
            if ready and now >= self._hold_until:
                return True
            if self._list_ended and self._source_dry and not self._live:
                return False
            with anyio.move_on_at(self._hold_until if ready else self._waiting.next_due()):
                await self._news.wait()

    async def _fit_in(self) -> None:
        """Wait until one request more is no more than the account seems to bear at once."""
        while self._awaits_probe or (
            (cap := self._line.window.in_flight_cap) and len(self._in_flight) >= cap
        ):
            self._news = anyio.Event()
            await self._news.wait()

    @property
    def _awaits_probe(self) -> bool:
        """Whether a request is about to show that the service is back, or still is not."""
        return self._health.probing and self._probe is not None

    def _begun(self) -> None:
        """Take in the beginning of a file, whose end may be long in coming."""
        self._health.good()
        self._tell()

    async def _refill(self, tasks: anyio.abc.TaskGroup) -> None:
        # Dry until shown otherwise, said before the await: `more` may speak meanwhile.
        self._source_dry = True
        taken = await self._ends.take(TAKE_JOBS)
        if taken:
            self._source_dry = False
        self._live += len(taken)
        for work in taken:
            if work.staged:
                tasks.start_soon(self._ends.deliver, work)
            else:
                self._waiting.add(work)

    async def _attempt(self, work: Work, attempt: Attempt) -> None:
        attempt.partial = work.partial
        part = self._places.part(work.job)
        started = work.started = anyio.current_time()
        self.times.started(started)
        try:
            try:
                if self._is_followed:
                    number = work.attempts + 1
                    self._say("attempt_started", work, f"attempt {number} started", attempt=number)
                fetched = await self._line.downloader.fetch(work.job.id, part, attempt)
            finally:
                if attempt.permit is not None:  # a callback broke the run off
                    attempt.permit.unused()
                self._in_flight.discard(attempt)
                if attempt is self._probe:
                    self._probe = None
                self._tell()
                self.requests += attempt.requests
                self._received_bytes += attempt.received
                work.attempts += attempt.requests
        except BulkfetchError as error:
            # Those on their way when one failed count with it.
            counts = started >= self._hold_until
            self._health.failed(work, error, anyio.current_time(), counts=counts)
            await self._ends.note(work)
            await self._failed(work, attempt, error)
        except anyio.get_cancelled_exc_class():
            # Cut short: worth nothing to a later run, and perhaps the room that the disk lacks.
            part.unlink(missing_ok=True)
            raise
        else:
            self._health.good()
            work.zip_bytes, work.staged, work.partial = fetched.zip_bytes, True, None
            if fetched.resumed_bytes:
                gained = fetched.resumed_bytes
                self._say("resumed", work, f"resumed: {gained} bytes saved", gained_bytes=gained)
            self._room.add(fetched.zip_bytes)
            await self._ends.deliver(work)
        finally:
            self._seats.release()

    async def _failed(self, work: Work, attempt: Attempt, error: BulkfetchError) -> None:
        if attempt.token is None:  # none was sent, since the source has none that is not refused
            work.repeated = True
        decision = self.judge(work, attempt.partial, error, attempt.retry_after_s)
        lost = attempt.received if attempt.partial is None else 0
        if lost >= WORTH_TELLING_BYTES and decision.next is RetryAction.RETRY:
            self._say("restarted", work, f"{lost} bytes are fetched again", lost_bytes=lost)
        match decision.next:
            case RetryAction.HOLD:
                self._hold(work, error, decision)
            case RetryAction.RETRY:
                delay_s = decision.delay_s(self._dice())
                self._waiting.add_later(work, anyio.current_time() + delay_s)
                self._attempt_failed(work, error, decision, delay_s)
                self._tell()
            case RetryAction.REPEAT:
                self._attempt_failed(work, error, decision)
                if self.ended is not None:
                    return  # no other token is of any use
                work.repeated = True
                assert attempt.token is not None, "else it counts as repeated"
                try:
                    token = await self._line.tokens.renew(attempt.token)
                except AccountError as refused:
                    self.end(without_another(error, refused))
                else:
                    if token != self._renewed:  # many may have come with the same old one
                        self._renewed = token
                        self._say("token_renewed", None, "the access token was renewed")
                    self._waiting.add_retry(work, first=True)
                    self._tell()
            case RetryAction.AFTER_WINDOW:
                self._attempt_failed(work, error, decision)
                self._waiting.add_retry(work, first=True)
                self._tell()
            case RetryAction.END_ACCOUNT:
                self.end(error)
                if isinstance(error, TokenRejected) and attempt.token is not None:
                    await self._line.tokens.refuse(attempt.token)
            case RetryAction.END_RUN:
                self._places.part(work.job).unlink(missing_ok=True)
                raise error
            case RetryAction.FAIL | RetryAction.REFETCH:
                # What came of it is worth nothing to a later run, and would stay for ever.
                self._places.part(work.job).unlink(missing_ok=True)
                await self._ends.fail(work, error)

    def _hold(self, work: Work, error: BulkfetchError, decision: Decision) -> None:
        """Let the whole account wait, and this job with it."""
        now, failing = anyio.current_time(), isinstance(error, ServerError)
        delay_s = decision.delay_s(self._dice())
        if now >= self._hold_until or (failing and now + decision.least_s > self._hold_until):
            self._hold_until = now + delay_s
            text = f"{error.message}; trying again in {delay_s:.1f} s"
            kind: Kind = "service_down" if failing else "unconnected"
            self._say(kind, None, text, code=error.code, delay_s=delay_s)
        if failing:
            self._health.probing = True
            self._attempt_failed(work, error, decision, max(0.0, self._hold_until - now))
        # Where the server fails another job looks next: it may be this one alone that fails.
        self._waiting.add_retry(work, first=not failing)
        self._tell()

    def judge(
        self,
        work: Work,
        left: Partial | None,
        error: BulkfetchError,
        retry_after_s: float | None = None,
    ) -> Decision:
        """Count a failure against its job and decide; `left` is what may be resumed.

        `retry_after_s` is what the server asked for, None where it did not.
        """
        # Against the furthest ever, not the last: who sends the same half again gains nothing.
        reached = left.bytes if left else 0
        if reached - work.furthest >= GROWTH_BYTES:
            work.furthest, work.tries = reached, 0
        now, health, budget = anyio.current_time(), self._health, self._line.tries
        standing = health.standing(work, budget, error, now, retry_after_s)
        if standing.of_service:
            work.tries = max(work.tries, 1)  # counted once, since the next one may be its own
        elif not isinstance(error, TooManyRequests | TokenRejected | ConnectFailed | TlsFailed):
            work.tries += 1
        if not isinstance(error, TokenRejected):
            work.repeated = False
        work.partial = left
        return decide(error, standing._replace(tries=work.tries, repeated=work.repeated))

    def end(self, error: BulkfetchError) -> None:
        """Start no more requests for this account, because of `error`; its jobs stay pending."""
        if self.ended is not None:
            return
        self.ended = self._health.ending(error)
        self._emit(
            Event(
                "account_ended",
                self.ended.message,
                self.account,
                data={"code": self.ended.code, "hint": self.ended.hint},
            )
        )
        self.stop()

    def _attempt_failed(
        self, work: Work, error: BulkfetchError, decision: Decision, delay_s: float = 0.0
    ) -> None:
        self._say(
            "attempt_failed",
            work,
            f"{error.code}: {error.message}; {decision.next.value}"
            + (f" in {delay_s:.1f} s" if delay_s else ""),
            code=error.code,
            next=decision.next.value,
            attempt=work.attempts,
            delay_s=delay_s,
        )

    def _say(self, kind: Kind, work: Work | None, message: str, **data: int | float | str) -> None:
        self._emit(Event(kind, message, self.account, work.job.id if work else None, data))

    def _tell(self) -> None:
        self._news.set()

"""Jobs are handed out once the service says that they are ready; time is virtual."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, cast

import anyio
import pytest
from tests.support.virtual_clock import run_virtual

from bulkfetch.control.responses import JobStatus
from bulkfetch.errors import (
    BadResponse,
    BulkfetchError,
    ConnectionLost,
    ControlPaused,
    CreditsSpent,
    NotReadyInTime,
    RateLimited,
    ResourceNotFound,
    ScopeMismatch,
    ServiceDown,
)
from bulkfetch.events import Event
from bulkfetch.exports.polling import PLENTY
from bulkfetch.journal import Entry, Journal
from bulkfetch.models import Failure, Job, Outcome
from bulkfetch.pipeline.source import WaitLimit
from bulkfetch.prepared import until_ended
from bulkfetch.waiting import CALLS_AT_ONCE, WATCHED_JOBS, ReadySource

FOREVER = float("inf")


@dataclass
class Service:
    """Answers for jobs: `ready_at` by id, infinity for never; their `errors` come first, in order.

    `asked` is when which job was asked for.
    """

    ready_at: dict[str, float] = field(default_factory=dict)
    created: dict[str, str] = field(default_factory=dict)
    errors: dict[str, list[BulkfetchError]] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    takes_s: float = 0.0
    asked: list[tuple[float, str]] = field(default_factory=list)
    most: int = 0
    _now: int = 0

    async def status(self, job_id: str) -> JobStatus:
        """Stand in for `ControlClient.status`."""
        now = asyncio.get_running_loop().time()
        self.asked.append((round(now, 1), job_id))
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self._now -= 1
        if self.errors.get(job_id):
            raise self.errors[job_id].pop(0)
        if job_id in self.failures:
            return JobStatus(job_id, "FAILURE", failure=self.failures[job_id])
        if now < self.ready_at.get(job_id, 0.0):
            return JobStatus(job_id, "IN PROGRESS")
        return JobStatus(job_id, "COMPLETED", count=7, created_time=self.created.get(job_id))

    def times(self, job_id: str) -> list[float]:
        """When a job was asked for."""
        return [at for at, asked in self.asked if asked == job_id]


@dataclass
class Queue:
    """Stands in for the journal."""

    entries: list[Entry]
    taken: int = 0
    failed_ids: list[str] = field(default_factory=list)

    async def take(self, account: str, limit: int) -> list[Entry]:
        """Hand out jobs, after a moment."""
        await asyncio.sleep(0.001)
        found, self.entries = self.entries[:limit], self.entries[limit:]
        self.taken += len(found)
        return found

    async def failed(self, entry: Entry, outcome: Outcome) -> None:
        """Note a failure."""
        self.failed_ids.append(entry.job.id)


@dataclass
class Taken:
    """What a source gave: `at` when, and which `jobs`; `error` is why it gave no more."""

    at: list[float] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    most_preparing: int = 0
    error: BulkfetchError | None = None

    @property
    def ids(self) -> list[str]:
        """The jobs in the order in which they came."""
        return [job.id for job in self.jobs]


def entries(*numbers: int | str, staged: bool = False) -> list[Entry]:
    """Give jobs of the journal."""
    state: Literal["pending", "downloaded"] = "downloaded" if staged else "pending"
    return [Entry(int(number), Job(str(number)), state) for number in numbers]


async def take_all(
    service: Service,
    queue: Queue,
    wait_s: float = FOREVER,
    *,
    pace_s: float = 0.0,
    meanwhile: Callable[[ReadySource], Coroutine[Any, Any, None]] | None = None,
    **how: Any,
) -> Taken:
    """Take jobs as a dispatcher does, one every `pace_s`, until no more may come."""
    taken, news = Taken(), anyio.Event()

    async def finished(outcome: Outcome) -> None:
        taken.outcomes.append(outcome)

    source = ReadySource(
        "default",
        cast(Journal, queue),
        service.status,
        WaitLimit.of(wait_s),
        **{
            "is_staged": lambda entry: False,
            "job_finished": finished,
            "emit": taken.events.append,
            "chance": lambda: 0.5,
            **how,
        },
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(source.run, lambda: news.set())
        if meanwhile is not None:
            tasks.start_soon(meanwhile, source)
        while True:
            news = anyio.Event()
            found = await source.take(50)
            for each in found:
                taken.at.append(round(anyio.current_time(), 1))
                taken.jobs.append(each.job)
                await anyio.sleep(pace_s)
            taken.most_preparing = max(taken.most_preparing, source.preparing)
            if not found:
                if not source.may_give_more:
                    break
                await news.wait()
        source.stop()
    assert source.preparing == 0 or source.error is not None
    taken.error = source.error
    return taken


def taking(service: Service, queue: Queue, *arguments: Any, **how: Any) -> Taken:
    """Do the same on a clock of its own."""
    return run_virtual(take_all(service, queue, *arguments, **how))


def test_each_comes_when_it_is_ready() -> None:
    """Asked for at once, then in steps that grow from 2 s to a minute, whatever the others do."""
    service = Service({"1": 0, "2": 10, "3": 500})
    taken = taking(service, Queue(entries(1, 2, 3)))
    assert taken.ids == ["1", "2", "3"]
    assert [job.records for job in taken.jobs] == [7, 7, 7]
    assert taken.error is None
    assert service.times("1") == [0.0]
    assert service.times("2") == [0.0, 2.0, 5.0, 9.5, 16.3]
    gaps = [b - a for a, b in pairwise(service.times("3"))]
    assert max(gaps) == 60.0
    assert taken.most_preparing == 2
    assert [event.job_id for event in taken.events if event.kind == "preparing"] == ["2", "3"]


def test_the_number_of_records_is_not_taken_where_nobody_counts() -> None:
    """counts=False: the jobs stay as they are."""
    assert taking(Service(), Queue(entries(1)), counts=False).jobs == [Job("1")]


def test_what_expires_first_comes_first() -> None:
    """By the service's own time of creation, whatever its offset; of unknown age last."""
    created = {
        "1": "2026-09-30T10:00:00+02:00",
        "2": "2026-09-30T07:00:00Z",
        "4": "2026-09-29T23:30:00-07:00",
    }
    taken = taking(Service(created=created), Queue(entries(1, 2, 3, 4)), pace_s=6)
    assert sorted(taken.ids) == ["1", "2", "3", "4"]
    assert taken.ids[1:] == [each for each in ("4", "2", "1", "3") if each != taken.ids[0]]


def test_nobody_asks_while_plenty_are_ready() -> None:
    """Of a hundred ready results no more than twenty are known of beyond those that have left."""
    service, waiting = Service(), []

    async def look(source: ReadySource) -> None:
        for _ in range(300):
            waiting.append(len(source._ready))
            await anyio.sleep(1)

    queue = Queue(entries(*range(1, 101)))
    taken = taking(service, queue, pace_s=6, meanwhile=look)
    assert len(taken.ids) == len(service.asked) == 100
    assert max(waiting) == PLENTY
    assert service.asked[-1][0] > 400


@pytest.mark.slow
def test_memory_does_not_grow_with_the_list() -> None:
    """Of ten thousand jobs that are not ready a thousand are looked at; the others stay listed."""
    service = Service(dict.fromkeys(map(str, range(10_000)), FOREVER), takes_s=0.5)
    queue = Queue(entries(*range(10_000)))
    taken = taking(service, queue, 900)
    assert queue.taken == WATCHED_JOBS
    assert service.most == CALLS_AT_ONCE
    assert isinstance(taken.error, NotReadyInTime)


@pytest.mark.slow
def test_what_was_not_looked_at_comes_later() -> None:
    """The watched ones make room as they get ready."""
    ready_at = {str(number): 60.0 for number in range(3_000)}
    taken = taking(Service(ready_at), Queue(entries(*range(3_000))))
    assert sorted(map(int, taken.ids)) == list(range(3_000))


def test_the_time_is_over() -> None:
    """Nothing is asked any more, what is ready is still handed out, and the error says why."""
    service = Service({"3": FOREVER}, takes_s=0.1)
    taken = taking(service, Queue(entries(*range(1, 11))), 60, pace_s=30)
    assert sorted(taken.ids, key=int) == [str(n) for n in range(1, 11) if n != 3]
    assert taken.at[-1] > 200
    assert max(at for at, _ in service.asked) < 60
    assert isinstance(taken.error, NotReadyInTime)
    assert "1 min" in taken.error.message


def test_a_call_under_way_ends_with_the_time() -> None:
    """It is not waited for."""
    service = Service(takes_s=1000)
    taken = taking(service, Queue(entries(1)), 60)
    assert isinstance(taken.error, NotReadyInTime)
    assert not taken.ids


def test_in_time_is_no_error() -> None:
    """All ready before the time is over, however long they wait for their slots."""
    assert taking(Service(), Queue(entries(1, 2, 3)), 10, pace_s=60).error is None


def test_what_is_listed_too_late_is_not_ready_in_time() -> None:
    """A list that goes on after the time is over."""
    queue = Queue(entries(1))

    async def more(source: ReadySource) -> None:
        await anyio.sleep(20)
        queue.entries += entries(2)
        source.more()

    taken = taking(Service(), queue, 10, pace_s=30, meanwhile=more)
    assert taken.ids == ["1"]
    assert isinstance(taken.error, NotReadyInTime)


def test_a_list_that_grows_is_looked_at() -> None:
    """Jobs that come later are asked for when they come."""
    queue, service = Queue(entries(1)), Service({"1": 100})

    async def more(source: ReadySource) -> None:
        await anyio.sleep(20)
        queue.entries += entries(2)
        source.more()

    taken = taking(service, queue, meanwhile=more)
    assert taken.ids == ["2", "1"]
    assert service.times("2") == [20.0]


def test_a_body_in_staging_is_not_asked_for() -> None:
    """The journal says that it is whole, or an earlier run has left it there."""
    service = Service()
    queue = Queue([*entries(1, staged=True), *entries(2, 3)])
    taken = taking(service, queue, is_staged=lambda entry: entry.job.id == "2")
    assert taken.ids[:2] == ["1", "2"]
    assert [job_id for _, job_id in service.asked] == ["3"]


def test_failure_and_unknown_ids_end_here() -> None:
    """With Zoho's code and message; they are recorded, told, and never handed out."""
    failure = Failure("INTERNAL_SERVER_ERROR", "Internal server error occurred.")
    service = Service(failures={"1": failure}, errors={"2": [ResourceNotFound("No such job.")]})
    queue = Queue(entries(1, 2, 3))
    taken = taking(service, queue)
    assert taken.ids == ["3"]
    assert queue.failed_ids == ["1", "2"]
    assert [outcome.error for outcome in taken.outcomes] == [
        failure,
        Failure.of(ResourceNotFound("No such job.")),
    ]
    assert {outcome.status for outcome in taken.outcomes} == {"failed"}


def test_a_service_that_fails_for_a_while_is_waited_for() -> None:
    """For all jobs at once, in growing steps, and told."""
    lost: list[BulkfetchError] = [ConnectionLost() for _ in range(4)]
    service = Service(errors={"1": lost})
    taken = taking(service, Queue(entries(1, 2)))
    assert sorted(taken.ids) == ["1", "2"]
    assert len(service.times("1")) == 5
    assert "service_down" in {event.kind for event in taken.events}


def test_one_job_whose_state_cannot_be_had_fails() -> None:
    """Where others are answered meanwhile; it is not asked for for ever."""
    service = Service({"2": 3600}, errors={"1": [BadResponse("strange") for _ in range(100)]})
    taken = taking(service, Queue(entries(1, 2)))
    assert taken.ids == ["2"]
    assert taken.error is None
    (outcome,) = taken.outcomes
    assert outcome.error is not None
    assert outcome.error.code == "BAD_RESPONSE"
    assert len(service.times("1")) < 20


def test_a_pause_is_kept() -> None:
    """What a 429 or the budget asks for is waited, for all jobs."""
    service = Service(errors={"1": [ControlPaused("too many", retry_after_s=300)]})
    taken = taking(service, Queue(entries(1)))
    assert taken.ids == ["1"]
    assert service.times("1")[1] >= 300


@pytest.mark.parametrize(
    ("error", "kind", "least_s", "most_s"),
    [
        (ConnectionLost(), ServiceDown, 900, 1000),
        (ControlPaused("too many", retry_after_s=60), RateLimited, 3600, 3700),
    ],
)
def test_a_service_that_never_answers_is_given_up(
    error: BulkfetchError, kind: type[BulkfetchError], least_s: float, most_s: float
) -> None:
    """After a quarter of an hour of failures, an hour of refusals."""
    service = Service(errors={"1": [error] * 10_000, "2": [error] * 10_000})
    taken = taking(service, Queue(entries(1, 2)))
    assert isinstance(taken.error, kind)
    assert least_s <= service.asked[-1][0] <= most_s


def test_spent_credits_are_not_waited_for() -> None:
    """Where the pause is longer than an hour the account ends at once; what is ready still goes."""
    service = Service(errors={"2": [CreditsSpent("none are left", retry_after_s=20_000)]})
    taken = taking(service, Queue(entries(1, 2)), pace_s=60)
    assert taken.ids == ["1"]
    assert isinstance(taken.error, RateLimited)
    assert "none are left" in taken.error.message


def test_an_account_that_may_not_ask_ends() -> None:
    """A missing scope is told as it is; nothing more is asked."""
    service = Service(errors={"1": [ScopeMismatch()]}, takes_s=0.1)
    taken = taking(service, Queue(entries(*range(1, 100))), 600)
    assert isinstance(taken.error, ScopeMismatch)
    assert len(service.asked) <= CALLS_AT_ONCE + 1


def test_a_stop_is_no_error() -> None:
    """Calls under way are dropped, and nobody is told that the time is over."""

    async def stop(source: ReadySource) -> None:
        await anyio.sleep(5)
        source.stop()

    taken = taking(Service(takes_s=1000), Queue(entries(1)), 3600, meanwhile=stop)
    assert taken.error is None


def test_one_job_is_waited_for() -> None:
    """Until COMPLETED or FAILURE, over failures that pass; an unknown id is an error."""
    failure = Failure("X", "why")
    service = Service({"1": 100}, failures={"2": failure})
    service.errors = {
        "1": [ConnectionLost(), ControlPaused("too many", retry_after_s=30)],
        "3": [ResourceNotFound()],
    }

    async def main() -> None:
        assert (await until_ended(service.status, "1")).state == "COMPLETED"
        assert service.times("1")[2] >= service.times("1")[1] + 30
        assert (await until_ended(service.status, "2")).failure == failure
        with pytest.raises(ResourceNotFound):
            await until_ended(service.status, "3")

    run_virtual(main())

"""A worker whose downloader answers by script, with a real limiter on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import anyio

from bulkfetch.archive import Member
from bulkfetch.download.attempt import Attempt, Partial
from bulkfetch.download.downloader import Download, Downloader
from bulkfetch.errors import BulkfetchError, ConnectFailed, InvalidToken, TooManyRequests
from bulkfetch.events import Event
from bulkfetch.journal import Entry, Journal
from bulkfetch.models import Job, Outcome, PublishedFile
from bulkfetch.pipeline.account import AccountWorker
from bulkfetch.pipeline.active_job import AccountAccess, ActiveJob
from bulkfetch.pipeline.dispatch import StagingBudget
from bulkfetch.pipeline.layout import OutputLayout
from bulkfetch.pipeline.publish import Published, Publisher, StagedZip
from bulkfetch.ratelimit import RateLimit, SlotLimiter
from bulkfetch.secret import Secret

ZIP_BYTES = 1000


@dataclass
class Answer:
    """What the downloader does with a request: takes `after_s`, then `error`, or a whole body.

    `left` is how many bytes a broken body leaves to be resumed.
    """

    error: BulkfetchError | None = None
    after_s: float = 0.0
    left: int = 0


@dataclass
class FakeDownloader:
    """Answers by script, job by job; what is not in the script is a whole body at once."""

    limiter: SlotLimiter
    script: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[tuple[float, str]] = field(default_factory=list)
    most: int = 0
    _now: int = 0

    async def fetch(self, job_id: str, part: str, attempt: Attempt) -> Download:
        """Stand in for `Downloader.fetch`."""
        permit, attempt.permit = attempt.permit, None
        assert permit is not None, "a worker brings the slot along"
        self.asked.append((round(asyncio.get_running_loop().time(), 1), job_id))
        lines = self.script.get(job_id, [])
        answer = lines.pop(0) if lines else Answer()
        self._now += 1
        self.most = max(self.most, self._now)
        attempt.token = Secret("1000.token")
        Path(part).write_bytes(b"PK")
        try:
            await asyncio.sleep(answer.after_s)
        except BaseException:
            permit.lost()
            raise
        finally:
            self._now -= 1
        error = answer.error
        if isinstance(error, ConnectFailed):
            permit.unused()
            raise error
        attempt.requests += 1
        attempt.partial = Partial(answer.left, None, '"tag"') if answer.left else None
        if isinstance(error, TooManyRequests):
            permit.rejected(None)
        else:
            permit.answered()
        if error is not None:
            raise error
        return Download(ZIP_BYTES)


@dataclass
class FakeTokens:
    """Counts renewals; the second and later are refused."""

    renewals: int = 0
    refused: list[Secret] = field(default_factory=list)

    async def token(self) -> Secret:
        """Stand in for a token source."""
        return Secret("1000.token")

    async def renew(self, refused: Secret) -> Secret:
        """Stand in for a token source."""
        self.renewals += 1
        if self.renewals > 1:
            raise InvalidToken
        return Secret("1000.fresh")

    async def refuse(self, refused: Secret) -> None:
        """Stand in for a token source."""
        self.refused.append(refused)


@dataclass
class FakeJournal:
    """Hands out a list and notes what it is told; what it hands out as staged is recorded.

    It takes `ending_s` to record how a job ended, and does so also if cancelled meanwhile.
    """

    jobs: list[Entry]
    ending_s: float = 0.0
    noted: dict[str, int] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)

    async def take(self, account: str, limit: int) -> list[Entry]:
        """Stand in for the journal."""
        taken, self.jobs = self.jobs[:limit], self.jobs[limit:]
        return taken

    async def attempted(self, entry: Entry, attempts: int) -> None:
        """Stand in for the journal."""
        self.noted[entry.job.id] = attempts

    async def back_to_pending(self, entry: Entry) -> None:
        """Stand in for the journal."""

    async def done(self, entry: Entry, outcome: Outcome, kept: PublishedFile | None = None) -> None:
        """Stand in for the journal."""
        if self.ending_s:
            await asyncio.sleep(self.ending_s)

    async def failed(self, entry: Entry, outcome: Outcome) -> None:
        """Stand in for the journal."""
        assert outcome.error is not None
        self.failures.append((entry.job.id, outcome.error.code))
        if self.ending_s:
            await asyncio.sleep(self.ending_s)


@dataclass
class FakePublisher:
    """Publishes each ZIP as a file of one byte, when `go` is set; those in `gone` are not there."""

    published: list[str] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    go: anyio.Event | None = None

    async def stage(self, job: Job) -> StagedZip | None:
        """Stand in for a publisher."""
        if job.id in self.gone:
            self.gone.remove(job.id)
            return None
        return StagedZip(Member(".csv", 0, 0, 1, 1, 0), ZIP_BYTES)

    async def publish(self, job: ActiveJob, staged: StagedZip) -> Published:
        """Stand in for a publisher."""
        self.published.append(job.job.id)
        if self.go is not None:
            await self.go.wait()
        return Published((PublishedFile(f"out/{job.job.id}.csv", 1, None),))

    async def discard(self, job: Job) -> None:
        """Stand in for a publisher."""


class Scene:
    """A worker, what it is given and what came of it. To be made in a running loop."""

    def __init__(
        self,
        folder: Path,
        jobs: Iterable[str] = (),
        *,
        script: dict[str, list[Answer]] | None = None,
        requests: int = 10,
        connections: int = 10,
        tries: int = 5,
        staging_bytes: int = 1 << 40,
        jitter: Callable[[], float] = lambda: 1.0,
        list_ended: bool = True,
    ) -> None:
        self.layout = OutputLayout(folder, "out")
        self.layout.prepare()
        self.limiter = SlotLimiter(RateLimit(requests))
        self.downloader = FakeDownloader(self.limiter, script or {})
        self.tokens = FakeTokens()
        self.budget = StagingBudget(staging_bytes)
        self.journal = FakeJournal([self.entry(job) for job in jobs])
        self.publisher = FakePublisher()
        self.outcomes: list[Outcome] = []
        self.reading: anyio.Event | None = None  # until it is set nobody takes an outcome
        self.events: list[Event] = []
        access = AccountAccess(
            "default",
            cast(Downloader, self.downloader),
            self.limiter,
            self.tokens,
            connections,
            tries,
        )
        self.worker = AccountWorker(
            access,
            cast(Journal, self.journal),
            cast(Publisher, self.publisher),
            self.layout,
            self.budget,
            self._job_finished,
            self.events.append,
            jitter=jitter,
        )
        if list_ended:
            self.worker.dispatcher.list_ended()

    @staticmethod
    def entry(job_id: str, *, staged: bool = False) -> Entry:
        """Make a job to do."""
        return Entry(int(job_id), Job(job_id), "downloaded" if staged else "pending")

    @property
    def done(self) -> list[str]:
        """The jobs that are done, in the order of their ends."""
        return [outcome.job_id for outcome in self.outcomes if outcome.status == "done"]

    def times(self, job_id: str) -> list[float]:
        """When a job was asked for."""
        return [at for at, asked in self.downloader.asked if asked == job_id]

    async def _job_finished(self, outcome: Outcome) -> None:
        if self.reading is not None:
            await self.reading.wait()
        self.outcomes.append(outcome)

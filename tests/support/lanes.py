"""A lane with a door that answers by script; its window is a real one, its clock a virtual one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from bulkfetch.download.attempt import Attempt, Partial
from bulkfetch.download.downloader import Download, Downloader
from bulkfetch.errors import BulkfetchError, ConnectFailed, InvalidToken, TooManyRequests
from bulkfetch.events import Event
from bulkfetch.journal import Entry
from bulkfetch.models import Job
from bulkfetch.pipeline.lane import Lane
from bulkfetch.pipeline.places import Places
from bulkfetch.pipeline.staging import StagingRoom
from bulkfetch.pipeline.work import Ends, Line, Work
from bulkfetch.ratelimit import RateLimit, SlotLimiter
from bulkfetch.secret import Secret

ZIP_BYTES = 1000


@dataclass
class Answer:
    """What the door does with a request: takes `after_s`, then `error`, or a whole body.

    `left` is how many bytes a broken body leaves to be resumed.
    """

    error: BulkfetchError | None = None
    after_s: float = 0.0
    left: int = 0


@dataclass
class FakeDoor:
    """Answers by script, job by job; what is not in the script is a whole body at once."""

    window: SlotLimiter
    script: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[tuple[float, str]] = field(default_factory=list)
    most: int = 0
    askers: set[asyncio.Task[object] | None] = field(default_factory=set)
    _now: int = 0

    async def fetch(self, job_id: str, part: Path, attempt: Attempt) -> Download:
        """Stand in for `Downloader.fetch`."""
        permit, attempt.permit = attempt.permit, None
        assert permit is not None, "a lane brings the slot along"
        self.asked.append((round(asyncio.get_running_loop().time(), 1), job_id))
        self.askers.add(asyncio.current_task())
        lines = self.script.get(job_id, [])
        answer = lines.pop(0) if lines else Answer()
        self._now += 1
        self.most = max(self.most, self._now)
        attempt.token = Secret("1000.token")
        part.write_bytes(b"PK")
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


class Scene:
    """A lane, what it is given and what came of it. To be made in a running loop.

    `delivering` is called with each delivered job; by default it is done at once.
    """

    def __init__(
        self,
        folder: Path,
        jobs: Iterable[str] = (),
        *,
        script: dict[str, list[Answer]] | None = None,
        requests: int = 10,
        seats: int = 10,
        tries: int = 5,
        staging_bytes: int = 1 << 40,
        dice: Callable[[], float] = lambda: 1.0,
        delivering: Callable[[Scene, Work], None] = lambda scene, work: scene.done(work),
        list_ended: bool = True,
    ) -> None:
        self.places = Places(folder, "out")
        self.places.prepare()
        self.window = SlotLimiter(RateLimit(requests))
        self.door = FakeDoor(self.window, script or {})
        self.tokens = FakeTokens()
        self.room = StagingRoom(staging_bytes)
        self.list = [self.work(job) for job in jobs]
        self.delivered: list[str] = []
        self.failed: list[tuple[str, str]] = []
        self.noted: dict[str, int] = {}
        self.events: list[Event] = []
        self.most_live = 0
        self._delivering = delivering
        line = Line("default", cast(Downloader, self.door), self.window, self.tokens, seats, tries)
        self.lane = Lane(
            line,
            Ends(self._take, self._note, self._deliver, self._fail),
            self.places,
            self.room,
            self.events.append,
            dice=dice,
        )
        if list_ended:
            self.lane.list_ended()

    @staticmethod
    def work(job_id: str, *, staged: bool = False) -> Work:
        """Make a job under way."""
        return Work(Entry(int(job_id), Job(job_id), "pending"), staged=staged)

    def done(self, work: Work) -> None:
        """Bring a delivered job to its end."""
        self.room.remove(work.zip_bytes or 0)
        self.lane.concluded()

    def times(self, job_id: str) -> list[float]:
        """When a job was asked for."""
        return [at for at, asked in self.door.asked if asked == job_id]

    async def _take(self, limit: int) -> list[Work]:
        taken, self.list = self.list[:limit], self.list[limit:]
        return taken

    async def _note(self, work: Work) -> None:
        self.noted[work.job.id] = work.attempts

    async def _deliver(self, work: Work) -> None:
        self.delivered.append(work.job.id)
        self._delivering(self, work)

    async def _fail(self, work: Work, error: BulkfetchError) -> None:
        self.failed.append((work.job.id, error.code))
        self.lane.concluded()

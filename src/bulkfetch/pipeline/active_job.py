"""A job under way, and what its account's requests need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from bulkfetch.clock import MACHINE_CLOCK, Clock
from bulkfetch.download.attempt import Attempt, Partial
from bulkfetch.journal import Entry
from bulkfetch.models import Job
from bulkfetch.pipeline.progress import Transfer

if TYPE_CHECKING:
    # What they bring along is not needed by a run that has nothing to ask.
    from bulkfetch.download.downloader import Downloader
    from bulkfetch.ratelimit import SlotLimiter
    from bulkfetch.zoho.tokens import TokenSource


@dataclass(slots=True)
class ActiveJob:
    """A job under way, with what its attempts have come to.

    `entry` is its place in the journal. `staged` says that its ZIP is, or may be, complete in
    staging, `recovered` that an earlier run left it there, `recorded` that the journal says so.
    `attempts` counts result requests over all runs. `tries`, `repeated` and `refetched` as in
    `download.retry.RetryState`; `partial` is what a broken attempt left, `furthest` the most bytes
    that any has left, `zip_bytes` the complete ZIP's size. `started` is when its last request
    began, on the loop's clock; None before there was one. `failed_after` and `stands_out` are
    `health`'s: how many good answers the account had had when the server last failed on this job,
    and how often it did again after others were answered well.
    """

    entry: Entry
    staged: bool = False
    recovered: bool = False
    recorded: bool = False
    attempts: int = 0
    tries: int = 0
    repeated: bool = False
    refetched: bool = False
    partial: Partial | None = None
    furthest: int = 0
    failed_after: int | None = None
    stands_out: int = 0
    zip_bytes: int | None = None
    started: float | None = None

    @property
    def job(self) -> Job:
        """The job itself."""
        return self.entry.job

    def transfer(self, attempt: Attempt | None) -> Transfer:
        """Return how far it is, with the attempt under way; None: its ZIP is here."""
        it = self.job
        if attempt is None:
            return Transfer(it.account, it.id, it.stem, self.zip_bytes or 0, self.zip_bytes, True)
        received = attempt.offset + attempt.received
        return Transfer(it.account, it.id, it.stem, received, attempt.total, held=attempt.held)


class AccountAccess(NamedTuple):
    """What the requests of an account need: at most `connections` at once, `tries` per job."""

    account: str
    downloader: Downloader
    limiter: SlotLimiter
    tokens: TokenSource
    connections: int
    tries: int
    clock: Clock = MACHINE_CLOCK

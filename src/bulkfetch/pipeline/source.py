"""Where an account's jobs to do come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import anyio

from bulkfetch.errors import AccountError
from bulkfetch.journal import Entry, Journal


class WaitLimit(NamedTuple):
    """How long a run waits for results: `wait_s` in all, `until` a time on the loop's clock."""

    wait_s: float
    until: float

    @classmethod
    def of(cls, wait_s: float) -> WaitLimit:
        """Return a limit of so many seconds from now on, infinity for no limit."""
        return cls(wait_s, anyio.current_time() + wait_s)

    @property
    def is_over(self) -> bool:
        """Whether it is time to give up."""
        return anyio.current_time() >= self.until


class JobSource(Protocol):
    """An account's jobs to do, each handed out when its result may be asked for.

    `error` is why no more will come although there are some, None where there is no reason;
    `preparing` is how many the service has said are not ready yet.
    """

    error: AccountError | None

    @property
    def preparing(self) -> int: ...

    @property
    def may_give_more(self) -> bool:
        """Whether jobs that were listed may still be handed out."""

    def more(self) -> None:
        """Note that the journal has got more jobs for this account."""

    async def take(self, limit: int) -> list[Entry]:
        """Hand out jobs, at most `limit`; none if there are none now.

        If cancelled: jobs may have been handed out to nobody; they are pending for the next run.
        """

    async def run(self, news: Callable[[], None]) -> None:
        """Do what is needed until `stop`, with `news` called when there may be jobs to take."""

    def stop(self) -> None:
        """Have `run` end soon."""


class JournalSource:
    """Hands out jobs as the journal does: the list says that their results are ready."""

    error: AccountError | None = None
    preparing = 0
    may_give_more = False

    def __init__(self, account: str, journal: Journal) -> None:
        self._account = account
        self._journal = journal

    def more(self) -> None:
        """Do nothing: the journal is asked anyway."""

    async def take(self, limit: int) -> list[Entry]:
        """Hand out jobs, at most `limit`; none if there are none now. If cancelled: as above."""
        return await self._journal.take(self._account, limit)

    async def run(self, news: Callable[[], None]) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""

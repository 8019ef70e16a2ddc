"""What is ready, handed on to the run of downloads: what expires first goes first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Self

from bulkfetch.exporter.accounts import AccountState
from bulkfetch.exporter.work import ExportWork, Place
from bulkfetch.exports import chain
from bulkfetch.journal import PageRow
from bulkfetch.models import ColumnType, Failure, Job, Outcome

# Results of an account that were handed on and have not ended: two minutes of its window. The
# others wait here, where an older one may still overtake them.
MOST_HANDED_ON = 20

_GONE = Failure(
    "RESOURCE_NOT_FOUND",
    "the result was prepared more than a day ago",
    "Run the same command again: it is created again.",
)


class ReadyPages(AsyncIterator[Job]):
    """The list of the run of downloads: pages' results, as they become ready.

    It ends when `close` was called. `changed` waits until a row has changed; `wall` is this
    machine's clock in seconds. One reader.
    """

    def __init__(
        self,
        accounts: Mapping[str, AccountState],
        *,
        changed: Callable[[], Awaitable[None]],
        wall: Callable[[], float],
    ) -> None:
        self._accounts = accounts
        self._changed = changed
        self._wall = wall
        self._handed: dict[tuple[str, str], tuple[ExportWork, Place]] = {}
        self._lost: set[str] = set()  # done before, and the file is gone
        self._closed = False

    def close(self) -> None:
        """Let the list end; the caller has whoever waits look again."""
        self._closed = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Job:
        """Return the next result to fetch. Raises RunError. If cancelled: none is lost."""
        while not self._closed:
            found = self._oldest()
            if found is None:
                await self._changed()
                continue
            work, page = found
            if chain.is_stale(page, self._wall()):
                step = chain.expired(page, _GONE)
                await work.write(step, forgotten=[page])
                work.tell("page_again", step.note, page)
                continue
            job = work.job(page, again=page.job_id in self._lost)
            self._handed[job.account, job.id] = (work, (page.chain, page.number))
            return job
        raise StopAsyncIteration

    def fetch_again(self, job_id: str) -> None:
        """Note that the file of a job that was done is gone: it is to be fetched once more."""
        self._lost.add(job_id)

    def is_with_run(self, account: str, job_id: str) -> bool:
        """Return whether a result was handed on and has not ended."""
        return (account, job_id) in self._handed

    def types_of(self, job: Job) -> Mapping[str, ColumnType]:
        """Return the types of the columns of a result that was handed on."""
        work, _ = self._handed[job.account, job.id]
        return work.types()

    def take_back(self, outcome: Outcome) -> tuple[ExportWork, PageRow | None] | None:
        """Return whose outcome it is, and the page as it is now.

        The page is None where its export has begun again since. None for an unknown one.
        """
        handed = self._handed.pop((outcome.account, outcome.job_id), None)
        if handed is None:
            return None
        work, place = handed
        page = work.pages.get(place)
        is_same = page is not None and page.job_id == outcome.job_id
        return work, page if is_same else None

    def _oldest(self) -> tuple[ExportWork, PageRow] | None:
        found = [
            (work, page)
            for account in self._accounts.values()
            if account.undownloading is None and self._may_have_more(account)
            for work in account.live
            for page in work.pages.values()
            if page.state == "READY" and (account.name, page.job_id or "") not in self._handed
        ]
        return min(found, key=lambda pair: _expiry(pair[1]), default=None)

    def _may_have_more(self, account: AccountState) -> bool:
        with_run = sum(name == account.name for name, _ in self._handed)
        return with_run < MOST_HANDED_ON


def _expiry(page: PageRow) -> tuple[float, int, int]:
    return page.ready_at or 0.0, page.number, page.chain

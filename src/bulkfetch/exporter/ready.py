"""What is ready, handed on to the run of downloads: what expires first goes first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Self

from bulkfetch.exporter.accounts import AccountState
from bulkfetch.exporter.context import ExportContext
from bulkfetch.exporter.work import ExportWork
from bulkfetch.exports import chain
from bulkfetch.journal import PageRow
from bulkfetch.models import ColumnType, Failure, Job, Outcome

# Results of an account that were handed on and have not ended: two minutes of its window. The
# others wait here, where an older one may still overtake them.
MOST_HANDED_ON = 20

_GONE = Failure(
    "RESOURCE_NOT_FOUND",
    "the result was prepared more than a day ago",
    "Try again: it is created anew.",
)


class ReadyPages(AsyncIterator[Job]):
    """The list of the run of downloads: pages' results, as they become ready. One reader.

    It ends when `close` was called.
    """

    def __init__(self, accounts: Mapping[str, AccountState], context: ExportContext) -> None:
        self._accounts = accounts
        self._context = context
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
                await self._context.changed()
                continue
            work, page = found
            if chain.is_stale(page, self._context.wall()):
                await work.write(chain.expired(page, _GONE))
                continue
            job = work.job(page, again=page.job_id in work.lost)
            work.handed[job.id] = (page.chain, page.number)
            return job
        raise StopAsyncIteration

    def types_of(self, job: Job) -> Mapping[str, ColumnType]:
        """Return the types of the columns of a result that was handed on."""
        work = self._holder(job.account, job.id)
        return {} if work is None else work.types()

    def take_back(self, outcome: Outcome) -> tuple[ExportWork, PageRow | None] | None:
        """Return whose outcome it is, and the page as it is now.

        The page is None where its export has begun again since. None for an unknown one.
        """
        work = self._holder(outcome.account, outcome.job_id)
        if work is None:
            return None
        page = work.pages.get(work.handed.pop(outcome.job_id))
        is_same = page is not None and page.job_id == outcome.job_id
        return work, page if is_same else None

    def _holder(self, name: str, job_id: str) -> ExportWork | None:
        """Return the export of a result that was handed on and has not ended, None if unknown."""
        account = self._accounts.get(name)
        works = () if account is None else account.works
        return next((work for work in works if job_id in work.handed), None)

    def _oldest(self) -> tuple[ExportWork, PageRow] | None:
        found = [
            (work, page)
            for account in self._accounts.values()
            if account.undownloading is None
            and sum(len(work.handed) for work in account.works) < MOST_HANDED_ON
            for work in account.live
            for page in work.pages.values()
            if page.state == "READY" and page.job_id not in work.handed
        ]
        return min(found, key=lambda pair: _expiry(pair[1]), default=None)


def _expiry(page: PageRow) -> tuple[float, int, int]:
    return page.ready_at or 0.0, page.number, page.chain

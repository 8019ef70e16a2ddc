"""The workers of a run, one for each account that has something to fetch, and what they share.

Made when the list first shows a job that is not done. A run without one needs none of this, nor
the modules that come with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence

import anyio.abc

from bulkfetch.errors import AccountError, DiskFull
from bulkfetch.events import Emit, Event
from bulkfetch.journal import Journal
from bulkfetch.pipeline.account import AccountWorker
from bulkfetch.pipeline.active_job import AccountAccess
from bulkfetch.pipeline.dispatch import StagingBudget
from bulkfetch.pipeline.layout import OutputLayout
from bulkfetch.pipeline.outcomes import OutcomeSink
from bulkfetch.pipeline.publish import DestinationOf, Publisher, PublishOptions
from bulkfetch.pipeline.source import JobSource

# Takes the ids of an account's jobs that nobody fetches any more, and why.
LeftSink = Callable[[str, Sequence[str], AccountError], None]


class AccountWorkers:
    """The workers of one run, in a task group of the run; `workers` has them.

    `budget` counts what complete ZIPs hold in staging.
    `leftovers` are the keys of jobs with a body in staging from a dead run. `threads` extract at
    once, `staging_bytes` may complete ZIPs hold in staging, and `lacking_room` says why the disk
    has no room for more. `open_account` and `open_source` raise AccountError where nothing can be
    fetched for an account; of the latter an account's jobs come, without it from the journal.

    What an ended account leaves stays in the list, for its end to tell. With `left` it leaves the
    list at once and is told there, and the account is asked again for jobs that come later, once
    nothing of it is under way.
    """

    def __init__(
        self,
        journal: Journal,
        layout: OutputLayout,
        leftovers: frozenset[str],
        destination_of: DestinationOf,
        options: PublishOptions,
        *,
        threads: int,
        staging_bytes: int,
        lacking_room: Callable[[], DiskFull | None],
        open_account: Callable[[str], Awaitable[AccountAccess]],
        open_source: Callable[[str], Awaitable[JobSource]] | None = None,
        job_finished: OutcomeSink,
        left: LeftSink | None = None,
        emit: Emit,
    ) -> None:
        self.workers: dict[str, AccountWorker] = {}
        self._journal = journal
        self._layout = layout
        self._leftovers = leftovers
        self._open_account = open_account
        self._open_source = open_source
        self._job_finished = job_finished
        self._emit = emit
        self._left = left
        self._refused: dict[str, AccountError] = {}
        self._over: set[str] = set()
        self.budget = StagingBudget(staging_bytes, lacking_room)
        self.publisher = Publisher(journal, layout, destination_of, options, threads)

    def ended(self, account: str) -> AccountError | None:
        """Return why nothing more can be fetched for an account; None as long as something can."""
        worker = self.workers.get(account)
        return worker.ended if worker else self._refused.get(account)

    async def more(self, account: str, tasks: anyio.abc.TaskGroup) -> None:
        """Note that the journal has got jobs for an account; the first starts its worker."""
        if self._left is not None and account in self._over:
            self._forget(account)
        if account in self._refused:
            return
        if account not in self.workers:
            try:
                self.workers[account] = await self._open(account)
            except AccountError as error:
                self._refused[account] = error
                self._over.add(account)
                data = {"code": error.code, "hint": error.hint}
                self._emit(Event("account_ended", error.message, account, data=data))
                await self._leave(account, error)
                return
            tasks.start_soon(self._run, self.workers[account])
        worker = self.workers[account]
        if worker.ended is None:
            worker.more()
        else:
            await self._leave(account, worker.ended, worker.started)

    async def _open(self, account: str) -> AccountWorker:
        """Return a new worker, to be run. Raises AccountError."""
        access = await self._open_account(account)
        return AccountWorker(
            access,
            self._journal,
            self.publisher,
            self._layout,
            self.budget,
            self._job_finished,
            self._emit,
            source=None if self._open_source is None else await self._open_source(account),
            leftovers=self._leftovers,
            on_end=self._leave,
        )

    async def _run(self, worker: AccountWorker) -> None:
        await worker.run()
        if worker.ended is not None:  # what was under way may have come back
            await self._leave(worker.account, worker.ended)
            self._over.add(worker.account)

    async def _leave(
        self, account: str, error: AccountError, started: Collection[int] = ()
    ) -> None:
        """Tell whoever waits for jobs of an account that has ended, but those under way."""
        if self._left is not None:
            self._left(account, await self._journal.leave(account, started), error)

    def _forget(self, account: str) -> None:
        self._over.discard(account)
        self._refused.pop(account, None)
        self.workers.pop(account, None)

    def list_ended(self) -> None:
        """Note that no more jobs will come: each worker ends with those it has."""
        for worker in self.workers.values():
            worker.dispatcher.list_ended()

    def stop(self) -> None:
        """Start no more jobs; what is under way goes on."""
        for worker in self.workers.values():
            worker.stop()

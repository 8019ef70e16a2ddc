"""The beginning of exports: checked before a credit is spent, gone on with, or begun.

What is decided is in `beginning`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

import anyio.to_thread

from bulkfetch.config import Export
from bulkfetch.errors import (
    AccountError,
    BulkfetchError,
    ExportLost,
    JobError,
    PublishConflict,
)
from bulkfetch.events import Event
from bulkfetch.exporter.accounts import AccountState, over_at
from bulkfetch.exporter.again import begin_again
from bulkfetch.exporter.beginning import (
    being_published,
    done_earlier,
    first_step,
    folders_to_keep,
    giving_up,
    goes_on,
    new_generation,
    publishes_first,
)
from bulkfetch.exporter.context import ExportContext
from bulkfetch.exporter.finishing import fields_of, finish
from bulkfetch.exporter.work import ExportWork
from bulkfetch.exports import chain
from bulkfetch.exports.chain import Step
from bulkfetch.exports.changes import Committed
from bulkfetch.exports.publication import (
    discard,
    is_described,
    is_published,
    prepare,
    remove_abandoned,
    require_home,
    require_unshared,
)
from bulkfetch.exports.published import target_of
from bulkfetch.journal import ExportStore, PageRow, StoredExport
from bulkfetch.models import ExportReport, Failure, Outcome, Status
from bulkfetch.pipeline.idle_jobs import are_missing

if TYPE_CHECKING:
    from bulkfetch.control.client import ControlClient
    from bulkfetch.destination import ExportDestination
    from bulkfetch.exports.metadata import Metadata

# Checks an export against the metadata of its account, once each is asked.
Check = Callable[[Export], Awaitable["Metadata"]]


class ExportPlaces(Protocol):
    """Where exports are published. Blocking."""

    def new(self, bucket: str | None) -> ExportDestination:
        """Return where an export that begins is to be published. Raises ConfigError, RunError.

        `bucket` is the URL of the place that the settings name, None where they name none.
        """

    def of(self, name: str, folder: str) -> ExportDestination:
        """Return where one is being published, by its folder as the journal has it.

        Raises ConfigError, RunError.
        """


class Starter:
    """Begins exports. The rest as for `Exporter`."""

    def __init__(
        self,
        context: ExportContext,
        store: ExportStore,
        accounts: dict[str, AccountState],
        *,
        open_control: Callable[[str], Awaitable[ControlClient]],
        open_check: Callable[[ControlClient], Check],
        destinations: ExportPlaces,
    ) -> None:
        self._context = context
        self._store = store
        self._accounts = accounts
        self._open_control = open_control
        self._open_check = open_check
        self._destinations = destinations
        self._checks: dict[str, Check] = {}  # by account

    async def begin(self, works: list[ExportWork]) -> list[ExportWork]:
        """Check all exports that begin anew; then go on with, or begin, each.

        Returns those that an earlier call of the same command has committed. An export that cannot
        begin now has its report. Raises ConfigError for what does not fit its module, RunError.
        """
        names = [work.name for work in works]
        stored = await self._store.load(names)
        for work in works:
            if publishes_first(stored.get(work.name), full=self._context.full):
                await self._publish_first(work, stored[work.name])
        stored = await self._store.load(names)
        skipped = done_earlier(stored, full=self._context.full)
        live = [work for work in works if work.name not in skipped]
        for work in works:
            if work.account not in self._accounts:
                self._accounts[work.account] = AccountState(work.account, self._context)
            self._accounts[work.account].works.append(work)
        for work in live:
            if work.report is None:
                await self._check(work, stored.get(work.name))
        rows = await self._store.begin([(work.name, work.account) for work in live])
        for work in live:
            work.row = rows[work.name]
            if work.report is None:
                await self._begin(work, stored.get(work.name))
            if work.report is not None:
                await work.note_end()
        left = [work for work in works if work.name in skipped]
        for work in left:
            known = stored[work.name]
            assert known.generation is not None, "one was committed"
            work.row = known.row
            work.take_up(known.generation, known.pages)
        return left

    async def _publish_first(self, work: ExportWork, known: StoredExport) -> None:
        """Publish the changes that were being published. Raises ConfigError, RunError."""
        generation = known.generation
        assert generation is not None, "it is being published"
        assert generation.folder is not None, "known before it is PUBLISHING"
        open_it = partial(self._destinations.of, work.name, generation.folder)
        work.publish_in(await anyio.to_thread.run_sync(open_it))
        work.row = known.row
        work.take_up(generation, known.pages)
        try:
            await finish(work)
        except ExportLost as error:
            work.tell("note", f"{error.message}: the full export takes its place")
        except PublishConflict as error:
            work.end(_not_begun(work, "failed", error))
        work.put_down()

    async def _check(self, work: ExportWork, known: StoredExport | None) -> None:
        """Open an export's account, and check it if it begins anew. Raises ConfigError."""
        account = self._accounts[work.account]
        try:
            destination = await anyio.to_thread.run_sync(self._destination, work, known)
            work.publish_in(destination)
            await anyio.to_thread.run_sync(require_home, destination, work.name)
            if not self._goes_on(work, known):
                await self._require_unshared(work, known)
            if account.ended is not None:
                return
            work.use(await self._open_control(work.account))
            if self._goes_on(work, known):
                return
            if account.name not in self._checks:
                self._checks[account.name] = self._open_check(work.control)
            found = await self._checks[account.name](work.export)
            work.fields = found.fields
            for warning in found.warnings:
                self._context.emit(Event("note", warning, account.name))
        except AccountError as error:
            account.end(error)
        except PublishConflict as error:
            work.end(_not_begun(work, "failed", error))
        except JobError as error:  # the metadata cannot be had now
            work.end(_not_begun(work, "pending", error), over_at(error))

    async def _require_unshared(self, work: ExportWork, known: StoredExport | None) -> None:
        """Raise PublishConflict where another output folder publishes in the export's place."""
        committed = known.row.committed if known else None
        look = partial(
            require_unshared,
            work.destination,
            work.name,
            account=work.account,
            module=work.export.module,
            last=None if committed is None else Committed.of_text(committed).folder,
        )
        if await anyio.to_thread.run_sync(look):
            text = "latest.json names an export of another output folder, whose place it takes"
            work.tell("note", text)

    def _destination(self, work: ExportWork, known: StoredExport | None) -> ExportDestination:
        folder = being_published(known) if self._goes_on(work, known) else None
        if folder is not None:
            return self._destinations.of(work.name, folder)
        return self._destinations.new(work.bucket)

    def _goes_on(self, work: ExportWork, known: StoredExport | None) -> bool:
        full = self._context.full
        return known is not None and goes_on(known, work.export, work.account, full=full)

    async def _begin(self, work: ExportWork, known: StoredExport | None) -> None:
        keeps = self._goes_on(work, known)
        keep = folders_to_keep(known if keeps else None)
        await anyio.to_thread.run_sync(remove_abandoned, work.folders, keep)
        if known is not None and keeps:
            assert known.generation is not None, "it goes on with one"
            work.take_up(known.generation, known.pages)
            await self._reopen(work)
            return
        error = self._accounts[work.account].ended
        if error is not None:
            work.end(_not_begun(work, "pending", error))
            return
        now = self._context.now()
        full = self._context.full
        step = first_step(work.export, work.account, known, work.fields, full=full, now=now)
        await work.begin(new_generation(work, step, now), giving_up(known))
        work.tell("export_begun", f"{step.mode}: {step.why}")
        await anyio.to_thread.run_sync(prepare, work.folders, work.hidden)

    async def _reopen(self, work: ExportWork) -> None:
        """Take over what an earlier command has left, and what its downloads have come to.

        In a fleet that was perhaps on another host: what is not here is fetched again.
        """
        if work.generation.state == "PUBLISHING":
            if await self._can_be_published(work):
                return
            await work.write_rows(replace(work.generation, state="ACTIVE"))
        step = chain.reopen(work.pages.values())
        if step.restart:
            await begin_again(work, work.ordered[0], step.restart)
            return
        if step.pages:
            await work.write(step)
        if work.typed and work.fields is None and work.can_ask:
            work.fields = await fields_of(work)
        await anyio.to_thread.run_sync(prepare, work.folders, work.hidden)
        for page in list(work.pages.values()):
            if page.state in ("READY", "COUNTED"):
                await self._look_for(work, page)

    async def _can_be_published(self, work: ExportWork) -> bool:
        """Return whether an export that was being published needs nothing but that.

        What is here of one that is published already is removed: it may be less than all.
        """
        folder = work.generation.folder
        assert folder is not None, "known before it is PUBLISHING"
        there = partial(is_published, work.destination, work.name, target_of(folder))
        if await anyio.to_thread.run_sync(there):
            await anyio.to_thread.run_sync(discard, work.folders, work.hidden)
            return True
        if not await anyio.to_thread.run_sync(is_described, work.folders, work.hidden):
            return False
        for page in work.pages.values():
            if not await self._is_here(work, page, await self._outcome(work, page)):
                return False
        return True

    async def _look_for(self, work: ExportWork, page: PageRow) -> None:
        """Take over a page that has been downloaded here; have it fetched again if it is gone."""
        outcome = await self._outcome(work, page)
        is_here = await self._is_here(work, page, outcome)
        if page.state == "COUNTED":
            if is_here:
                return
            page = chain.not_here(page, 0 if outcome is None else outcome.attempts)
            await work.write(Step((page,)))
            is_here = await self._is_here(work, page, outcome)
        if is_here:
            assert outcome is not None, "it has files"
            await work.downloaded(page, outcome)
        elif outcome is not None and outcome.status == "done":
            assert page.job_id is not None, "only a created page is ready"
            work.lost.add(page.job_id)

    async def _outcome(self, work: ExportWork, page: PageRow) -> Outcome | None:
        assert page.job_id is not None, "only a created page is ready"
        return await self._store.outcome(work.account, page.job_id)

    async def _is_here(self, work: ExportWork, page: PageRow, outcome: Outcome | None) -> bool:
        """Return whether the files of a page are here as they are wanted, by its job's outcome.

        Those that are counted have to be the very same: another host's may differ.
        """
        if outcome is None or outcome.status != "done":
            return False
        found = chain.page_files(outcome)
        if not work.is_as_wanted(file.name for file in found):
            return False
        if page.state == "COUNTED" and page.files != found:
            return False
        missing = partial(are_missing, outcome.files, self._context.layout)
        return not await anyio.to_thread.run_sync(missing)


def _not_begun(work: ExportWork, status: Status, error: BulkfetchError) -> ExportReport:
    return ExportReport(work.name, work.account, status, error=Failure.of(error))

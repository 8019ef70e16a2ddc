"""Several exports, brought to their ends or to a stop: pages in front of a run of downloads,
outcomes behind it.

The journal is the state: each step is written before the next depends on it, and a command that is
killed anywhere is gone on with by the next one. Here nothing is decided: `exports.chain` says what
becomes of a page.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import anyio.abc
import anyio.to_thread

from bulkfetch.errors import (
    AccountError,
    BulkfetchError,
    CreditsSpent,
    ExportLost,
    JobError,
)
from bulkfetch.events import Emit, Event
from bulkfetch.exporter.accounts import AccountState, over_at
from bulkfetch.exporter.again import begin_again
from bulkfetch.exporter.asking import Asker
from bulkfetch.exporter.context import ExportContext
from bulkfetch.exporter.creating import TRY_AGAIN_S, Creator
from bulkfetch.exporter.finishing import finish
from bulkfetch.exporter.ready import ReadyPages
from bulkfetch.exporter.starting import Check, ExportPlaces, Starter
from bulkfetch.exporter.totals import phase, report_of, totals
from bulkfetch.exporter.wanted import WantedExport
from bulkfetch.exporter.work import ExportWork
from bulkfetch.exports import chain
from bulkfetch.exports.chain import Step
from bulkfetch.journal import ExportStore, Journal
from bulkfetch.models import ColumnType, ExportReport, Failure, Job, Report, Status
from bulkfetch.pipeline.engine import Engine, OpenJournal
from bulkfetch.pipeline.layout import OutputLayout
from bulkfetch.pipeline.run import DownloadEngine

if TYPE_CHECKING:
    from bulkfetch.control.client import ControlClient
    from bulkfetch.pipeline.progress import Progress


# Returns the types of the columns of a result, by name.
TypesOf = Callable[[Job], Mapping[str, ColumnType]]


class Exporter(Engine):
    """Does exports. `ExportRun` is the caller's handle on it."""

    def __init__(
        self,
        wanted: Sequence[WantedExport],
        layout: OutputLayout,
        *,
        open_journal: OpenJournal,
        open_store: Callable[[Journal], ExportStore],
        open_control: Callable[[str], Awaitable[ControlClient]],
        open_check: Callable[[ControlClient], Check],
        destinations: ExportPlaces,
        open_run: Callable[[AsyncIterable[Job], Journal, TypesOf], DownloadEngine],
        emit: Emit,
        full: bool,
        wait_s: float | None,
        previous: Engine | None,
        wall: Callable[[], float],
    ) -> None:
        """Use `Client.export`.

        `open_store` opens what keeps how far exports have come. `open_control` makes a client for
        an export's control calls, of its account; `open_check` one that checks exports of an
        account against its metadata, and raises ConfigError where they do not fit. `open_run` has
        a list of results downloaded. `full`: all of them in full.
        `wait_s` is how long to wait for results that are being prepared, None for as long as Zoho
        keeps them.
        """
        super().__init__(layout, open_journal, previous)
        self._wanted = wanted
        self._open_store = open_store
        self._open_control = open_control
        self._open_check = open_check
        self._destinations = destinations
        self._open_run = open_run
        self._context = ExportContext(
            layout,
            emit,
            self._report_outcome,
            full=full,
            deadline=self._started + (float("inf") if wait_s is None else wait_s),
            wall=wall,
            stopping=self._stopping.is_set,
        )
        self._accounts: dict[str, AccountState] = {}
        self._askers: dict[str, Asker] = {}
        self._works: list[ExportWork] = []
        self._ready = ReadyPages(self._accounts, self._context)
        self._downloads: DownloadEngine | None = None

    # --- for the reader, and for the client ------------------------------------------------------

    def ended_exports(self) -> list[ExportReport]:
        """Return what became of those that have ended, in the order of the call."""
        return [work.report for work in self._works if work.report is not None]

    def go_on_s(self) -> dict[str, float | None]:
        """Return in how many seconds each export that is pending can go on, None if unknown."""
        now = anyio.current_time()
        left = (each for each in self._works if each.report and each.report.status == "pending")
        times = {work.name: work.goes_on_at for work in left}
        return {name: None if at is None else max(0.0, at - now) for name, at in times.items()}

    def stop(self) -> None:
        """Create and ask for nothing more, finish what is under way, then end."""
        super().stop()
        if self._downloads is not None:
            self._downloads.stop()
        self._context.touch()

    def abandon(self) -> None:
        """Ask for nothing more and end within a second: nobody reads any more."""
        super().abandon()
        if self._downloads is not None:
            self._downloads.abandon()

    def heard(self, event: Event) -> None:
        """Take in an event of the run of downloads."""
        account = self._accounts.get(event.account or "")
        if account is None or self._downloads is None:
            return
        if event.kind == "account_ended":
            account.undownloading = self._downloads.account_ended(account.name)
            self._context.touch()
        elif event.kind == "window_closed":
            account.window_refused = True
            self._context.touch()

    def progress(self) -> Progress | None:
        """Return where the downloads stand, None before there is one."""
        if self._downloads is None:
            return None
        live = (work for work in self._works if work.begun and work.report is None)
        return self._downloads.progress()._replace(exports=tuple(map(phase, live)))

    # --- the work itself -------------------------------------------------------------------------

    async def _all(self) -> None:
        self._opened = await self._open_journal()
        await self._begin()
        if not any(work.report is None for work in self._works):
            return
        downloads = self._downloads = self._open_run(
            self._ready, self._journal, self._ready.types_of
        )
        if self._stopping.is_set():
            downloads.stop()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(downloads.work)
            tasks.start_soon(self._collect, downloads)
            async with anyio.create_task_group() as steps:
                steps.start_soon(self._drain_when_stopped, steps.cancel_scope)
                for asker in self._askers.values():
                    steps.start_soon(asker.run)
                for work in self._works:
                    steps.start_soon(Creator(work, self._accounts[work.account]).run)
                await self._settle_all(downloads, steps)
                steps.cancel_scope.cancel()
            self._ready.close()
            self._context.touch()
            await downloads.wait_ended()
            self._context.touch()

    async def _drain_when_stopped(self, steps: anyio.CancelScope) -> None:
        await self._stopping.wait()
        await self._let_drain()
        steps.cancel()

    async def _end_all(self) -> None:
        try:
            await self._tell_unended()
        except BulkfetchError as error:
            self._broken_by(error)
        await super()._end_all()

    async def _tell_unended(self) -> None:
        """Tell of the exports that have not ended."""
        if self._crash is None:
            cause = Failure.of(self._aborted) if self._aborted else None
            for work in self._works:
                if work.report is None and work.begun:
                    await self._end(work, "pending", cause)

    async def _begin(self) -> None:
        """Check what is to begin, and begin it or go on with it. Raises ConfigError."""
        store = self._open_store(self._journal)
        starter = Starter(
            self._context,
            store,
            self._accounts,
            open_control=self._open_control,
            open_check=self._open_check,
            destinations=self._destinations,
        )
        self._works = [ExportWork(each, store, self._context) for each in self._wanted]
        for work in await starter.begin(self._works):
            await self._tell_skipped(work)
        self._askers = {name: Asker(account) for name, account in self._accounts.items()}

    # --- outcomes --------------------------------------------------------------------------------

    async def _collect(self, downloads: DownloadEngine) -> None:
        """Take what became of the downloads, to the end of their run. Raises RunError."""
        with suppress(StopAsyncIteration):
            while True:
                outcome = await downloads.next()
                found = self._ready.take_back(outcome)
                if found is not None:
                    work, page = found
                    if page is not None:
                        await work.downloaded(page, outcome)
                    elif outcome.status != "pending":  # the export has begun again since
                        await work.forget(outcome)
                self._context.touch()

    # --- ends ------------------------------------------------------------------------------------

    async def _settle_all(self, downloads: DownloadEngine, steps: anyio.abc.TaskGroup) -> None:
        """Return when every export has ended. Raises RunError."""
        while True:
            change = self._context.change  # of before the look, which takes its time
            for work in self._works:
                if work.report is None and not work.finishing:
                    await self._settle(work, downloads, steps)
            if all(work.report is not None for work in self._works):
                return
            await change.wait()

    async def _settle(
        self, work: ExportWork, downloads: DownloadEngine, steps: anyio.abc.TaskGroup
    ) -> None:
        account, asker = self._accounts[work.account], self._askers[work.account]
        held = any((account.uncreating, account.ended, work.refused))
        held = held or account.pause_until > self._context.deadline
        match chain.standing(
            work.pages.values(),
            creating=not (held or self._stopping.is_set() or asker.is_full),
            polling=asker.asks(work),
            downloading=account.undownloading is None and not downloads.ended,
        ):
            case "complete" if account.ended is not None and not work.can_ask:
                await self._end(work, "pending", Failure.of(account.ended))
            case "complete":
                work.finishing = True
                steps.start_soon(self._finish, work)
            case "failed":
                await self._end(work, "failed", work.failure())
            case "stuck":
                error = None if self._stopping.is_set() else account.why_stuck(work)
                cause = Failure.of(error) if error else None
                at = account.goes_on_at(work, asker.asks_at(work))
                await self._end(work, "pending", cause, at)

    async def _finish(self, work: ExportWork) -> None:
        """Publish a complete export, or note why it cannot be. Raises RunError."""
        while True:
            try:
                report = await finish(work)
            except ExportLost as error:
                await begin_again(work, work.ordered[0], error.message)
                work.finishing = False
                self._context.touch()
            except (CreditsSpent, AccountError) as error:
                await self._end(work, "pending", Failure.of(error), over_at(error))
            except JobError as error:
                wait_s = getattr(error, "retry_after_s", TRY_AGAIN_S)
                waits = error.retryable and work.patience > 0 and not self._stopping.is_set()
                if waits and anyio.current_time() + wait_s <= self._context.deadline:
                    work.patience -= 1
                    await anyio.sleep(wait_s)
                    continue
                status: Status = "pending" if error.retryable else "failed"
                at = anyio.current_time() + wait_s
                await self._end(work, status, Failure.of(error), at)
            else:
                work.end(report)
            return

    async def _end(
        self,
        work: ExportWork,
        status: Status,
        error: Failure | None,
        goes_on_at: float | None = None,
    ) -> None:
        """Note that nothing more becomes of an export in this command, and tell of its pages."""
        report = report_of(work, status, error)
        await work.write(Step(), end=report)  # also what has been spent since
        for page in work.ordered:
            if page.job_id is not None and page.state != "FAILED":
                await self._report_outcome(work.outcome_of(page, work.generation))
        work.end(report, goes_on_at)

    async def _tell_skipped(self, work: ExportWork) -> None:
        """Tell of an export that an earlier call of the same command has committed."""
        report = report_of(work, "done", skipped=True)
        for part in report.parts:
            await self._report_outcome(replace(part, skipped=True))
        work.end(report)

    def _sum_up(self) -> Report:
        run = Report() if self._downloads is None else self._downloads.so_far()
        return replace(
            totals(run, self._works, self._aborted),
            elapsed_s=anyio.current_time() - self._started,
            interrupted=self._stopping.is_set(),
            list_read=len(self.ended_exports()) == len(self._wanted),
            failures=tuple(self._outcomes.failures),
        )

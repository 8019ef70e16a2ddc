"""What a client's runs are made of: the settings' values, put into the rooms that take plain ones.

Settings stop here. What only requests need is imported when there is something to ask.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from bulkfetch.clock import MACHINE_CLOCK
from bulkfetch.config import Settings, job_of
from bulkfetch.config.regions import results_servers
from bulkfetch.destinations import Destinations, ExportDestinations, claimed_names
from bulkfetch.events import Emit, Event
from bulkfetch.job_forms import forms_of, forms_of_part
from bulkfetch.journal import ExportStore, Journal, RunPace
from bulkfetch.models import ColumnType, Forms, Job
from bulkfetch.pipeline.engine import Engine, OpenJournal
from bulkfetch.pipeline.layout import STATE_DIR, OutputLayout
from bulkfetch.pipeline.outcomes import OutcomeSink
from bulkfetch.pipeline.preflight import lacking_room
from bulkfetch.pipeline.run import DownloadEngine, Jobs, OpenWorkers
from bulkfetch.pipeline.source import JobSource, WaitLimit
from bulkfetch.services import Services

if TYPE_CHECKING:
    from bulkfetch.access import AccountOpener
    from bulkfetch.control.client import ControlClient
    from bulkfetch.exporter.exporter import Exporter
    from bulkfetch.exporter.starting import Check
    from bulkfetch.exporter.wanted import WantedExport
    from bulkfetch.pipeline.accounts import AccountWorkers, LeftSink


class Wiring:
    """Makes what one client does, from what the client was given.

    `emit` is the caller's callback; `tell` tells what is under way first; `services` is what the
    caller has handed in. Accounts are opened when something is asked, and closed by `aclose`.
    """

    def __init__(
        self,
        settings: Settings,
        layout: OutputLayout,
        emit: Emit,
        tell: Emit,
        services: Services,
    ) -> None:
        self._settings = settings
        self._layout = layout
        self._emit = emit
        self._tell = tell
        self._services = services
        self._accounts: AccountOpener | None = None

    async def aclose(self) -> None:
        """Close what accounts are asked through; later runs open it anew."""
        accounts, self._accounts = self._accounts, None
        if accounts is not None:
            await accounts.aclose()

    def let_go(self) -> None:
        """Close what can be closed without being awaited."""
        if self._accounts is not None:
            self._accounts.let_go()

    # --- runs ------------------------------------------------------------------------------------

    def downloads(
        self, jobs: Jobs, *, only_new: bool, wait_s: float, previous: Engine | None
    ) -> DownloadEngine:
        """Return what downloads a list; it waits up to `wait_s` for results to be prepared."""
        limit = WaitLimit.of(wait_s) if wait_s else None
        workers = partial(self._workers, limit=limit)
        return self._downloads(jobs, self._journal, workers, only_new=only_new, previous=previous)

    def fed_downloads(self, previous: Engine | None, jobs: Jobs, left: LeftSink) -> DownloadEngine:
        """Return what downloads jobs that come one by one, each awaited by somebody.

        `left` is told of those of an account that has ended.
        """
        return self._downloads(
            jobs,
            partial(self._journal, fed=True),
            partial(self._workers, left=left),
            fed=True,
            previous=previous,
        )

    def exporter(
        self,
        wanted: Sequence[WantedExport],
        *,
        full: bool,
        wait_s: float | None,
        previous: Engine | None,
    ) -> Exporter:
        """Return what does exports; None: it waits for as long as Zoho keeps results."""
        from bulkfetch.exporter.exporter import Exporter

        return Exporter(
            wanted,
            self._layout,
            open_journal=self._journal,
            open_store=self._export_store,
            open_control=self.control,
            open_check=self._check,
            destinations=ExportDestinations(
                self._settings, self._layout, self._services.destination
            ),
            open_run=self._part_downloads,
            emit=self._emit,
            full=full,
            wait_s=wait_s,
            wall=(self._services.clock or MACHINE_CLOCK).time,
            previous=previous,
        )

    def _part_downloads(
        self,
        jobs: Jobs,
        journal: Journal,
        types_of: Callable[[Job], Mapping[str, ColumnType]],
    ) -> DownloadEngine:
        """Return what downloads the results of exports, with their journal.

        `types_of` tells the types of the columns of a result.
        """

        async def opened() -> Journal:
            return journal

        forms = partial(forms_of_part, self._settings, types_of)
        workers = partial(self._workers, emit=self._tell, part_forms=forms)
        return self._downloads(jobs, opened, workers, close_journal=False)

    def _downloads(
        self, jobs: Jobs, open_journal: OpenJournal, open_workers: OpenWorkers, **options: Any
    ) -> DownloadEngine:
        """Return what downloads a list; `options` are the `DownloadEngine`'s own."""
        return DownloadEngine(
            jobs,
            self._layout,
            open_journal=open_journal,
            open_workers=open_workers,
            as_job=partial(job_of, self._settings),
            accounts=self._settings.account_names,
            names=partial(claimed_names, self._services.destination, self._settings),
            emit=self._emit,
            **options,
        )

    # --- what they are made of -------------------------------------------------------------------

    async def _journal(self, *, fed: bool = False) -> Journal:
        """Open the folder's journal for a new run. Raises RunError; ConfigError where results of an
        account are of another server. If cancelled: it is closed.
        """
        # Named as the user named it, so that reported paths are.
        windows = {account.name: account.window for account in self._settings.accounts}
        paces = {
            name: RunPace(window.requests, window.period_s + window.margin_s)
            for name, window in windows.items()
        }
        servers = results_servers(self._settings.accounts)
        folder = self._settings.out / STATE_DIR
        journal = await Journal.open(folder, paces, servers=servers, fed=fed)
        if journal.afresh is not None:
            self._emit(Event("note", journal.afresh))
        return journal

    def _export_store(self, journal: Journal) -> ExportStore:
        """Return where it is kept how far exports have come."""
        given = self._services.exports
        return journal.exports if given is None else given(journal.exports)

    async def control(self, account: str) -> ControlClient:
        """Return a new client for an account's control calls. Raises AccountError, ConfigError."""
        accounts = await self._open_accounts()
        await _import("bulkfetch.control.budget", "bulkfetch.control.client")
        return await accounts.control(account)

    def _check(self, control: ControlClient) -> Check:
        """Return what checks an export against the service's metadata."""
        from bulkfetch.exports.metadata import MetadataReader

        return partial(MetadataReader(control).check, settings=self._settings)

    async def _source(
        self,
        limit: WaitLimit,
        journal: Journal,
        leftovers: frozenset[str],
        job_finished: OutcomeSink,
        account: str,
    ) -> JobSource:
        """Return where an account's jobs come from in a run that waits for them."""
        control = await self.control(account)
        from bulkfetch.waiting import ReadySource

        return ReadySource(
            account,
            journal,
            control.status,
            limit,
            is_staged=lambda entry: OutputLayout.key(entry.job) in leftovers,
            job_finished=job_finished,
            emit=self._emit,
            counts=self._settings.records,
        )

    async def _workers(
        self,
        journal: Journal,
        leftovers: frozenset[str],
        job_finished: OutcomeSink,
        *,
        limit: WaitLimit | None = None,
        left: LeftSink | None = None,
        emit: Emit | None = None,
        part_forms: Callable[[Job], Forms] | None = None,
    ) -> AccountWorkers:
        """Return what fetches, once there is something to fetch.

        `limit`: for how long results are waited for, None for not at all. `part_forms` has what
        parts of exports are published as, None where the jobs are none.
        """
        accounts = await self._open_accounts()
        from bulkfetch.archive import ExtractLimits
        from bulkfetch.pipeline.accounts import AccountWorkers
        from bulkfetch.pipeline.publish import PublishOptions

        destinations = Destinations(self._settings, self._layout, self._services.destination)
        if part_forms is None:  # parts of exports are published in the folder
            await anyio.to_thread.run_sync(destinations.open)  # before a request is spent
        limits, open_source = self._settings.limits, None
        if limit is not None:
            open_source = partial(self._source, limit, journal, leftovers, job_finished)
        return AccountWorkers(
            journal,
            self._layout,
            leftovers,
            destinations.of,
            PublishOptions(
                ExtractLimits(file_bytes=limits.file_bytes, reserve_bytes=limits.free_bytes),
                keep_zip=self._settings.keep_zip,
                sha256=self._settings.sha256,
                quarantine_bytes=limits.quarantine_bytes,
                overwrite=self._settings.overwrite,
                records=self._settings.records,
                forms=part_forms or partial(forms_of, self._settings),
            ),
            threads=limits.threads or os.cpu_count() or 1,
            staging_bytes=limits.staging_bytes,
            lacking_room=lambda: lacking_room(self._layout.out, limits.free_bytes),
            open_account=accounts.results,
            open_source=open_source,
            job_finished=job_finished,
            left=left,
            emit=emit or self._emit,
        )

    async def _open_accounts(self) -> AccountOpener:
        """Return what the accounts are asked through; once, until `aclose`."""
        await _import("bulkfetch.access", "bulkfetch.pipeline.accounts")
        from bulkfetch.access import AccountOpener

        if self._accounts is None:
            self._accounts = AccountOpener(self._settings, self._tell, self._services)
        return self._accounts


async def _import(*modules: str) -> None:
    """Import what only some runs need: in a thread, since it takes up to tenths of a second."""
    for module in modules:
        await anyio.to_thread.run_sync(import_module, module)

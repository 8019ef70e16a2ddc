"""The library's front door: settings in, outcomes out.

Nothing here configures logging, installs a signal handler or ends the process.
"""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Coroutine
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import anyio
import anyio.to_thread

from bulkfetch.clock import Clock
from bulkfetch.config import Settings, job_of
from bulkfetch.disk import disk_error
from bulkfetch.events import Emit, Event, harmless, ignore, logged
from bulkfetch.journal import OutputLock
from bulkfetch.models import Failure, Job, Outcome, Report
from bulkfetch.pipeline.engine import Engine
from bulkfetch.pipeline.handle import Run
from bulkfetch.pipeline.layout import STATE_DIR, OutputLayout
from bulkfetch.pipeline.listing import check_list
from bulkfetch.pipeline.preflight import require_writable
from bulkfetch.pipeline.refusal import refusal
from bulkfetch.pipeline.run import Jobs
from bulkfetch.readiness import require_usable
from bulkfetch.services import CommonWindows, OpenExports, Services
from bulkfetch.single import SingleResults
from bulkfetch.tasks import ClientTasks
from bulkfetch.wiring import Wiring

if TYPE_CHECKING:
    import aiohttp

    from bulkfetch.config import Export
    from bulkfetch.control.responses import JobStatus
    from bulkfetch.destination import Destination
    from bulkfetch.exporter.handle import ExportRun
    from bulkfetch.zoho.token_provider import TokenProvider

# Silent until the program says otherwise; without it Python writes warnings to stderr.
logging.getLogger("bulkfetch").addHandler(logging.NullHandler())


class Client:
    """Brings results home into one output folder. An async context manager.

    Several clients may live side by side in one event loop, each with its own output folder; those
    that share an account share its window. Entering takes the folder's lock. A client may be
    entered in one task and left in another, and used again after it was left; leaving it twice does
    no harm. What it has under way is its own: cancelling the task that entered it ends nothing.

    Raises on entering: ConfigError (settings that cannot work; nothing was made or started),
    OutputLocked, NotWritable, DiskFull; RuntimeError where it is open already.
    If cancelled: requests under way are dropped and their slots settled; what was complete stays in
    staging; nothing half-done is ever under a final name; the same list goes on later.
    """

    # None: not open. Here, for one that could not be made.
    _lock: OutputLock | None = None
    # Since it was opened; what fetches single results, once one is asked for or `stop` was called.
    _loop: asyncio.AbstractEventLoop
    _single: SingleResults | None = None

    def __init__(
        self,
        settings: Settings,
        *,
        on_event: Emit = ignore,
        tokens: TokenProvider | None = None,
        connector: aiohttp.BaseConnector | None = None,
        clock: Clock | None = None,
        destination: Destination | None = None,
        windows: CommonWindows | None = None,
        exports: OpenExports | None = None,
    ) -> None:
        """Take settings as they are; `on_event` is called in the loop, and must not block.

        An Exception that `on_event` raises is told once, to the logger `bulkfetch`, and changes
        nothing; it is called again for the next event. Any other BaseException breaks the run off
        and is raised where the run is iterated. Events also go to the logger `bulkfetch`: trouble
        as warnings, all else at the level DEBUG, where that is enabled when the client is made.

        What is handed in serves every account but those of the built-in sandbox, is used in the
        loop in which the client is entered, and stays open when it is left. `tokens` gives the
        access tokens. Through `connector`, such as that of an aiohttp session, all requests go;
        redirects, cookies, proxies and time limits are the client's. `clock` is what is read beside
        the loop's time; such a client shares no window and no token with other processes.
        `destination` is where results are published, and exports without a publish_to of their own
        if it is an `ExportDestination`; it is called in worker threads. `windows` are shared with
        other clients, in place of `[window] shared`; `exports` opens what is kept of exports.
        """
        self._settings = settings
        # As the user gave it, for what is told before anything is asked.
        self._out = settings.out
        self._layout = OutputLayout.of(settings.out)
        self._services = Services(
            tokens=tokens,
            connector=connector,
            clock=clock,
            destination=destination,
            windows=windows,
            exports=exports,
        )
        self._tasks = ClientTasks()
        self._emit = logged(harmless(on_event, self._tasks.break_off))
        # What is under way has the client by `_tell`, so that its lock stays even if dropped.
        self._wiring = Wiring(settings, self._layout, self._emit, self._tell, self._services)

    async def __aenter__(self) -> Self:
        if self._lock is not None:
            raise RuntimeError("the client is open already")
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                "a client needs asyncio's event loop, not one of another kind"
            ) from None
        await asyncio.to_thread(_import_backend)
        await anyio.to_thread.run_sync(self._prepare)
        self._lock = await OutputLock.take_in_loop(self._out / STATE_DIR)
        self._loop = asyncio.get_running_loop()
        self._single = None
        return self

    async def __aexit__(self, *_: object) -> None:
        lock, self._lock = self._lock, None
        if self._single is not None:
            self._single.stop()
        # To the end even if cancelled, and the resources after the tasks that use them.
        try:
            await self._tasks.end()
        finally:
            try:
                with anyio.CancelScope(shield=True):
                    await self._wiring.aclose()
            finally:
                if lock is not None:
                    lock.release()

    def __del__(self) -> None:
        if self._lock is not None:
            warnings.warn(f"{self!r} was never left", ResourceWarning, source=self, stacklevel=2)
            self._lock.release()
            self._wiring.let_go()

    def _tell(self, event: Event) -> None:
        """Tell of an event, first to what is under way."""
        if self._tasks.engine is not None:
            self._tasks.engine.heard(event)
        self._emit(event)

    def _prepare(self) -> None:
        """Look at what shows before a run, and make its folders. In a thread: it may block."""
        require_usable(self._settings, given_tokens=self._services.tokens is not None)
        self._services.require_usable(self._settings)
        require_writable(self._out)
        try:
            self._layout.prepare()
        except OSError as error:
            raise self._layout.as_given(disk_error(error)) from error

    def fetch(self, jobs: Jobs, *, only_new: bool = False, wait: bool | float | None = None) -> Run:
        """Start to fetch a list, and give the run: iterate it for the outcomes.

        `jobs` are ids, `Job`s or entries of `settings.jobs`, in any iterable or async iterable; of
        a dict its keys count. A plain iterable is read in the event loop, and what it raises is
        raised where the run is iterated. `only_new`: jobs that were done before, and those left
        pending at a stop, are in the report's counts but not among the outcomes. `wait`: seconds to
        wait for results that are still being prepared, True for no limit, False for not at all,
        None as the settings say; while a list is waited for no slot is spent on a job that is not
        COMPLETED. Keep the run for as long as it is wanted: nobody can read one that nobody holds,
        so it ends (`Run`).

        Ids without an account belong to the only one, or the one named `default`. An id that is in
        the list more than once has one outcome; what failed for a passing cause is tried again by
        the next list. Raises TypeError for a text or one Job in place of a list; RuntimeError
        outside `async with`, in another thread or event loop than that, or while another list is
        being fetched by a run that somebody holds. After a run that was left early the next list is
        taken at once, and begun when the rest of that run has ended.
        """
        check_list(jobs)
        engine = self._wiring.downloads(
            jobs, only_new=only_new, wait_s=self._wait_s(wait), previous=self._make_way()
        )
        self._tasks.run(engine)
        return Run(engine)

    def _wait_s(self, wait: bool | float | None) -> float:
        """Return for how many seconds to wait for results, 0 for not at all, inf for no limit."""
        wait_s = self._settings.wait if wait is None else wait
        return float("inf") if wait_s is True else float(wait_s or 0.0)

    def export(
        self, *exports: Export | str, full: bool = False, wait: float | None = None
    ) -> ExportRun:
        """Start to export modules, or go on with it, and give the handle: iterate it for the parts.

        `exports` are made in code, or names: of an export of the settings, else of a module, which
        is exported whole. None of them: all exports of the settings. What an earlier call has left
        of them is gone on with. `full`: everything is exported, also where changes would do; `wait`
        is for how many seconds results are waited for that are being prepared, None for as long as
        Zoho keeps them.

        Raises ConfigError for two exports of one name, or an account that there is not;
        RuntimeError as `fetch`.
        """
        from bulkfetch.exporter.handle import ExportRun
        from bulkfetch.exporter.wanted import wanted_exports

        wanted = wanted_exports(self._settings, exports)
        exporter = self._wiring.exporter(wanted, full=full, wait_s=wait, previous=self._make_way())
        self._tasks.run(exporter)
        return ExportRun(exporter)

    def _make_way(self) -> Engine | None:
        """Return what has to end before a list can begin. Raises RuntimeError."""
        self._require_open()
        if self._single is not None and self._single.are_waiting:
            raise RuntimeError("the client is fetching another list: calls of `get` wait")
        return self._tasks.previous()

    def _require_open(self) -> None:
        """Raise RuntimeError where the client is not open, or not in this event loop."""
        if self._lock is None:
            raise RuntimeError("the client is not open: use `async with`")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is not self._loop:  # that of the connections and files
            raise RuntimeError("the client belongs to the event loop in which it was entered")

    def _singles(self) -> SingleResults:
        """Return what fetches single results."""
        if self._single is None:
            self._single = SingleResults(self._settings, self._wiring, self._tasks)
        return self._single

    async def get(
        self,
        job: str | Job,
        *,
        account: str | None = None,
        name: str | None = None,
        wait: bool | float | None = None,
    ) -> Outcome:
        """Fetch one result, and return what became of it; for a service, which has no list.

        May be called any number of times at once: one run is behind all calls, with the promises
        of `fetch`. A job that was done before is answered by the journal, without a request, and
        its outcome is `skipped`; callers that ask for one job at the same time share its request. A
        job that failed is an outcome too, and is tried again by the next call unless it failed for
        good. `account` None: the one that ids without an account belong to; `name` None: the id, or
        what [[jobs]] says. `wait`: as for `fetch`; callers that wait for one job ask for its state
        together, and one that Zoho could not prepare is a failed outcome that leaves no row.

        The outcome is pending where `stop` or the end of the client came first. Raises AccountError
        where nothing can be fetched for the account, which hinders no other, or NotReadyInTime, one
        of these; and RunError. The next call tries again, for an account that has ended once what
        it has under way is over. RuntimeError as `fetch`, which in turn takes no list while a call
        waits.
        If cancelled: the job goes on until a list is taken, other calls are not touched.
        """
        self._require_open()
        asked = job if isinstance(job, Job) else job_of(self._settings, job)
        asked = replace(asked, account=account or asked.account, name=name or asked.name)
        refused = refusal(asked, self._settings.account_names)
        if refused is not None:  # not worth a row: anybody may send anything to a service
            failure = Failure.of(refused.error)
            return Outcome(refused.job.id, refused.job.account, "failed", error=failure)
        return await self._singles().get(asked, self._wait_s(wait))

    def stop(self) -> None:
        """Start no more requests, finish what is under way within some seconds.

        A run ends as by its `stop`; calls of `get` return, also later ones, with what is not done
        pending, until the client is entered again. For the end of a service, before the client is
        left.
        """
        if self._lock is not None:
            self._singles().stop()
        if self._tasks.engine is not None:
            self._tasks.engine.stop()

    async def wait(self, job_id: str, *, account: str | None = None) -> JobStatus:
        """Wait until Zoho has prepared a result or could not, and return its last status.

        FAILURE is a value, with its reason. `account` is asked; None: the one that ids without an
        account belong to. Use `asyncio.timeout` for a limit. Raises ConfigError for an account that
        there is not, ResourceNotFound or another JobError for an id that cannot be asked for, and
        AccountError. If cancelled: nothing is left behind.
        """
        self._require_open()
        account = account or self._settings.default_account or ""
        return await self._singles().until_ended(account, job_id)


@cache
def _import_backend() -> None:
    """Have anyio import what it needs in asyncio's loop: in a thread, since it takes 15 ms."""
    anyio.run(anyio.sleep, 0)


def fetch(
    jobs: Jobs, settings: Settings, *, on_event: Emit = ignore
) -> Coroutine[Any, Any, Report]:
    """Fetch a list and report, when awaited: the one-shot form of `Client`.

    Failures of jobs and accounts are in the report. Raises RunError where the whole run had to be
    aborted; TypeError, at the call, for a text or one Job in place of a list. If cancelled:
    as `Client`.
    """
    check_list(jobs)
    return _fetch(jobs, settings, on_event)


async def _fetch(jobs: Jobs, settings: Settings, on_event: Emit) -> Report:
    async with Client(settings, on_event=on_event) as client:
        run = client.fetch(jobs, only_new=True)
        async for _ in run:
            pass
        return run.report

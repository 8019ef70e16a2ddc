"""The library's front door: settings in, outcomes out.

Settings stop here: the rooms behind take plain values. Nothing here configures logging, installs a
signal handler or ends the process.
"""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
import anyio.abc

from bulkfetch.config import AccountSettings, Credentials, Settings, job_of
from bulkfetch.config.hosts import server_key
from bulkfetch.config.same_credentials import refuse_same_credentials
from bulkfetch.disk import disk_error
from bulkfetch.errors import ConfigError
from bulkfetch.events import Emit, Event, Kind, ignore
from bulkfetch.journal import Journal, OutputLock, published_stem
from bulkfetch.models import Job, Report
from bulkfetch.pipeline.outcomes import Conclude
from bulkfetch.pipeline.places import STATE_DIR, Places
from bulkfetch.pipeline.preflight import lacking_room, require_writable
from bulkfetch.pipeline.run import Jobs, Parts, Run
from bulkfetch.readiness import require_usable, sandbox_options
from bulkfetch.secret import Secret
from bulkfetch.transfer.turn import Turn

if TYPE_CHECKING:
    import aiohttp

    from bulkfetch.pipeline.traffic import Traffic
    from bulkfetch.pipeline.work import Line
    from bulkfetch.window import Window


_WINDOW_NEWS: dict[str, Kind] = {
    "closed": "window_closed",
    "shared": "window_shared",
    "crowded": "window_crowded",
    "restored": "window_restored",
    "fallback": "window_fallback",
}


class Client:
    """Brings results home into one output folder. An async context manager.

    Several clients may live side by side in one event loop, each with its own output folder; those
    that share an account share its window. Entering takes the folder's lock.

    Raises on entering: ConfigError (settings that cannot work; nothing was made or started),
    OutputLocked, NotWritable, DiskFull.
    If cancelled: requests under way are dropped and their slots settled; what was complete stays in
    staging; nothing half-done is ever under a final name; the same list goes on later.
    """

    def __init__(self, settings: Settings, *, on_event: Emit = ignore) -> None:
        """Take settings as they are; `on_event` is called in the loop, and must not block.

        Raises ConfigError where two accounts have the same credentials.
        """
        refuse_same_credentials(settings.accounts)
        self._settings = settings
        self._emit = on_event
        # As the user gave it, for what is told before anything is asked.
        self._out = settings.out
        self._places = Places(settings.out.absolute(), os.fspath(settings.out))
        self._stack = AsyncExitStack()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._run: Run | None = None
        self._lines: dict[str, Line] = {}
        self._sessions: dict[Path | None, aiohttp.ClientSession] = {}
        self._turn = Turn()
        self._sandbox_url: str | None = None

    async def __aenter__(self) -> Self:
        require_usable(self._settings)
        require_writable(self._out)
        try:
            self._places.prepare()
        except OSError as error:
            raise self._places.as_given(disk_error(error)) from error
        self._stack.enter_context(OutputLock.take(self._out / STATE_DIR))
        self._tasks = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tasks, self._tasks = self._tasks, None
        assert tasks is not None, "entered before it is left"
        tasks.cancel_scope.cancel()
        try:
            # Not told of the caller's exception, which goes its way by itself: the group would
            # wrap it into an ExceptionGroup.
            await tasks.__aexit__(None, None, None)
        finally:
            if self._run is not None:
                self._run.leave()
            # After the tasks, whose resources these are, and to the end even if cancelled.
            with anyio.CancelScope(shield=True):
                await self._stack.aclose()

    def fetch(self, jobs: Jobs, *, only_new: bool = False) -> Run:
        """Start to fetch a list, and give the run: iterate it for the outcomes.

        `jobs` are ids or `Job`s, in any iterable or async iterable; a plain iterable is read in the
        event loop. `only_new`: jobs that were done before, and those left pending at a stop, are in
        the report's counts but not among the outcomes.

        Ids without an account belong to the only one, or the one named `default`.
        Raises RuntimeError outside `async with`, or while another list is being fetched.
        """
        if self._tasks is None:
            raise RuntimeError("the client is not open: use `async with`")
        if self._run is not None and not self._run.ended:
            raise RuntimeError("the client is fetching another list")
        parts = Parts(
            open_journal=self._journal,
            open_traffic=self._traffic,
            as_job=lambda job_id: job_of(self._settings, job_id),
            accounts=frozenset(account.name for account in self._settings.accounts),
            names=_names_with_zip if self._settings.keep_zip else published_stem,
        )
        self._run = Run(jobs, self._places, parts, only_new=only_new)
        self._tasks.start_soon(self._run.work)
        return self._run

    async def _journal(self) -> Journal:
        # Named as the user named it, so that reported paths are.
        journal = await Journal.open(self._out / STATE_DIR)
        if journal.afresh is not None:
            self._emit(Event("note", journal.afresh))
        return journal

    def _traffic(self, journal: Journal, leftovers: frozenset[str], conclude: Conclude) -> Traffic:
        # Imported here and below: a run that has nothing to fetch needs none of it, and starts at
        # once.
        from bulkfetch.archive import Limits
        from bulkfetch.pipeline.finish import Finishing
        from bulkfetch.pipeline.traffic import Traffic

        limits = self._settings.limits
        return Traffic(
            journal,
            self._places,
            leftovers,
            Finishing(
                Limits(file_bytes=limits.file_bytes, reserve_bytes=limits.free_bytes),
                keep_zip=self._settings.keep_zip,
                sha256=self._settings.sha256,
                quarantine_bytes=limits.quarantine_bytes,
                overwrite=self._settings.overwrite,
            ),
            threads=limits.threads or os.cpu_count() or 1,
            staging_bytes=limits.staging_bytes,
            lacking_room=lambda: lacking_room(self._out, limits.free_bytes),
            open_line=self._line,
            conclude=conclude,
            emit=self._emit,
        )

    async def _line(self, name: str) -> Line:
        """Open what an account needs for requests; once. Raises AccountError, ConfigError."""
        if name not in self._lines:
            account = self._settings.account(name)
            own = account.is_sandbox
            if own:
                # The stand-in takes any token, and counts each one for an account of its own.
                token = Secret("sandbox" if name == "default" else f"sandbox-{name}")
                account = account.at(await self._sandbox(), Credentials(access_token=token))
            self._lines[name] = await self._connect(account, own)
        return self._lines[name]

    async def _connect(self, account: AccountSettings, own: bool) -> Line:
        """Open a line; `own` says that nobody else asks this server."""
        from bulkfetch.pipeline.deliveries import HELD_BYTES
        from bulkfetch.pipeline.work import Line
        from bulkfetch.transfer.door import Door, Guards, Remote
        from bulkfetch.window import SlotWindow, WindowEvent, WindowSettings, open_window
        from bulkfetch.zoho.regions import servers
        from bulkfetch.zoho.tokens import token_source

        limits, name = self._settings.limits, account.name
        session = await self._session(account.ca_file)

        def note(message: str) -> None:
            self._emit(Event("note", message, name))

        def news(event: WindowEvent) -> None:
            figures = {
                "for_s": event.for_s,
                "capacity": event.capacity,
                "in_flight_cap": event.in_flight_cap,
            }
            data = {key: value for key, value in figures.items() if value is not None}
            self._emit(Event(_WINDOW_NEWS[event.kind], event.message, name, data=data))

        state_dir = None if own else self._settings.state_dir
        tokens = token_source(account, lambda: session, state_dir, note)
        where = servers(account)
        pace = WindowSettings(
            account.window.requests,
            account.window.period_s,
            account.window.margin_s,
            headers_timeout_s=limits.connect_s + limits.headers_s,
        )
        window: Window
        if own:
            window = SlotWindow(pace, on_event=news)
        else:
            key = account_key(account, where.api_domain)
            window = await open_window(pace, key, state_dir, on_event=news)
        self._stack.push_async_callback(window.aclose)
        remote = Remote(
            where.api_domain,
            account.result_path,
            account.version,
            account.proxies.url_for(where.api_domain),
        )
        guards = Guards(
            limits.zip_bytes,
            limits.idle_s,
            limits.min_bytes_per_s,
            limits.connect_s,
            pace.headers_timeout_s,
            held_bytes=HELD_BYTES,
            free_bytes=limits.free_bytes,
        )
        door = Door(session, remote, window, tokens, guards, turn=self._turn)
        return Line(name, door, window, tokens, account.window.concurrency, limits.tries)

    async def _session(self, ca_file: Path | None) -> aiohttp.ClientSession:
        from bulkfetch.transfer.session import open_session

        if ca_file not in self._sessions:
            try:
                session = open_session(ca_file)
            except OSError as error:
                raise ConfigError(f"ca_file {ca_file} cannot be used: {error}") from None
            self._sessions[ca_file] = await self._stack.enter_async_context(session)
        return self._sessions[ca_file]

    async def _sandbox(self) -> str:
        """Start the stand-in for Zoho, in a thread of its own; once. Gives its address."""
        from bulkfetch.sandbox import SandboxThread

        if self._sandbox_url is None:
            options = sandbox_options(self._settings)
            server = await self._stack.enter_async_context(SandboxThread(options))
            self._sandbox_url = server.sandbox.url
        return self._sandbox_url


def _names_with_zip(job: Job) -> tuple[str, ...]:
    return job.stem, f"{job.id}.zip"


def account_key(account: AccountSettings, api_domain: str) -> str:
    """Name an account for the window of this machine, without telling anything of it.

    Zoho counts per account, and an account cannot be told from a token. Processes with the same
    refresh token share a window; those with a plain token or a token_command share it where server
    and account name are the same, since their tokens change while the account does not.
    """
    import hashlib  # late: it loads OpenSSL's

    credentials = account.credentials
    if credentials.can_refresh and credentials.refresh_token and account.token_command is None:
        identity = credentials.refresh_token.reveal()
    else:
        identity = f"account {account.name}"
    return hashlib.sha256(f"{server_key(api_domain)}\0{identity}".encode()).hexdigest()


async def fetch(jobs: Jobs, settings: Settings, *, on_event: Emit = ignore) -> Report:
    """Fetch a list and report: the one-shot form of `Client`.

    Failures of jobs and accounts are in the report. Raises RunError where the whole run had to be
    aborted. If cancelled: as `Client`.
    """
    async with Client(settings, on_event=on_event) as client:
        run = client.fetch(jobs, only_new=True)
        async for _ in run:
            pass
        return run.report

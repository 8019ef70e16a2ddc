"""One account's turn: an ordinary client over what the fleet's journal has for it.

Jobs come first, for half of the turn where exports are pending too, then those.

The client's output folder is in the host's staging. Its own journal there is the host's memory: a
ZIP that is whole on this disk is published without a request. What the fleet knows is in the
fleet's journal, and is written there before the turn ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import anyio.to_thread

from bulkfetch.client import Client
from bulkfetch.config import Settings
from bulkfetch.destination import Destination
from bulkfetch.destination.shared import DRAFTS, open_shared
from bulkfetch.errors import ConfigError, RunError, Superseded, is_transient
from bulkfetch.events import Emit, ignore
from bulkfetch.exporter.handle import ExportRun
from bulkfetch.fleet.export_store import TurnExports
from bulkfetch.fleet.exports import PendingExport
from bulkfetch.fleet.host_folder import (
    known_here,
    remove_ended,
    remove_others,
    remove_unneeded,
    remove_zips,
)
from bulkfetch.fleet.journal import FleetJournal
from bulkfetch.fleet.recorder import OutcomeRecorder
from bulkfetch.fleet.turn_exports import (
    ExportEnd,
    account_cause,
    do_exports,
    known_exports,
    pause_s,
)
from bulkfetch.journal import ExportTables
from bulkfetch.models import Failure, Job, Report
from bulkfetch.pipeline.engine import DRAIN_S
from bulkfetch.pipeline.handle import Run
from bulkfetch.pipeline.layout import OutputLayout
from bulkfetch.ratelimit import WindowState
from bulkfetch.ratelimit.postgres.store import WindowStore
from bulkfetch.services import CommonWindows

# Jobs listed at a time. The next are listed when half of them have ended, so that a turn never has
# many more than it can do.
PAGE_JOBS = 200
# In an account's state folder while what is here of it is salvaged.
_SALVAGING = "salvaging"
# How soon a turn is tried again that could not go on, as for lack of room or of the service.
AGAIN_S = 60.0
# After a drain, for what is written of exports that have not ended.
_LAST_WORD_S = 1.0
# The generation of no turn: with it nothing is asked for.
_NO_TURN = -1


class TurnEnd(NamedTuple):
    """How a turn ended: jobs done and failed in it.

    `held` is why nothing more can be fetched for the account until somebody does something, None
    where something can. `superseded` says that another worker has the account. `error` is why this
    worker cannot go on with it for now, None where it can. `waits_s`: all that is left are exports
    that can go on in so many seconds, None where something can at once; of these the settings do
    not know `unknown`.
    """

    done: int
    failed: int
    held: Failure | None = None
    superseded: bool = False
    error: Failure | None = None
    waits_s: float | None = None
    unknown: tuple[str, ...] = ()

    @property
    def how(self) -> Literal["served", "held", "superseded", "postponed"]:
        """Return how it ended, in a word."""
        if self.held is not None:
            return "held"
        if self.superseded:
            return "superseded"
        waits = self.error is not None or self.waits_s is not None
        return "postponed" if waits else "served"

    def next_in_s(self, *, is_new: bool) -> float:
        """Return in how many seconds the account should have its next turn.

        `is_new`: there are jobs or exports to do that were not there in this one.
        """
        if self.error is not None:
            return AGAIN_S
        return 0.0 if self.waits_s is None or is_new else self.waits_s

    @classmethod
    def of(cls, done: int, failed: int, cause: Failure | None) -> TurnEnd:
        """Return how a turn ended in which the account came to its end for a cause, if any."""
        if cause is None:
            return cls(done, failed)
        if cause.code == Superseded.code:
            return cls(done, failed, superseded=True)
        if is_transient(cause.code):
            return cls(done, failed, error=cause)
        return cls(done, failed, held=cause)


class Turn:
    """The turn of the one account of `settings`; bound to the running loop.

    `folder` is where all hosts publish its files, None where the settings say it. `generation` is
    what the journal has given it. After `turn_s` seconds, and after `stop`, nothing
    more is begun; what is under way is finished within seconds.
    """

    def __init__(
        self,
        settings: Settings,
        journal: FleetJournal,
        recorder: OutcomeRecorder,
        windows: WindowStore,
        generation: int,
        turn_s: float,
        on_event: Emit = ignore,
        *,
        folder: Path | None = None,
    ) -> None:
        self._settings = settings
        self._folder = folder
        [account] = settings.accounts
        self.account = account.name
        self._journal = journal
        self._recorder = recorder
        self._windows = CommonWindows(windows, generation=generation)
        self._generation = generation
        self._turn_s = turn_s
        self._on_event = on_event
        self._run: Run | ExportRun | None = None
        self._kept: TurnExports | None = None  # of the newest run of exports
        self._stopped = False
        self._listed = 0  # of which no outcome is known yet
        self._fewer = asyncio.Event()
        self.done = self._failed = 0

    async def run(self, only: Job | PendingExport | None = None) -> TurnEnd:
        """Do the turn; what came of it is in the fleet's journal when this returns.

        `only` is all that is done in it, None: what is pending. If cancelled: as a client.
        """
        until = asyncio.get_running_loop().time() + self._turn_s
        end = TurnEnd(0, 0)
        try:
            await anyio.to_thread.run_sync(remove_others, self._settings)
            if only is None:
                pending = await self._journal.exports.pending(self.account)
                end = await self._do(self._pages(), pending, until)
            elif isinstance(only, Job):
                end = await self._do(_each([only]), [], until)
            else:
                end = await self._do(_each([]), [only], until)
        except Superseded:
            end = end._replace(superseded=True)
        except (RunError, ConfigError) as failure:
            end = end._replace(error=Failure.of(failure))
        await self._recorder.flush()
        if end.error is None:
            await anyio.to_thread.run_sync(remove_unneeded, self._settings)
        return end._replace(done=self.done, failed=self._failed)

    async def salvage(self, jobs: Iterable[Job]) -> None:
        """Have what this host has of these jobs published and recorded."""
        async with await self._client() as client:
            await self._fetch(client, _each(jobs), self._turn_s)
        await self._recorder.flush()

    @property
    def window(self) -> WindowState | None:
        """Return how the account's window stands, None while nothing is asked for."""
        progress = None if self._run is None else self._run.progress()
        return None if progress is None else progress.windows.get(self.account)

    def stop(self) -> None:
        """Begin nothing more; more calls do no harm."""
        self._stopped = True
        if self._run is not None:
            self._run.stop()
        if self._kept is not None:
            # What is under way ends by then, unless the database is away.
            self._kept.wait_until(_drained_at())

    async def _do(
        self, jobs: AsyncIterator[Job], pending: Sequence[PendingExport], until: float
    ) -> TurnEnd:
        """Do jobs, then exports, until then. Raises Superseded, RunError, ConfigError."""
        exports, unknown = known_exports(self._settings, pending)
        async with await self._client() as client:
            jobs_s = self._turn_s / 2 if exports else self._turn_s
            report = await self._fetch(client, jobs, jobs_s)
            if report.aborted is not None:
                return TurnEnd.of(0, 0, report.aborted)._replace(unknown=unknown)
            ends = await self._export(client, exports, until)
        now = asyncio.get_running_loop().time()
        is_early = not self._stopped and now < until
        waits = is_early and report.list_read and not report.pending
        return TurnEnd.of(0, 0, account_cause(ends))._replace(
            waits_s=pause_s(ends, now, unknown=bool(unknown)) if waits else None,
            unknown=unknown,
        )

    async def _client(self) -> Client:
        return Client(
            self._settings,
            on_event=self._on_event,
            windows=self._windows,
            exports=self._keep,
            destination=await anyio.to_thread.run_sync(self._destination),
        )

    def _keep(self, local: ExportTables) -> TurnExports:
        self._kept = self._journal.exports.in_turn(self.account, self._generation, local)
        if self._stopped:
            self._kept.wait_until(_drained_at())
        return self._kept

    async def _fetch(self, client: Client, jobs: AsyncIterator[Job], for_s: float) -> Report:
        """Fetch a list for so many seconds, and have its outcomes recorded."""
        run = client.fetch(jobs)
        with self._under_way(run, for_s):
            async for outcome in run:
                if outcome.status == "pending":
                    continue
                self._listed -= 1
                self._fewer.set()
                self.done += outcome.status == "done"
                self._failed += outcome.status == "failed"
                await self._recorder.put(self._generation, outcome)
        return run.report

    async def _export(
        self, client: Client, exports: Sequence[PendingExport], until: float
    ) -> list[ExportEnd]:
        """Do exports until then, on the loop's clock. Raises Superseded, RunError, ConfigError."""
        if self._stopped or not exports:
            return []
        with ExitStack() as runs:

            def begun(run: ExportRun) -> None:
                left_s = until - asyncio.get_running_loop().time()
                runs.enter_context(self._under_way(run, left_s))

            return await do_exports(
                client, exports, self._journal.exports, self._generation, until, begun
            )

    @contextmanager
    def _under_way(self, run: Run | ExportRun, for_s: float) -> Iterator[None]:
        """Have a run stopped after so many seconds, and by `stop`."""
        self._run = run
        over = asyncio.get_running_loop().call_later(for_s, run.stop)
        try:
            if self._stopped:
                run.stop()
            yield
        finally:
            over.cancel()
            self._run = None

    def _destination(self) -> Destination | None:
        if self._folder is None:
            return None
        # No other host has the name, nor another staging folder of this one.
        own = f"{socket.gethostname()}:{self._settings.out.absolute()}"
        host = hashlib.sha256(os.fsencode(own))
        drafts = f"{DRAFTS}{host.hexdigest()[:16]}"
        return open_shared(self._folder, drafts, self._settings.limits.free_bytes)

    async def _pages(self) -> AsyncIterator[Job]:
        """Yield what is pending, some of it at a time, until nothing is."""
        after = 0
        while page := await self._journal.pending(self.account, after, PAGE_JOBS):
            after = page[-1][0]
            for _, job in page:
                self._listed += 1
                yield job
            while self._listed > PAGE_JOBS // 2:
                self._fewer.clear()
                await self._fewer.wait()


async def salvage(
    settings: Settings,
    journal: FleetJournal,
    recorder: OutcomeRecorder,
    windows: WindowStore,
    on_event: Emit = ignore,
    *,
    folder: Path | None = None,
) -> int:
    """Publish and record what this host has of an account's pending jobs; return how many.

    That is a ZIP that is whole in staging, or a result of which a worker that has died could not
    say any more that it was published. Nothing is asked for, whoever has the account now. ZIPs that
    nobody waits for any more are removed, and parts of exports that are over; all of it where it
    is of another server than the account is asked at. `folder` as of a turn. Raises RunError, and
    ConfigError where the account is asked at another server than here: then all is left.
    """
    [account] = settings.accounts
    await journal.require_server(account.name)
    await anyio.to_thread.run_sync(remove_others, settings)
    layout = OutputLayout.of(settings.out)
    staged, published = await anyio.to_thread.run_sync(known_here, layout)
    under_way = await journal.exports.under_way(account.name)
    await anyio.to_thread.run_sync(remove_ended, layout, under_way)
    staged -= frozenset[str]().union(*(each.job_ids for each in under_way))
    if not staged and not published:
        return 0
    wanted: list[Job] = []
    after = 0
    while page := await journal.pending(account.name, after, 10 * PAGE_JOBS):
        after = page[-1][0]
        # What is to be fetched anew is not what is here.
        wanted += [job for _, job in page if not job.again and job.id in staged | published]
    await anyio.to_thread.run_sync(
        remove_zips, layout, staged - {job.id for job in wanted}, account
    )
    if not wanted:
        return 0
    mark = layout.state / _SALVAGING
    if mark.exists():  # a worker has died of it: which of them, the account's turns will show
        await anyio.to_thread.run_sync(remove_zips, layout, staged, account)
        mark.unlink()
        return 0
    mark.touch()
    turn = Turn(settings, journal, recorder, windows, _NO_TURN, math.inf, on_event, folder=folder)
    try:
        await turn.salvage(wanted)
    finally:
        mark.unlink(missing_ok=True)
    return turn.done


def _drained_at() -> float:
    """Return until when a turn that is to stop has ended, unless the database is away."""
    return asyncio.get_running_loop().time() + DRAIN_S + _LAST_WORD_S


async def _each(jobs: Iterable[Job]) -> AsyncIterator[Job]:
    for job in jobs:
        yield job

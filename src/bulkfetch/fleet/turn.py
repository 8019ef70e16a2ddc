"""One account's turn: an ordinary client over what the fleet's journal has for it.

The client's output folder is in the host's staging. Its own journal there is the host's memory: a
ZIP that is whole on this disk is published without a request. What the fleet knows is in the
fleet's journal, and is written there before the turn ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import shutil
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

import anyio.to_thread

from bulkfetch.client import Client
from bulkfetch.config import AccountSettings, Settings
from bulkfetch.destination import Destination
from bulkfetch.destination.shared import DRAFTS, open_shared
from bulkfetch.disk import remove
from bulkfetch.errors import ConfigError, RunError, Superseded, is_transient
from bulkfetch.events import Emit, ignore
from bulkfetch.fleet.journal import FleetJournal
from bulkfetch.fleet.recorder import OutcomeRecorder
from bulkfetch.journal import JournalReader
from bulkfetch.models import Failure, Job
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
# The generation of no turn: with it nothing is asked for.
_NO_TURN = -1


class TurnEnd(NamedTuple):
    """How a turn ended: jobs done and failed in it.

    `held` is why nothing more can be fetched for the account until somebody does something, None
    where something can. `superseded` says that another worker has the account. `error` is why this
    worker cannot go on with it for now, None where it can.
    """

    done: int
    failed: int
    held: Failure | None = None
    superseded: bool = False
    error: Failure | None = None

    @property
    def how(self) -> Literal["served", "held", "superseded", "postponed"]:
        """Return how it ended, in a word."""
        if self.error is not None:
            return "postponed"
        if self.held is not None:
            return "held"
        return "superseded" if self.superseded else "served"

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
        self._run: Run | None = None
        self._stopped = False
        self._listed = 0  # of which no outcome is known yet
        self._fewer = asyncio.Event()
        self.done = self._failed = 0

    async def run(self, jobs: Iterable[Job] | None = None) -> TurnEnd:
        """Do the turn; what came of it is in the fleet's journal when this returns.

        `jobs` are all that is done in it, None: what is pending. If cancelled: as a client.
        """
        error: Failure | None = None
        cause: Failure | None = None
        try:
            cause = await self._fetch(self._pages() if jobs is None else _each(jobs))
        except (RunError, ConfigError) as failure:
            error = Failure.of(failure)
        await self._recorder.flush()
        if error is not None:
            return TurnEnd(self.done, self._failed, error=error)
        await anyio.to_thread.run_sync(_remove_unneeded, self._settings)
        return TurnEnd.of(self.done, self._failed, cause)

    async def salvage(self, jobs: Iterable[Job]) -> None:
        """Have what this host has of these jobs published and recorded."""
        await self._fetch(_each(jobs))
        await self._recorder.flush()

    @property
    def window(self) -> WindowState | None:
        """Return how the account's window stands, None while nothing is asked for."""
        return None if self._run is None else self._run.progress().windows.get(self.account)

    def stop(self) -> None:
        """Begin nothing more; more calls do no harm."""
        self._stopped = True
        if self._run is not None:
            self._run.stop()

    async def _fetch(self, jobs: AsyncIterator[Job]) -> Failure | None:
        """Fetch a list, and have its outcomes recorded; return why the account has ended."""
        loop = asyncio.get_running_loop()
        async with Client(
            self._settings,
            on_event=self._on_event,
            windows=self._windows,
            destination=await anyio.to_thread.run_sync(self._destination),
        ) as client:
            self._run = run = client.fetch(jobs)
            over = loop.call_later(self._turn_s, self.stop)
            try:
                if self._stopped:
                    run.stop()
                async for outcome in run:
                    if outcome.status == "pending":
                        continue
                    self._listed -= 1
                    self._fewer.set()
                    self.done += outcome.status == "done"
                    self._failed += outcome.status == "failed"
                    await self._recorder.put(self._generation, outcome)
            finally:
                over.cancel()
                self._run = None
            return run.report.aborted

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
    nobody waits for any more are removed. `folder` as of a turn. Raises RunError, ConfigError.
    """
    [account] = settings.accounts
    layout = OutputLayout(settings.out.absolute(), os.fspath(settings.out))
    staged, published = await anyio.to_thread.run_sync(_known_here, layout)
    if not staged and not published:
        return 0
    wanted: list[Job] = []
    after = 0
    while page := await journal.pending(account.name, after, 10 * PAGE_JOBS):
        after = page[-1][0]
        # What is to be fetched anew is not what is here.
        wanted += [job for _, job in page if not job.again and job.id in staged | published]
    await anyio.to_thread.run_sync(_remove, layout, staged - {job.id for job in wanted}, account)
    if not wanted:
        return 0
    mark = layout.state / _SALVAGING
    if mark.exists():  # a worker has died of it: which of them, the account's turns will show
        await anyio.to_thread.run_sync(_remove, layout, staged, account)
        mark.unlink()
        return 0
    mark.touch()
    turn = Turn(settings, journal, recorder, windows, _NO_TURN, math.inf, on_event, folder=folder)
    try:
        await turn.salvage(wanted)
    finally:
        mark.unlink(missing_ok=True)
    return turn.done


async def _each(jobs: Iterable[Job]) -> AsyncIterator[Job]:
    for job in jobs:
        yield job


def _known_here(layout: OutputLayout) -> tuple[frozenset[str], frozenset[str]]:
    """Return the ids of ZIPs in staging, and of the results that this host has published."""
    try:
        names = os.listdir(layout.staging)
        with JournalReader.open(layout.state) as journal:
            done = [each.job_id for each in journal.outcomes() if each.status == "done"]
    except (FileNotFoundError, ConfigError):
        return frozenset(), frozenset()
    zips = [name.removesuffix(".zip") for name in names if name.endswith(".zip")]
    return frozenset(name.rpartition(".")[2] for name in zips), frozenset(done)


def _remove(layout: OutputLayout, ids: Iterable[str], account: AccountSettings) -> None:
    for job_id in ids:
        remove(layout.zip(Job(job_id, account.name)))


def _remove_unneeded(settings: Settings) -> None:
    """Remove an account's folder that holds nothing but the memory of what the fleet knows."""
    layout = OutputLayout(settings.out.absolute(), os.fspath(settings.out))
    for folder in (layout.staging, layout.quarantine):
        with suppress(FileNotFoundError):
            if os.listdir(folder):
                return
    shutil.rmtree(layout.out, ignore_errors=True)

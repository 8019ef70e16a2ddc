"""A fleet in small that loses workers and no file: how it goes, and what it came to.

Everything is real but the service: a PostgreSQL, workers that are processes, a folder as the store.
Workers are killed by SIGKILL, and new ones begin with an empty staging folder, as on a new machine.
What the stand-in for Zoho has written down is the truth about requests, what it would serve the
truth about files.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
import asyncpg

from bulkfetch.config.regions import THIS_MACHINE
from bulkfetch.errors import ConfigError
from bulkfetch.fleet import database, engine
from bulkfetch.fleet.accounts import AccountExports, FleetAccount
from bulkfetch.fleet.connections import Connections
from bulkfetch.fleet.journal import FleetJournal
from bulkfetch.fleet.submission import submit
from bulkfetch.fleet.trial_exports import MOST_EXPORTS, PAGES, exports_of, is_as_served
from bulkfetch.fleet.trial_workers import REQUESTS, TrialWorkers
from bulkfetch.models import Job
from bulkfetch.sandbox import Sandbox, SandboxOptions
from bulkfetch.text import number

WORKERS = 3
_LOOK_S, _TELL_S = 0.25, 3.0
_LATENCY_S = (0.0, 0.3)
_RECORDS = 20
# Killed within these parts of the time: the slots of the last one are free again before the end.
_KILLS = ((0.1, 0.2), (0.2, 0.3), (0.3, 0.4))
# For the start, and for the last round behind the last kill, in periods.
_ROUNDS_BESIDE = 3


@dataclass(frozen=True)
class TrialPlan:
    """What is tried: `jobs` results of each account; a worker is killed at each of `kills_s`.

    Those are seconds since the first result was done. The first accounts have an export each, and
    as many results less as it has pages. After `within_s` seconds the trial has failed.
    """

    accounts: int
    jobs: int
    period_s: float
    kills_s: tuple[float, ...]
    within_s: float

    @property
    def results(self) -> int:
        """Return how many results there are in all, besides the pages of exports."""
        return self.accounts * self.jobs - self.pages

    @property
    def exports(self) -> int:
        """Return how many exports there are: of half of the accounts at most."""
        return min(MOST_EXPORTS, self.accounts // 2)

    @property
    def pages(self) -> int:
        """Return how many pages the exports have in all."""
        return self.exports * PAGES


def plan_of(accounts: int, seconds: float, dice: random.Random) -> TrialPlan:
    """Return a trial that takes about so many seconds, if the machine keeps up."""
    period_s = seconds / 6
    return TrialPlan(
        accounts=accounts,
        jobs=REQUESTS * (6 - _ROUNDS_BESIDE),
        period_s=period_s,
        kills_s=tuple(seconds * dice.uniform(*part) for part in _KILLS),
        within_s=4 * seconds + 60,
    )


@dataclass(frozen=True)
class TrialFigures:
    """What a trial came to. `right` files in the store are as served, `others` are not.

    `exported` exports are there, all pages as they were served.

    `worst` is the most requests of an account in any period, `refused` those that the service
    refused, `requests` how many there were.
    """

    plan: TrialPlan
    right: int
    others: int
    exported: int
    killed: int
    requests: int
    worst: int
    refused: int
    elapsed_s: float

    @property
    def repeats(self) -> int:
        """Return how many requests there were beyond one a result, or page."""
        return self.requests - self.plan.results - self.plan.pages

    def faults(self) -> list[str]:
        """Return what does not hold that should, a sentence each."""
        lost = self.plan.results - self.right
        not_exported = self.plan.exports - self.exported
        found = {
            f"{lost} results are not in the store": lost,
            f"{self.others} files in the store are not what was served": self.others,
            f"{not_exported} exports are not in the store as they were served": not_exported,
            f"{self.worst} requests of an account in one period": self.worst > REQUESTS,
            f"{self.refused} requests were refused": self.refused,
            "no worker was killed: the trial shows nothing": not self.killed,
        }
        return [sentence for sentence, is_so in found.items() if is_so]


def exports_words(plan: TrialPlan) -> str:
    """Return how many exports a trial has."""
    return f"{number(plan.exports, 'export')} of {PAGES} pages"


class Trial:
    """One trial, with the empty database at `url`; `tell` gets lines for people."""

    def __init__(
        self,
        plan: TrialPlan,
        url: str,
        workers: TrialWorkers,
        dice: random.Random,
        tell: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._url = url
        self._workers = workers
        self._dice = dice
        self._tell = tell
        names = [f"account{at:04}" for at in range(plan.accounts)]
        self._exports = exports_of(names[: plan.exports])
        exporting = {export.account for export in self._exports}
        self._jobs = {
            name: [
                f"55402{at:05}{nth:09}" for nth in range(plan.jobs - PAGES * (name in exporting))
            ]
            for at, name in enumerate(names)
        }

    async def run(self) -> TrialFigures:
        """Do it; return the figures. Raises ConfigError. If cancelled: the workers are left."""
        plan = self._plan
        options = SandboxOptions(
            requests=REQUESTS,
            period_s=plan.period_s,
            records=_RECORDS,
            columns=5,
            per_page=_RECORDS // PAGES,
            latency_s=_LATENCY_S,
        )
        await self._submit()
        async with Sandbox(options) as served:
            began = time.monotonic()
            for _ in range(WORKERS):
                self._workers.start(served.url, self._jobs, plan.period_s, self._exports)
            await self._watch(began)
            elapsed_s = time.monotonic() - began
            right, others = await anyio.to_thread.run_sync(self._compare, served)
            exported = await anyio.to_thread.run_sync(self._exported, served)
            asked = [each for each in served.log if each.kind == "result"]
            return TrialFigures(
                plan=plan,
                right=right,
                others=others,
                exported=exported,
                killed=self._workers.killed,
                requests=len(asked),
                worst=served.worst_in(plan.period_s),
                refused=sum(each.status == 429 for each in asked),
                elapsed_s=elapsed_s,
            )

    async def _submit(self) -> None:
        """Make the tables, and put all jobs and exports into the journal."""
        connection: asyncpg.Connection[Any] = await asyncpg.connect(self._url)
        try:
            await database.install(connection)
            await engine.install(connection)
            jobs = (Job(job_id, name) for name, ids in self._jobs.items() for job_id in ids)
            servers = dict.fromkeys(self._jobs, THIS_MACHINE)
            await submit(connection, jobs, servers, "a trial", exports=self._exports)
        finally:
            await connection.close(timeout=1)
        self._tell(
            f"{self._plan.results:,} results of {self._plan.accounts} accounts are submitted, and "
            f"{exports_words(self._plan)}; "
            f"each account may ask {REQUESTS} times in {self._plan.period_s:g} s"
        )

    async def _watch(self, began: float) -> None:
        """Kill workers when it is time; return when all is done, or it takes too long."""
        connections = await Connections.open(self._url, None)
        try:
            journal = FleetJournal(connections)
            due = list(self._plan.kills_s)
            told = at_work_s = 0.0
            while True:
                elapsed = time.monotonic() - began
                accounts = await journal.accounts()
                done = sum(each.done for each in accounts)
                exports = AccountExports.sum_of(each.exports for each in accounts)
                ended = not exports.pending
                ended &= done + sum(each.failed for each in accounts) == self._plan.results
                if ended or elapsed > told + _TELL_S:
                    told = elapsed
                    self._tell(
                        f"{elapsed:3.0f} s  {done:,} of {self._plan.results:,} results and "
                        f"{exports.done} of {self._plan.exports} exports are done, "
                        f"{self._workers.alive} workers"
                    )
                if ended or elapsed > self._plan.within_s:
                    return
                self._require_workers()
                if not done:  # they are still on their way
                    at_work_s = elapsed
                victims = _victims(accounts, self._workers.names)
                if victims and due and elapsed > at_work_s + due[0]:
                    due.pop(0)
                    self._kill(self._dice.choice(victims), elapsed)
                await asyncio.sleep(_LOOK_S)
        finally:
            await connections.aclose()

    def _kill(self, victim: str, elapsed: float) -> None:
        self._workers.kill(victim)
        new = self._workers.start_another()
        self._tell(f"{elapsed:3.0f} s  {victim} is killed (SIGKILL); {new} begins with nothing")

    def _require_workers(self) -> None:
        """Raise ConfigError where a worker has ended by itself."""
        if (ended := self._workers.ended()) is not None:
            name, said = ended
            raise ConfigError(f"{name} has ended by itself: {said}")

    def _compare(self, served: Sandbox) -> tuple[int, int]:
        """Return how many files of the store are right, and how many are anything else."""
        store = self._workers.store
        # What is hidden are drafts: what a killed worker was about to publish.
        files = [path for path in store.glob("*/[!.]*") if path.is_file()]
        wanted = {
            store / name / f"{job_id}.csv": job_id
            for name, ids in self._jobs.items()
            for job_id in ids
        }
        right = sum(
            path in wanted and path.read_bytes() == served.file_of(wanted[path]) for path in files
        )
        return right, len(files) - right

    def _exported(self, served: Sandbox) -> int:
        """Return how many exports are in the store as they were served."""
        folders = [self._workers.store / export.account / export.name for export in self._exports]
        return sum(is_as_served(folder, served) for folder in folders)


def _victims(accounts: list[FleetAccount], workers: frozenset[str]) -> list[str]:
    """Return the workers that have work, and none that another one has just died of.

    An account at which two have died in a row goes on one result at a time: nothing is lost then
    either, but it takes long.
    """
    at_work = [
        each for each in accounts if each.worker in workers and each.crashes and each.pending
    ]
    spared = {each.worker for each in at_work if each.crashes > 1}
    return sorted({each.worker for each in at_work if each.worker} - spared)

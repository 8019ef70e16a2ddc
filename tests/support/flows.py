"""Whole runs against a sandbox in the same loop, and what can be seen of them afterwards."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Set
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.support.forms import holds

import bulkfetch.access
from bulkfetch import Client, Destination, Event, Outcome, Report, Settings
from bulkfetch.archive import SUFFIXES
from bulkfetch.config import AccountSettings, ControlSettings, Credentials, Limits, WindowSettings
from bulkfetch.control.budget import ControlBudget
from bulkfetch.pipeline.handle import Run
from bulkfetch.pipeline.run import Jobs
from bulkfetch.ratelimit import RateLimit, SlotLimiter, open_limiter
from bulkfetch.sandbox import AccountSpec, Arrival, JobSpec, Sandbox, SandboxOptions
from bulkfetch.secret import Secret

PREFIX = "5540230000005"
# A window that nobody has to wait for.
FAST = {"requests": 1000, "period_s": 1.0, "margin_s": 0.0}


def ids(count: int, first: int = 1) -> list[str]:
    """Give so many job ids, none of which means anything to the sandbox."""
    return [f"{PREFIX}{number:05}" for number in range(first, first + count)]


def small(**changes: Any) -> SandboxOptions:
    """Give a sandbox with Zoho's true window and small results."""
    return SandboxOptions(**{"records": 20, "columns": 4, **changes})


def token_of(account: str) -> str:
    """Give the token that an account's settings hold."""
    return f"1000.token-of-{account}"


def account_specs(*names: str) -> dict[str, AccountSpec]:
    """Give accounts that the sandbox knows by name."""
    return {name: AccountSpec(access_tokens=(token_of(name),)) for name in names}


def settings_for(
    url: str,
    out: Path,
    *,
    accounts: Mapping[str, Mapping[str, Any]] | None = None,
    window: Mapping[str, Any] | None = None,
    control: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
    state_dir: Path | None = None,
    version: str = "v8",
    **more: Any,
) -> Settings:
    """Give settings for a sandbox at `url`; `accounts` maps names to their [account.window]."""
    tables = {"default": window or {}} if accounts is None else accounts
    return Settings(
        out=out,
        accounts=tuple(
            AccountSettings(
                name=name,
                version=version,
                window=WindowSettings(**table),
                control=ControlSettings(**(control or {})),
            ).at(url, Credentials(access_token=Secret(token_of(name))))
            for name, table in tables.items()
        ),
        limits=Limits(**{"threads": 2, **(limits or {})}),
        state_dir=state_dir,
        **more,
    )


@contextmanager
def loop_windows() -> Iterator[list[SlotLimiter]]:
    """Have clients open windows on their loop's clock, the machine's where there is a state_dir.

    The same of the budgets of control calls. Gives the list of the windows that were opened.
    """
    opened: list[SlotLimiter] = []

    async def open_on_loop(
        settings: RateLimit, key: str, state_dir: Path | None, **more: Any
    ) -> SlotLimiter:
        if state_dir is None:
            window: SlotLimiter = SlotLimiter(settings, **more)
        else:
            clock = asyncio.get_running_loop().time
            window = await open_limiter(settings, key, state_dir, clock=clock, **more)
        opened.append(window)
        return window

    open_budget = ControlBudget.open

    async def open_budget_on_loop(*args: Any, **more: Any) -> ControlBudget:
        time = asyncio.get_running_loop().time
        return await open_budget(*args, clock=time, wall=time, **more)

    with (
        patch.object(bulkfetch.access, "open_limiter", open_on_loop),
        patch.object(ControlBudget, "open", open_budget_on_loop),
    ):
        yield opened


@dataclass
class Seen:
    """What was seen of a run. `arrivals` are the result requests at the server, in order."""

    outcomes: list[Outcome] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    windows: list[SlotLimiter] = field(default_factory=list)
    report: Report = field(default_factory=Report)
    worst: int = 0

    def by_id(self) -> dict[str, Outcome]:
        """The outcomes by job; each job has one."""
        found = {outcome.job_id: outcome for outcome in self.outcomes}
        assert len(found) == len(self.outcomes)
        return found

    def seconds(self, account: str | None = None) -> list[float]:
        """When requests arrived, in seconds since the first."""
        start = self.arrivals[0].at_s
        times = [each.at_s for each in self.arrivals if account in (None, each.account)]
        return [round(time - start, 1) for time in times]

    def kinds(self) -> set[str]:
        """The kinds of events that there were."""
        return {event.kind for event in self.events}


async def watch(
    options: SandboxOptions | Sandbox,
    jobs: Jobs,
    out: Path,
    *,
    reading: Callable[[Outcome], Any] | None = None,
    prepare: Callable[[Sandbox], Any] | None = None,
    foreign: Set[str] = frozenset(),
    **settings: Any,
) -> Seen:
    """Run a list against a sandbox in this loop, one of its own or one that serves already.

    `prepare` is called with the sandbox, `reading` with each outcome; it may be a coroutine.
    `foreign` are names of files in `out` that the run did not publish.
    """
    if isinstance(options, SandboxOptions):
        async with Sandbox(options) as sandbox:
            return await watch(
                sandbox, jobs, out, reading=reading, prepare=prepare, foreign=foreign, **settings
            )
    sandbox, seen = options, Seen()
    if prepare is not None:
        prepare(sandbox)
    before = len(sandbox.results())
    with loop_windows() as seen.windows:
        made = settings_for(sandbox.url, out, **settings)
        async with Client(made, on_event=seen.events.append) as client:
            run = client.fetch(jobs)
            async for outcome in run:
                seen.outcomes.append(outcome)
                if reading is not None and asyncio.iscoroutine(made_one := reading(outcome)):
                    await made_one
            seen.report = run.report
            assert all(not window.state().in_flight for window in seen.windows)
    seen.arrivals = sandbox.results()[before:]
    seen.worst = sandbox.worst_in()
    check_published(sandbox, seen.outcomes, out, foreign)
    return seen


async def read(run: Run, outcomes: list[Outcome]) -> None:
    """Read a run into `outcomes` to its end, which may be an exception."""
    async for outcome in run:
        outcomes.append(outcome)


def check_published(
    sandbox: Sandbox, outcomes: list[Outcome], out: Path, foreign: Set[str] = frozenset()
) -> None:
    """See that what lies in `out` is what was told as done, byte for byte, and nothing else."""
    told = {}
    for outcome in outcomes:
        for file in outcome.files:
            assert outcome.status == "done"
            told[Path(file.path)] = file
            path = Path(file.path)
            assert path.stat().st_size == file.bytes
            content = sandbox.file_of(outcome.job_id)
            assert holds(path, content)
    lying = {path for path in out.iterdir() if path.name not in {".bulkfetch", *foreign}}
    above = {path for path in told if path.parent == out}  # not in a folder of an export
    assert {path for path in lying if path.name.endswith(SUFFIXES)} == above


def staged(out: Path) -> list[str]:
    """Name what lies in staging."""
    return sorted(os.listdir(out / ".bulkfetch" / "staging"))


def csv_job(**changes: Any) -> JobSpec:
    """Give a small job of the sandbox."""
    return JobSpec(**{"records": 20, "columns": 4, **changes})


@asynccontextmanager
async def service(
    out: Path,
    options: SandboxOptions | None = None,
    *,
    destination: Destination | None = None,
    **settings: Any,
) -> AsyncIterator[tuple[Sandbox, Client]]:
    """Give a sandbox, and a client that is open."""
    with loop_windows():
        async with Sandbox(options or small(requests=1000)) as sandbox:
            settings = {"window": FAST, **settings}
            told = settings_for(sandbox.url, out, **settings)
            async with Client(told, destination=destination) as client:
                yield sandbox, client

"""Exports against a sandbox in the same loop, and what can be seen of them afterwards."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

from tests.support.flow_clock import run_flow
from tests.support.flows import loop_windows, settings_for

from bulkfetch import BulkfetchError, Client, Event, Outcome
from bulkfetch.clock import MACHINE_CLOCK
from bulkfetch.config import Export
from bulkfetch.models import ExportReport, Report
from bulkfetch.sandbox import Arrival, Sandbox, SandboxOptions

T = TypeVar("T")

EPOCH = datetime(2026, 9, 30, 2, 0, tzinfo=UTC)


def org(**changes: Any) -> SandboxOptions:
    """Give an org with Zoho's true window and small modules: 20 records, a page of 8."""
    return SandboxOptions(
        **{"records": 20, "per_page": 8, "prepare_s": 60.0, "epoch": EPOCH, **changes}
    )


@dataclass
class Exported:
    """What was seen of a call. `log` are the requests at the server in order."""

    outcomes: list[Outcome] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    reports: dict[str, ExportReport] = field(default_factory=dict)
    totals: Report = field(default_factory=Report)
    go_on_s: dict[str, float | None] = field(default_factory=dict)
    error: BulkfetchError | None = None
    log: list[Arrival] = field(default_factory=list)
    took_s: float = 0.0

    def count(self, *kinds: str) -> int:
        """Count the requests of these kinds."""
        return sum(each.kind in kinds for each in self.log)

    def told(self, kind: str) -> list[str]:
        """The messages of the events of one kind."""
        return [event.message for event in self.events if event.kind == kind]

    def only(self) -> ExportReport:
        """What became of the only export."""
        [report] = self.reports.values()
        return report


async def export(
    sandbox: Sandbox,
    out: Path,
    *exports: Export | str,
    full: bool = False,
    wait: float | None = None,
    control: Mapping[str, Any] | None = None,
    place: Any = None,
    stop: Callable[[Outcome | None], bool] = lambda _: False,
    **settings: Any,
) -> Exported:
    """Export against a sandbox in this loop, with a client of its own, given `place` if any."""
    seen, before = Exported(), len(sandbox.log)
    loop = asyncio.get_running_loop()
    began = loop.time()
    made = settings_for(sandbox.url, out, control=control, **settings)
    async with Client(made, on_event=seen.events.append, destination=place) as client:
        run = client.export(*exports, full=full, wait=wait)
        try:
            async for outcome in run:
                seen.outcomes.append(outcome)
                if stop(outcome):
                    run.stop()
        except BulkfetchError as error:
            seen.error = error
        seen.reports = {report.name: report for report in run.ended_exports()}
        seen.totals = run.totals
        seen.go_on_s = run.go_on_s()
    seen.log = sandbox.log[before:]
    seen.took_s = loop.time() - began
    return seen


def exporting(main: Callable[[Sandbox], Awaitable[T]], options: SandboxOptions | None = None) -> T:
    """Run `main` with a sandbox on a virtual clock."""

    async def whole() -> T:
        loop = asyncio.get_running_loop()
        ahead_s = EPOCH.timestamp() - loop.time()
        with loop_windows(), patch.object(MACHINE_CLOCK, "time", lambda: loop.time() + ahead_s):
            return await served()

    async def served() -> T:
        async with Sandbox(org() if options is None else options) as sandbox:
            return await main(sandbox)

    return run_flow(whole())


def manifest(out: Path, name: str) -> dict[str, Any]:
    """Read the manifest that latest.json of an export names."""
    latest = json.loads((out / name / "latest.json").read_text())
    content: dict[str, Any] = json.loads((out / name / latest["manifest"]).read_text())
    return content


def rows(out: Path, name: str) -> list[dict[str, str]]:
    """Read the rows of all parts of the newest export, in the order of the manifest."""
    told = manifest(out, name)
    folder = out / name / json.loads((out / name / "latest.json").read_text())["folder"]
    found: list[dict[str, str]] = []
    for part in told["parts"]:
        with (folder / part["file"]).open(newline="", encoding="utf-8") as file:
            found += csv.DictReader(file)
    return found

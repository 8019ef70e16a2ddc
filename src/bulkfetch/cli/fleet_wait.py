"""`bulkfetch fleet wait`: what becomes of a submission, as it comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.endings import this_command
from bulkfetch.cli.fleet_settings import fleet_of
from bulkfetch.cli.printer import Printer
from bulkfetch.cli.signals import stop_on_signals
from bulkfetch.models import Failure, Outcome, Report

if TYPE_CHECKING:
    from bulkfetch.config.fleet import FleetSettings
    from bulkfetch.fleet.watch import HeldAccount

_ABOUT = """\b
Examples:
  bulkfetch fleet wait fleet.toml 17
  bulkfetch fleet wait fleet.toml "$(bulkfetch fleet submit fleet.toml --ids ids.txt)" --json

Wait until a submission is worked off, and tell what became of each of its jobs as `bulkfetch run`
does: its files on stdout, or with --json one object per job and a summary as the last line; what
failed on stderr. It may be interrupted and run again, here or on another host: it tells everything
anew, and the workers do not mind. It ends early where all that is left belongs to accounts that are
held, such as one with wrong credentials: once that is mended, submit the same list again.
"""

_EPILOG = exit_codes.epilog(
    s0="all done",
    s1="all has ended, some jobs failed",
    s2="bad settings, no database, or no such submission",
    s3="what is left is of accounts that are held",
    s130="interrupted, or stdout was closed: the fleet goes on",
)

# How many failures are kept to be told at the end; --json has all of them.
_KEPT_FAILURES = 100


@click.command(help=_ABOUT, short_help="Tell what becomes of a submission.", epilog=_EPILOG)
@click.argument("fleet_file", metavar="FLEET.toml")
@click.argument("submission", type=click.IntRange(min=1, max=2**63 - 1), metavar="SUBMISSION")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per job on stdout.")
@click.pass_obj
def wait(printer: Printer, fleet_file: str, submission: int, as_json: bool) -> int:
    """Wait for a submission, and return the exit status."""
    from bulkfetch.observe.messages import SHOWN_FAILURES, summary_line
    from bulkfetch.observe.records import summary_record

    printer.json = as_json
    fleet = fleet_of(printer, fleet_file)
    waiting = _Waiting(printer)
    asyncio.run(waiting.through(fleet, submission))
    report = waiting.report()
    status = exit_codes.exit_status(report)
    printer.sum_up(summary_record(report, status))
    shown = report.failures[:SHOWN_FAILURES]
    printer.failures(shown, report.failed - len(shown))
    for account, failure in waiting.held:
        printer.error(f"account {account}: {failure.code}: {failure.message}", failure.hint)
    printer.note(summary_line(report))
    if waiting.interrupted:
        printer.note(f"the fleet goes on; to wait again: {this_command()}")
    elif waiting.held:
        printer.note("submit the same list again once this is mended")
    return status


class _Waiting:
    """One wait: what it has told, counted. `held` is why it ended early."""

    def __init__(self, printer: Printer) -> None:
        self.held: list[HeldAccount] = []
        self.interrupted = False
        self._printer = printer
        self._began = time.monotonic()

        self._counts = dict.fromkeys(
            ("done", "failed", "skipped", "failed_before", "superseded"), 0
        )
        self._sums = dict.fromkeys(("requests", "zip_bytes", "file_bytes"), 0)
        self._failures: list[Outcome] = []
        self._left = 0
        self._is_read = False

    async def through(self, fleet: FleetSettings, submission: int) -> None:
        """Tell what becomes of a submission to its end, or until a signal. Raises ConfigError."""
        from bulkfetch.fleet.connections import Connections
        from bulkfetch.fleet.watch import Watch

        connections = await Connections.open(fleet.fleet.database, fleet.password)
        watch = Watch(connections, submission)
        telling = asyncio.create_task(self._tell_all(watch.outcomes()))

        def stop(signal: str = "") -> None:
            telling.cancel()

        try:
            with stop_on_signals(asyncio.get_running_loop(), stop, stop):
                await telling
        except asyncio.CancelledError:
            self.interrupted = True
        finally:
            self.held, self._left, self._is_read = watch.held, watch.left, watch.is_read
            await connections.aclose()

    def report(self) -> Report:
        """Return the report of what was told."""
        aborted: Failure | None = self.held[0].failure if self.held else None
        return Report(
            **self._counts,
            **self._sums,
            pending=self._left,
            elapsed_s=time.monotonic() - self._began,
            aborted=aborted,
            interrupted=self.interrupted,
            failures=tuple(self._failures),
            list_read=self._is_read,
        )

    async def _tell_all(self, outcomes: AsyncGenerator[Outcome, None]) -> None:
        from bulkfetch.observe.records import job_record

        async with aclosing(outcomes):
            async for outcome in outcomes:
                self._count(outcome)
                if self._printer.json:
                    await self._printer.send(None, job_record(outcome))
                elif not outcome.skipped:
                    for file in outcome.files:
                        await self._printer.send(file.path, None)

    def _count(self, outcome: Outcome) -> None:
        if outcome.status == "done" and outcome.skipped:
            self._counts["skipped"] += 1
            self._counts["superseded"] += outcome.superseded_by is not None
            return
        self._counts[outcome.status] += 1
        if outcome.status == "failed":
            self._counts["failed_before"] += outcome.skipped
            if len(self._failures) < _KEPT_FAILURES:
                self._failures.append(outcome)
        if not outcome.skipped:
            self._sums["requests"] += outcome.attempts
            self._sums["zip_bytes"] += outcome.zip_bytes or 0
            self._sums["file_bytes"] += sum(file.bytes for file in outcome.files)

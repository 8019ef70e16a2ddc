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
from bulkfetch.cli.fleet_settings import fleet_of, left_alone, some
from bulkfetch.cli.fleet_told import Told
from bulkfetch.cli.printer import Printer
from bulkfetch.cli.signals import stop_on_signals
from bulkfetch.models import Outcome

if TYPE_CHECKING:
    from bulkfetch.config.fleet import FleetSettings
    from bulkfetch.fleet.export_codec import EndedExport
    from bulkfetch.fleet.watch import HeldAccount, News, UnbegunAccounts, WaitingExport

_ABOUT = """\b
Examples:
  bulkfetch fleet wait fleet.toml 17
  bulkfetch fleet wait fleet.toml "$(bulkfetch fleet submit fleet.toml --ids ids.txt)" --json
  bulkfetch fleet wait fleet.toml "$(bulkfetch fleet submit fleet.toml --exports)"

Wait until all jobs and exports of a submission have ended, and tell the result as `bulkfetch run`
and `bulkfetch export` do: the published files on stdout, or with --json one object per job, page
and export and a summary as the last line; what failed on stderr. You may interrupt it and run it
again, here or on another host: it tells everything from the beginning, and the workers are not
disturbed.

It ends early if only accounts are left that are held, such as one with wrong credentials: correct
that, then submit the same again. It does not end early for an export that waits, such as for API
credits, nor for an account that no worker has begun with: after a minute and a half it says which.
"""

_EPILOG = exit_codes.epilog(
    s0="all done",
    s1="all has ended, some jobs or exports failed",
    s2="bad settings, no database, or no such submission",
    s3="what is left is of accounts that are held",
    s130="interrupted, or stdout was closed: the fleet goes on",
)


@click.command(
    help=_ABOUT, short_help="Wait for a submission, and tell its result.", epilog=_EPILOG
)
@click.argument("fleet_file", metavar="FLEET.toml")
@click.argument("submission", type=click.IntRange(min=1, max=2**63 - 1), metavar="SUBMISSION")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per job and export.")
@click.pass_obj
def wait(printer: Printer, fleet_file: str, submission: int, as_json: bool) -> int:
    """Wait for a submission, and return the exit status."""
    from bulkfetch.observe.export_words import export_problem
    from bulkfetch.observe.messages import SHOWN_FAILURES, cause_words, summary_line
    from bulkfetch.observe.records import summary_record

    printer.json = as_json
    fleet = fleet_of(printer, fleet_file)
    waiting = _Waiting(printer, fleet_file, fleet)
    asyncio.run(waiting.through(submission))
    told = waiting.told
    report, status = told.report(), told.exit_status
    printer.sum_up(summary_record(report, status, told.exports))
    shown = report.failures[:SHOWN_FAILURES]
    listing = ("bulkfetch", "fleet", "status", fleet_file, "--failed", "--json")
    printer.failures(shown, report.failed - len(shown), listing)
    causes = [outcome.error for outcome in shown]
    for export in told.failed_exports:
        if export.error not in causes:
            printer.error(*export_problem(export))
    for account, failure in waiting.held:
        printer.error(f"account {account}: {cause_words(account, failure)}", failure.hint)
    printer.note(summary_line(report))
    if told.interrupted:
        printer.note(f"the fleet goes on; to wait again: {this_command()}")
    elif waiting.held:
        printer.note("submit the same again once this is mended")
    elif status == exit_codes.FAILED:
        again = "; with --again also the jobs that failed permanently" if report.failed else ""
        printer.note(f"to try again what failed, submit it again{again}")
    return status


class _Waiting:
    """One wait: what it has told. `held` is why it ended early."""

    def __init__(self, printer: Printer, fleet_file: str, fleet: FleetSettings) -> None:
        self.told = Told()
        self.held: list[HeldAccount] = []
        self._printer = printer
        self._fleet_file = fleet_file
        self._fleet = fleet

    async def through(self, submission: int) -> None:
        """Tell what becomes of a submission to its end, or until a signal. Raises ConfigError."""
        from bulkfetch.fleet.database import tables_required

        began = time.monotonic()
        telling = asyncio.ensure_future(self._connect_and_tell(submission))

        def stop(signal: str = "") -> None:
            telling.cancel()

        try:
            with (
                tables_required(self._fleet.fleet.database),
                stop_on_signals(asyncio.get_running_loop(), stop, stop),
            ):
                await telling
        except asyncio.CancelledError:
            self.told.interrupted = True
        finally:
            self.told.elapsed_s = time.monotonic() - began

    async def _connect_and_tell(self, submission: int) -> None:
        from bulkfetch.fleet.connections import Connections
        from bulkfetch.fleet.watch import Watch

        fleet = self._fleet
        connections = await Connections.open(fleet.fleet.database, fleet.password)
        watch = Watch(connections, submission)
        try:
            await self._tell_all(watch.news())
        finally:
            self.held = watch.held
            self.told.left(watch.jobs_left, watch.exports_left, is_read=watch.is_read)
            self.told.aborted = watch.held[0].failure if watch.held else None
            await connections.aclose()

    async def _tell_all(self, all_news: AsyncGenerator[News, None]) -> None:
        from bulkfetch.fleet.export_codec import EndedExport
        from bulkfetch.fleet.watch import WaitingExport

        async with aclosing(all_news):
            async for news in all_news:
                if isinstance(news, Outcome):
                    self.told.job(news)
                    await self._tell_job(news)
                elif isinstance(news, EndedExport):
                    self.told.export(news)
                    await self._tell_export(news)
                elif isinstance(news, WaitingExport):
                    self._tell_why(news)
                else:
                    self._tell_unbegun(news)

    async def _tell_job(self, outcome: Outcome) -> None:
        if self._printer.json:
            await self._printer.send(None, outcome.to_dict())
        elif not outcome.skipped:
            for file in outcome.files:
                await self._printer.send(file.path, None)

    async def _tell_export(self, ended: EndedExport) -> None:
        from bulkfetch.observe.export_words import export_line, export_record

        for page in ended.pages:
            if page.job_id or page.status == "failed":
                await self._tell_job(page)
        await self._printer.send(None, export_record(ended.report))
        self._printer.note(export_line(ended.report))

    def _tell_why(self, waiting: WaitingExport) -> None:
        from bulkfetch.observe.export_words import export_name
        from bulkfetch.observe.messages import cause_words

        account, name, why = waiting
        self._printer.warn(f"{export_name(account, name)} waits: {cause_words(account, why)}")

    def _tell_unbegun(self, unbegun: UnbegunAccounts) -> None:
        others = set(unbegun.servers)
        for names, sentence in left_alone(self._fleet_file, self._fleet, unbegun.servers):
            self._printer.warn(sentence)
            others.difference_update(names)
        if others:
            self._printer.warn(
                f"no worker has begun with {some(sorted(others))} yet: none runs, all are busy, or "
                "theirs are other settings"
            )

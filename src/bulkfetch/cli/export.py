"""`bulkfetch export`: export whole modules, or continue."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.endings import listing_of, this_command
from bulkfetch.cli.output_options import output_options
from bulkfetch.cli.printer import Printer
from bulkfetch.cli.settings_source import file_and_rest, load, settings_source
from bulkfetch.cli.steering import steering_options
from bulkfetch.cli.wait_time import WaitTime
from bulkfetch.errors import ConfigError
from bulkfetch.observe.export_words import export_line, export_problem, export_record
from bulkfetch.observe.messages import (
    SHOWN_FAILURES,
    summary_line,
)
from bulkfetch.observe.records import export_counts, summary_record

if TYPE_CHECKING:
    from pathlib import Path

    from bulkfetch.cli.runner import Ending
    from bulkfetch.config import Settings

_ABOUT = """\b
Examples:
  bulkfetch export jobs.toml
  bulkfetch export jobs.toml Leads Contacts
  bulkfetch export jobs.toml --wait 30m --json -q > exports.jsonl
  bulkfetch export Leads --data-center eu
  bulkfetch export jobs.toml --full                # everything, not only changes

Export each module of [[exports]] into its folder below the output folder: have Zoho prepare it page
by page, download every page, count its records, and publish all of them together. NAMEs select some
of the exports. An export that was begun is continued: after any interruption, run the same command
again. Each page costs 50 API credits, and none is knowingly created twice. Without JOBS.toml, with
--data-center, NAMEs are modules, which are exported whole.

With --no-wait the first pages are created, what is ready is downloaded, and the exit status is 3
while anything is still being prepared; a later run continues. --wait limits the time to wait in the
same way. --full exports everything again where sync = "changes" would ask for changes only.

stdout gets the path of each file of an export once it is published, or with --json one object per
page, one per export, and a summary as the last line. If stdout is closed, the export stops; so it
does on the first Ctrl-C (or SIGTERM, SIGHUP), once transfers in flight are finished; the second
stops immediately.
"""

_EPILOG = exit_codes.epilog(
    s0="all exports done",
    s1="some exports failed",
    s2="usage or configuration error, an export that does not fit its module: nothing was created",
    s3="aborted (credentials, credits, disk, lock), or not ready in time: safe to run again",
    s130="interrupted, or stdout was closed: safe to run again",
)


@click.command(help=_ABOUT, short_help="Export whole modules, or continue.", epilog=_EPILOG)
@settings_source
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--out", metavar="DIR", help="The output folder, instead of `out` in JOBS.toml.")
@click.option("--full", is_flag=True, help="Export everything, not only changes.")
@click.option(
    "--wait", type=WaitTime(), metavar="DURATION", help="Wait at most so long (such as 30m, 2h)."
)
@click.option("--no-wait", is_flag=True, help="Do not wait for pages that are not ready.")
@steering_options
@output_options(
    json_help="One JSON object per page and export.",
    verbose_help="Report each page too; -vv: everything.",
)
def export(
    printer: Printer,
    settings_file: str | None,
    data_center: str | None,
    names: tuple[str, ...],
    out: str | None,
    full: bool,
    wait: float | None,
    no_wait: bool,
    max_s: float | None,
    limit_rate: int | None,
) -> int:
    """Export modules, and return the exit status."""
    if no_wait and wait is not None:
        raise click.UsageError("--wait and --no-wait cannot be used together")
    file, names = file_and_rest(settings_file, names, data_center)
    settings = load(file, data_center, out=out, max_bytes_per_s=limit_rate)
    printer.warn(*settings.warnings)
    _require_known(settings, names)
    from bulkfetch.cli.runner import carry_out

    wait_s = 0.0 if no_wait else wait
    ending = carry_out(
        settings, lambda client: client.export(*names, full=full, wait=wait_s), printer, max_s
    )
    status = ending.exit_status
    _tell(printer, settings.out, ending, status)
    if ending.report is not None and not ending.stdout_gone and status != exit_codes.USAGE:
        for report in ending.exports or ():
            printer.result(None, export_record(report))
    if ending.report is not None and status != exit_codes.USAGE:
        counts = None if ending.exports is None else export_counts(ending.exports)
        record = summary_record(ending.report, status, counts)
        printer.sum_up(record, write=not ending.stdout_gone)
    return status


def _require_known(settings: Settings, names: tuple[str, ...]) -> None:
    """Raise ConfigError for names that are none of an export, or if there is none at all."""
    from bulkfetch.config.misfit import unknown

    if settings.source is None:
        if not names:
            source = f"--data-center {settings.accounts[0].data_center}"
            raise ConfigError(
                "no modules given",
                hint=f"Name them, such as Leads; `bulkfetch modules {source}` lists them.",
            )
        from bulkfetch.exporter.wanted import wanted_exports

        wanted_exports(settings, names)  # raises ConfigError for what cannot be a module
        return
    known = [each.name for each in settings.exports]
    if not known:
        raise ConfigError(
            f"{settings.source} has no [[exports]]",
            hint='Add [[exports]] and below it module = "Leads"; '
            f"`{shlex.join(['bulkfetch', 'modules', str(settings.source)])}` lists them.",
        )
    for name in names:
        if name not in known:
            raise unknown("there is no export", name, known)


def _tell(printer: Printer, out: Path, ending: Ending, status: int) -> None:
    report, error, exports = ending.report, ending.error, ending.exports or []
    ended_all = error is not None or ending.out_of_time is not None
    if report is not None:
        shown = report.failures[:SHOWN_FAILURES]
        printer.failures(shown, report.failed - len(shown), listing_of(out))
        told = [outcome.error for outcome in shown]
        if ended_all:  # said of all of them at once
            told.append(report.aborted)
        for each in exports:
            if (
                each.error is not None
                and each.error not in told
                and not ending.has_told(each.error)
            ):
                printer.error(*export_problem(each))
            printer.note(export_line(each))
    if error is not None:
        printer.aborted(error)
    elif ended_all and report is not None and report.aborted is not None:
        printer.failure(report.aborted)
    if report is not None and status != exit_codes.USAGE:
        printer.note(summary_line(report))
    if status in (exit_codes.ABORTED, exit_codes.INTERRUPTED):
        printer.note(f"to continue: {this_command()}")

"""`bulkfetch run`: fetch a list, or continue it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.endings import listing_of, next_step, this_command
from bulkfetch.cli.job_limit import JobLimit
from bulkfetch.cli.options import (
    EmptyList,
    ListOptions,
    list_options,
    open_list,
    settings_of,
)
from bulkfetch.cli.output_options import output_options
from bulkfetch.cli.printer import Printer
from bulkfetch.cli.recall import left_out, nothing_recalled
from bulkfetch.cli.steering import steering_options
from bulkfetch.cli.wait_time import NO_LIMIT, WaitTime
from bulkfetch.models import Report
from bulkfetch.observe.messages import (
    SHOWN_FAILURES,
    notes_on_skipped,
    summary_line,
)
from bulkfetch.observe.records import summary_record
from bulkfetch.text import jobs as counted

if TYPE_CHECKING:
    from pathlib import Path

    from bulkfetch.cli.runner import Ending
    from bulkfetch.config import Settings

_ABOUT = """\b
Examples:
  bulkfetch run jobs.toml
  bulkfetch run jobs.toml 554023000000568002 554023000000568003
  bulkfetch run jobs.toml --ids ids.txt --ids more.txt --out exports
  gunzip -c ids.csv.gz | bulkfetch run jobs.toml --ids - --ids-column "Job ID"
  bulkfetch run --ids ids.txt --data-center eu --out exports
  bulkfetch run jobs.toml --json -q > results.jsonl
  bulkfetch run jobs.toml --wait 30m
  bulkfetch run jobs.toml --failed
  bulkfetch run jobs.toml --again 554023000000568002 --again missing

Fetch, verify and extract every result of a list, and publish it in the output folder. What is done
stays done: after any interruption, run the same command again to continue. Jobs that failed
temporarily are then retried after all new ids. Jobs that failed permanently (an unknown id, no
permission, a hostile archive) are requested again only with --failed or --again, which take ids,
names and accounts from earlier runs.

Without JOBS.toml, --data-center says where the org is; credentials come from the environment, as
with a file, and every other setting has its default. With both, the servers of --data-center are
used, not those of the file.

With --wait, Zoho is first asked for the state of each job, at 1 API credit a time, and a result is
requested once it is ready. None of the ten downloads per minute is spent on results that are not
ready, could not be prepared or do not exist. A result must then have as many records as Zoho says.
What is not ready when DURATION (such as 90s, 30m, 2h) is over stays pending, and the exit status is
3. Without DURATION there is no limit.

stdout gets the path of each published file, or with --json one object per job and a summary as the
last line. If stdout is closed, the run finishes transfers in flight and stops. So it does on the
first Ctrl-C (or SIGTERM, SIGHUP); the second stops immediately.
"""


@click.command(help=_ABOUT, short_help="Fetch a list, or continue it.", epilog=exit_codes.EPILOG)
@list_options
@click.option("--failed", is_flag=True, help="Fetch the jobs that failed in the output folder.")
@click.option(
    "--pending", is_flag=True, help="Fetch the jobs of earlier lists that have not ended."
)
@click.option(
    "--again",
    multiple=True,
    metavar="ID|missing",
    help="Fetch a job again, or all jobs whose file is missing; repeatable.",
)
@click.option(
    "--wait",
    type=WaitTime(),
    is_flag=False,
    flag_value=NO_LIMIT,
    metavar="[DURATION]",
    help="Wait for results that are still being prepared.",
)
@click.option("--keep-zip", is_flag=True, help="Keep the ZIP archives beside their files.")
@click.option("--overwrite", is_flag=True, help="Replace files that bulkfetch did not publish.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Start at most N jobs of the list that are still to be done.",
)
@click.option("--fail-empty", is_flag=True, help="Exit with status 3 if the list is empty.")
@steering_options
@output_options(
    json_help="One JSON object per job on stdout.",
    verbose_help="Report each request and file too; -vv: everything.",
)
def run(
    printer: Printer,
    options: ListOptions,
    failed: bool,
    pending: bool,
    again: tuple[str, ...],
    wait: float | None,
    keep_zip: bool,
    overwrite: bool,
    limit: int | None,
    fail_empty: bool,
    max_s: float | None,
    limit_rate: int | None,
) -> int:
    """Fetch a list, and return the exit status."""
    options = options._replace(
        again=again, failed=failed, pending=pending, limit=JobLimit(limit) if limit else None
    )
    settings = settings_of(
        options, keep_zip=keep_zip, overwrite=overwrite, wait=wait, limit_rate=limit_rate
    )
    printer.warn(*settings.warnings)
    if "-" in options.lists and os.isatty(0):
        printer.note("reading ids from the terminal; press Ctrl-D to end the list")
    with open_list(options, settings) as jobs:
        if jobs is None:
            return _nothing_to_do(printer, options, settings, fail_empty=fail_empty)
        from bulkfetch.cli.runner import carry_out

        if options.failed and (left := left_out(options, settings)):
            verb, whose = ("is", "its hint comes") if left == 1 else ("are", "their hints come")
            printer.note(f"{counted(left)} that failed {verb} left out: {whose} first")
        only_new = not printer.json
        ending = carry_out(
            settings, lambda client: client.fetch(jobs, only_new=only_new), printer, max_s
        )
    status = ending.exit_status
    _tell(printer, options, settings.out, ending, status)
    if ending.report is not None:
        printer.sum_up(summary_record(ending.report, status), write=not ending.stdout_gone)
    return status


def _nothing_to_do(
    printer: Printer, options: ListOptions, settings: Settings, *, fail_empty: bool
) -> int:
    limit = options.limit
    if limit is not None and limit.passed_over:
        printer.note(f"{counted(limit.passed_over)} of the list: nothing is left to do")
    elif fail_empty:
        raise EmptyList
    elif options.recalls and not options.lists:
        printer.note(f"{nothing_recalled(options, settings)}: nothing to do")
    else:
        printer.warn("the list is empty: nothing to do")
    printer.sum_up(summary_record(Report(), exit_codes.DONE))
    return exit_codes.DONE


def _tell(printer: Printer, options: ListOptions, out: Path, ending: Ending, status: int) -> None:
    report, error = ending.report, ending.error
    if report is not None:
        shown = report.failures[:SHOWN_FAILURES]
        more = report.failed - report.failed_before - len(shown)
        printer.failures(shown, more, listing_of(out))
        for line in notes_on_skipped(report):
            printer.note(line)
    if error is not None:
        printer.aborted(error)
    elif (aborted := report.aborted if report else None) and not ending.has_told(aborted):
        printer.failure(aborted)
    if report is not None:
        printer.note(summary_line(report))
    if status != exit_codes.DONE:
        command = this_command(options.ids)
        if step := next_step(status, report, command, stdin_list="-" in options.lists):
            printer.note(step)

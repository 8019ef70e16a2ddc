"""`bulkfetch status`: what is done in an output folder, what failed and why."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.printer import Printer
from bulkfetch.observe.messages import SHOWN_FAILURES, failure_lines
from bulkfetch.observe.records import job_record
from bulkfetch.text import jobs

if TYPE_CHECKING:
    from bulkfetch.journal import AccountCounts, JournalReader

_ABOUT = """\b
Examples:
  bulkfetch status exports
  bulkfetch status exports --json | jq 'select(.status == "failed") | .id'

Show what is done in an output folder, over all runs, how far each export is, which run is using
the folder now, and which jobs failed and why (--json lists all of them). Changes nothing and never
waits for a run.
"""

_EPILOG = exit_codes.epilog(
    s0="the state was shown; with --check: all is done",
    s1="only with --check: jobs have failed or are pending, or exports are unfinished",
    s2="usage error, or no run has used this folder",
    s3="the journal cannot be read",
    s130="interrupted, or stdout was closed",
)


@click.command(help=_ABOUT, short_help="Show what is done in an output folder.", epilog=_EPILOG)
@click.argument("out", metavar="OUT")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, failed jobs too.")
@click.option("--check", is_flag=True, help="Exit with 1 if jobs have failed or are pending.")
@click.pass_obj
def status(printer: Printer, out: str, as_json: bool, check: bool) -> int:
    """Show the state of an output folder, and return the exit status."""
    from bulkfetch.cli.status_exports import tell_exports
    from bulkfetch.journal import JournalReader, OutputLock
    from bulkfetch.pipeline.layout import STATE_DIR

    printer.json = as_json
    folder = Path(out) / STATE_DIR
    with JournalReader.open(folder) as reader:
        counts = reader.counts()
        for account in counts:
            printer.result(_account_line(account), {"type": "account", **account._asdict()})
        exports = reader.exports()
        if not counts and not exports:
            printer.result("no jobs yet", None)
        open_exports = tell_exports(printer, exports)
        holder = OutputLock.holder(folder)
        printer.result(
            f"a run is active: {holder}" if holder else "no run is active",
            {"type": "lock", "held": holder is not None, **(holder._asdict() if holder else {})},
        )
        _tell_failed(printer, reader, sum(account.failed for account in counts))
    unfinished = open_exports or any(
        each.failed or each.pending or each.downloaded for each in counts
    )
    return exit_codes.FAILED if check and unfinished else exit_codes.DONE


def _account_line(counts: AccountCounts) -> str:
    waiting = f", {counts.downloaded} downloaded and to be unpacked" if counts.downloaded else ""
    replaced = f" ({counts.superseded} superseded by newer ones)" if counts.superseded else ""
    return (
        f"account {counts.account}: {counts.done} done{replaced}, {counts.failed} failed, "
        f"{counts.pending} pending{waiting}"
    )


def _tell_failed(printer: Printer, reader: JournalReader, count: int) -> None:
    limit = None if printer.json else SHOWN_FAILURES
    for outcome in islice(reader.failed(), limit):
        sentence, hint = failure_lines(outcome)
        printer.result(sentence, job_record(outcome))
        if hint:
            printer.result(f"  hint: {hint}", None)
    if limit is not None and count > limit:
        printer.result(f"and {jobs(count - limit)} more failed; --json lists all of them", None)

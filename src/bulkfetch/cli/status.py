"""`bulkfetch status`: what is done in an output folder, what failed and why."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.endings import listing_of
from bulkfetch.cli.printer import Printer
from bulkfetch.errors import ConfigError
from bulkfetch.observe.failures import SharedHints, grouped
from bulkfetch.observe.messages import SHOWN_FAILURES, failure_lines, more_failures_line, of_account

if TYPE_CHECKING:
    from bulkfetch.journal import AccountCounts, JournalReader, Known
    from bulkfetch.models import Outcome

_ABOUT = """\b
Examples:
  bulkfetch status exports
  bulkfetch status exports --all
  bulkfetch status exports --pending --ids > ids.txt
  bulkfetch status exports --json | jq 'select(.status == "failed") | .id'

Show what all runs in an output folder have done: how many jobs are done, how far each export is,
and which jobs failed and why (--json lists all of them). Show also which run is using the folder
now: what it is downloading, as far as its files tell, and when the last request of its list will
start. Changes nothing, and never waits for a run.
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
@click.option("--all", "which", flag_value="all", help="List every job.")
@click.option("--failed", "which", flag_value="failed", help="List every job that failed.")
@click.option("--pending", "which", flag_value="pending", help="List every job that has not ended.")
@click.option(
    "--ids", "only_ids", is_flag=True, help="Only ids, one per line, as `run --ids` reads them."
)
@click.option("--account", metavar="NAME", help="List only jobs of this account.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, failed jobs too.")
@click.option("--check", is_flag=True, help="Exit with 1 if jobs have failed or are pending.")
@click.pass_obj
def status(
    printer: Printer,
    out: str,
    which: str | None,
    only_ids: bool,
    account: str | None,
    as_json: bool,
    check: bool,
) -> int:
    """Show the state of an output folder, and return the exit status."""
    from bulkfetch.cli.status_exports import is_unfinished
    from bulkfetch.journal import JournalReader
    from bulkfetch.pipeline.layout import STATE_DIR

    if only_ids and as_json:
        raise click.UsageError("--ids and --json cannot be used together")
    printer.json = as_json
    with JournalReader.open(Path(out) / STATE_DIR) as reader:
        counts = reader.counts()
        _require_account(account, counts)
        if only_ids:
            _tell_ids(printer, reader, which or "all", account, counts)
            open_exports = any(map(is_unfinished, reader.exports()))
        else:
            open_exports = _tell_state(printer, reader, counts, Path(out) / STATE_DIR)
            if which is None and account is None:
                _tell_failures(printer, reader, sum(each.failed for each in counts), out)
            else:
                _tell_jobs(printer, _selected(reader, which or "all", account))
    unfinished = open_exports or any(
        each.failed or each.pending or each.downloaded for each in counts
    )
    return exit_codes.FAILED if check and unfinished else exit_codes.DONE


def _tell_state(
    printer: Printer, reader: JournalReader, counts: list[AccountCounts], folder: Path
) -> bool:
    """Tell of accounts, exports and the run; return whether an export is unfinished."""
    from bulkfetch.cli.status_exports import tell_exports
    from bulkfetch.cli.status_live import tell_run
    from bulkfetch.journal import OutputLock

    for each in counts:
        printer.result(_account_line(each), {"type": "account", **each._asdict()})
    exports = reader.exports()
    if not counts and not exports:
        printer.result("no jobs yet", None)
    open_exports = tell_exports(printer, exports)
    holder = OutputLock.holder(folder)
    printer.result(
        f"a run is active: {holder}" if holder else "no run is active",
        {"type": "lock", "held": holder is not None, **(holder._asdict() if holder else {})},
    )
    if holder is not None:
        tell_run(printer, reader, holder, folder / "staging")
    return open_exports


def _account_line(counts: AccountCounts) -> str:
    waiting = f", {counts.downloaded} downloaded and to be unpacked" if counts.downloaded else ""
    replaced = f" ({counts.superseded} superseded by newer ones)" if counts.superseded else ""
    return (
        f"account {counts.account}: {counts.done} done{replaced}, {counts.failed} failed, "
        f"{counts.pending} pending{waiting}"
    )


def _require_account(account: str | None, counts: list[AccountCounts]) -> None:
    names = [each.account for each in counts]
    if account is not None and account not in names:
        raise ConfigError(
            f"no job of account {account[:60]!a} is known in this folder",
            hint=f"Known: {', '.join(names)}." if names else "No job is known here yet.",
        )


def _tell_ids(
    printer: Printer,
    reader: JournalReader,
    which: str,
    account: str | None,
    counts: list[AccountCounts],
) -> None:
    """Write ids only. Raises ConfigError where they would be of several accounts."""
    if account is None and len(counts) > 1:
        names = ", ".join(each.account for each in counts)
        raise ConfigError(
            f"a list of ids does not tell their accounts apart: {names}",
            hint="Choose one with --account NAME, or use --json.",
        )
    for known in _selected(reader, which, account):
        if not known.job.folder:  # a page of an export: `export` goes on with it, not `run`
            printer.result(known.job.id, None)


def _selected(reader: JournalReader, which: str, account: str | None) -> Iterator[Known]:
    for known in reader.known():
        if account in (None, known.job.account) and which in ("all", known.outcome.status):
            yield known


def _tell_failures(printer: Printer, reader: JournalReader, count: int, out: str) -> None:
    if printer.json:
        for outcome in reader.failed():
            printer.result(None, outcome.to_dict())
        return
    for sentence, hint in grouped(islice(reader.failed(), SHOWN_FAILURES)):
        printer.result(sentence, None)
        if hint:
            printer.result(f"  hint: {hint}", None)
    if (more := count - SHOWN_FAILURES) > 0:
        printer.result(more_failures_line(more, shlex.join(listing_of(out))), None)


def _tell_jobs(printer: Printer, jobs: Iterator[Known]) -> None:
    """List jobs, and then once each what to do about those that failed."""
    hints = SharedHints()
    for known in jobs:
        outcome = known.outcome
        printer.result(_job_line(outcome), outcome.to_dict())
        if outcome.status == "failed":
            hints.add(outcome.error)
    for line in hints.lines():
        printer.result(line, None)


def _job_line(outcome: Outcome) -> str:
    if outcome.status == "failed":
        return failure_lines(outcome)[0]
    whose = of_account(outcome.account)
    what = "".join(f" {file.path}" for file in outcome.files)
    if outcome.superseded_by is not None:
        what = f", superseded by {outcome.superseded_by}"
    return f"job {outcome.job_id}{whose}: {outcome.status}{what}"

"""`bulkfetch clean`: what an output folder keeps of itself and nothing needs any more."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.printer import Printer
from bulkfetch.disk import disk_errors, remove
from bulkfetch.errors import OutputLocked
from bulkfetch.text import jobs, number, size

if TYPE_CHECKING:
    from bulkfetch.journal import JournalReader
    from bulkfetch.journal.housekeeping import Recorded, Spent
    from bulkfetch.pipeline.layout import OutputLayout
    from bulkfetch.pipeline.strays import Stray

_ABOUT = """\b
Examples:
  bulkfetch clean exports --dry-run
  bulkfetch clean exports
  bulkfetch clean exports --days 90

Remove from OUT/.bulkfetch what nothing needs any more: rows of jobs that have ended and that no
list has named for 30 days (a later list that names one requests it again), refused archives that
are as old or whose job is done, files that broken runs left, and what is left of exports that were
given up. Published files stay, and so does all that a pending job or an export under way needs.
"""

_EPILOG = exit_codes.epilog(
    s0="the folder is clean; with --dry-run: the list was shown",
    s2="usage error, or no run has used this folder",
    s3="a run is using the folder, or it cannot be changed",
    s130="interrupted: what was not removed is removed by the next call",
)


@click.command(help=_ABOUT, short_help="Remove what is no longer needed.", epilog=_EPILOG)
@click.argument("out", metavar="OUT")
# Zoho keeps a result for a day: what is younger may still be listed.
@click.option(
    "--days",
    type=click.IntRange(1, 36_500),
    default=30,
    show_default=True,
    help="Age from which they are old.",
)
@click.option("--dry-run", is_flag=True, help="Only list it, with sizes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per file, and a summary.")
@click.pass_obj
def clean(printer: Printer, out: str, days: int, dry_run: bool, as_json: bool) -> int:
    """Clean the folder, and return the exit status."""
    from bulkfetch.journal import JournalReader
    from bulkfetch.journal import housekeeping as journal
    from bulkfetch.pipeline.layout import STATE_DIR, OutputLayout

    printer.json = as_json
    moment = datetime.now(UTC) - timedelta(days=days)
    folder = Path(out) / STATE_DIR
    places = OutputLayout.of(out)
    with _looking(folder) if dry_run else journal.alone(folder):
        with JournalReader.open(folder) as reader, disk_errors(places.state):
            spent = reader.ask(
                lambda connection: journal.count_spent(connection, moment), journal.Spent(0, 0)
            )
            strays = list(_strays(reader, places, moment.timestamp()))
        freed = 0
        if not dry_run:
            freed = _remove(folder, places, strays, spent, moment)
    for stray in strays:
        path = places.report(stray.path)
        printer.result(
            f"{path}: {size(stray.bytes)}, {stray.why}",
            {"type": "stray", "path": path, "bytes": stray.bytes, "why": stray.why},
        )
    _tell_sum(printer, strays, spent, freed, dry_run=dry_run)
    if spent.pending:
        printer.note(
            f"{jobs(spent.pending)} pending that no list has named for {days} days; "
            "`bulkfetch forget` forgets them"
        )
    return exit_codes.DONE


@contextmanager
def _looking(folder: Path) -> Iterator[None]:
    """Refuse to look beside a run, whose files come and go; changes nothing."""
    from bulkfetch.journal import JournalReader, OutputLock

    with JournalReader.open(folder):
        holder = OutputLock.holder(folder)
    if holder is not None:
        raise OutputLocked(f"{folder.parent} is held by {holder}")
    yield


def _strays(reader: JournalReader, places: OutputLayout, before: float) -> Iterator[Stray]:
    from bulkfetch.filenames import UNFINISHED_EXPORTS
    from bulkfetch.journal.housekeeping import recorded
    from bulkfetch.pipeline.staged import staged_files
    from bulkfetch.pipeline.strays import stray_exports, strays_in_quarantine, strays_in_staging

    def recorded_of(account: str, job_id: str) -> Recorded:
        return reader.ask(lambda connection: recorded(connection, account, job_id), "unknown")

    yield from strays_in_staging(staged_files(places.staging), recorded_of, before)
    yield from strays_in_quarantine(staged_files(places.quarantine), recorded_of, before)
    needed = {
        f"{each.row.name}/generation-{each.generation.key}"
        for each in reader.exports()
        if each.generation is not None and each.generation.state in ("ACTIVE", "PUBLISHING")
    }
    yield from stray_exports(places.out / UNFINISHED_EXPORTS, needed)


def _remove(
    folder: Path, places: OutputLayout, strays: list[Stray], spent: Spent, moment: datetime
) -> int:
    """Forget the rows, then remove the files; return by how many bytes the journal has shrunk."""
    from bulkfetch.journal import housekeeping as journal

    archives = [stray.path for stray in strays if Path(stray.path).parent == places.quarantine]
    if archives or spent.jobs or spent.generations:
        with journal.changes(folder) as connection:
            journal.forget_spent(connection, moment)
            for path in archives:
                journal.let_go_of_archive(connection, os.path.relpath(path, places.out))
    with disk_errors(places.state):
        for stray in strays:
            if os.path.isdir(stray.path):
                shutil.rmtree(stray.path)
            else:
                remove(stray.path)
    return journal.shrink(folder) if spent.jobs or spent.generations else 0


def _tell_sum(
    printer: Printer, strays: list[Stray], spent: Spent, freed: int, *, dry_run: bool
) -> None:
    total = sum(stray.bytes for stray in strays)
    parts = [f"{number(len(strays), 'file')} of {size(total)}"]
    parts.append(f"rows of {jobs(spent.jobs)}")
    if spent.generations:
        parts.append(f"rows of {spent.generations} old exports")
    shrunk = f"; the journal is {size(freed)} smaller" if freed > 0 else ""
    verb = "would be removed" if dry_run else "removed"
    printer.result(
        f"{verb}: {', '.join(parts)}{shrunk}",
        {
            "type": "summary",
            "dry_run": dry_run,
            "files": len(strays),
            "bytes": total,
            "jobs": spent.jobs,
            "generations": spent.generations,
            "journal_bytes": freed,
        },
    )

"""`bulkfetch forget`: jobs out of the journal, so that they are asked for again or not counted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.printer import Printer
from bulkfetch.disk import disk_errors, remove
from bulkfetch.errors import ConfigError
from bulkfetch.models import is_job_id
from bulkfetch.text import escape, jobs, number

if TYPE_CHECKING:
    from bulkfetch.journal import JournalReader, Known
    from bulkfetch.pipeline.layout import OutputLayout

_ABOUT = """\b
Examples:
  bulkfetch forget exports 554023000000568002
  bulkfetch forget exports 554023000000568002 --files
  bulkfetch status exports --pending --ids | bulkfetch forget exports --ids -

Forget jobs: the next run that lists them requests them again, and until then they are not counted.
Published files stay, and may be replaced by a job of the same name. With --files they are removed
if they are unchanged, and so are the files of these jobs in staging and quarantine.

With --server no job is forgotten, but only the server that an account's results came from; the next
run uses the server of its settings. Do this for an org that has moved to another data centre and
has the same ids there; for another org use another output folder.
"""

_EPILOG = exit_codes.epilog(
    s0="the jobs are forgotten",
    s2="usage error, no run has used this folder, or it knows none of these jobs",
    s3="a run is using the folder, or the journal cannot be changed",
    s130="interrupted",
)

# How many unknown ids are told.
_SHOWN_IDS = 5


@click.command(help=_ABOUT, short_help="Forget jobs, to fetch them again.", epilog=_EPILOG)
@click.argument("out", metavar="OUT")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option(
    "--ids", "lists", multiple=True, metavar="FILE|-", help="Read ids from a file or stdin."
)
@click.option("--account", metavar="NAME", help="Only jobs of this account.")
@click.option("--server", metavar="NAME", help="Forget only the server of this account.")
@click.option("--files", "with_files", is_flag=True, help="Remove their unchanged files, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per job, and a summary.")
@click.pass_obj
def forget(
    printer: Printer,
    out: str,
    ids: tuple[str, ...],
    lists: tuple[str, ...],
    account: str | None,
    server: str | None,
    with_files: bool,
    as_json: bool,
) -> int:
    """Forget the jobs, or a server, and return the exit status."""
    from bulkfetch.journal import JournalReader
    from bulkfetch.journal import housekeeping as journal
    from bulkfetch.pipeline.layout import STATE_DIR, OutputLayout

    if server is not None:
        if ids or lists or account is not None or with_files:
            raise ConfigError("--server forgets no jobs", hint="Give it alone, with OUT.")
        printer.json = as_json
        return _forget_server(printer, Path(out) / STATE_DIR, server)
    if not ids and not lists:
        raise ConfigError("no job ids given", hint="Give ids as arguments, or --ids FILE.")
    printer.json = as_json
    folder = Path(out) / STATE_DIR
    places = OutputLayout.of(out)
    with journal.alone(folder):
        with ExitStack() as stack, JournalReader.open(folder) as reader:
            wanted = dict.fromkeys(chain(ids, *(_read(stack, name) for name in lists)))
            known, unknown = _known(reader, wanted, account)
        with journal.changes(folder) as connection:
            journal.forget(connection, ((each.job.account, each.job.id) for each in known))
        removed = sum(_remove_files(each, places) for each in known) if with_files else 0
    for each in known:
        record = {"type": "forgotten", "id": each.job.id, "account": each.job.account}
        printer.result(None, record | {"status": each.outcome.status})
    if unknown:
        more = ", …" if len(unknown) > _SHOWN_IDS else ""
        printer.warn(f"unknown here: {jobs(len(unknown))}: {', '.join(unknown[:_SHOWN_IDS])}{more}")
    if with_files and any(file.is_object for each in known for file in each.files):
        printer.warn("what is in a bucket is left there: remove it with the tools of the bucket")
    files = f", {number(removed, 'file')} removed" if with_files else ""
    summary = {"type": "summary", "forgotten": len(known), "unknown": len(unknown)}
    printer.result(f"{jobs(len(known))} forgotten{files}", summary | {"files": removed})
    return exit_codes.DONE


def _forget_server(printer: Printer, folder: Path, account: str) -> int:
    from bulkfetch.journal import housekeeping as journal

    with journal.alone(folder), journal.changes(folder) as connection:
        known = journal.forget_server(connection, account)
    if known is None:
        raise ConfigError(
            f"no server of an account {escape(account, 60)} is known in this folder",
            hint="The account's name is that of the settings file.",
        )
    record = {"type": "server_forgotten", "account": account, "server": known}
    printer.result(f"account {account}: {known} forgotten", record)
    return exit_codes.DONE


def _read(stack: ExitStack, name: str) -> Iterator[str]:
    """Yield the ids of a list, one on each line, '#' comments. Raises ConfigError."""
    from bulkfetch.config.list_lines import label_of, open_lines, unreadable

    try:
        for number, line in enumerate(open_lines(stack, name, None), 1):
            text = line.partition(b"#")[0].decode("utf-8", "backslashreplace").strip()
            if text and not is_job_id(text):
                raise ConfigError(f"{label_of(name)}:{number}: not a job id: {escape(text, 60)}")
            if text:
                yield text
    except OSError as error:
        raise unreadable(label_of(name), error) from None


def _known(
    reader: JournalReader, ids: Iterable[str], account: str | None
) -> tuple[list[Known], list[str]]:
    """Return the jobs of these ids, and the ids that the journal does not know.

    Raises ConfigError for a page of an export, what is not an id, and if none of some is known.
    """
    known: list[Known] = []
    unknown: list[str] = []
    for job_id in ids:
        if not is_job_id(job_id):
            raise ConfigError(f"not a job id: {escape(job_id, 60)}")
        found = [each for each in reader.find(job_id) if account in (None, each.job.account)]
        if any(each.job.folder for each in found):
            raise ConfigError(
                f"job {job_id} is a page of an export, which forgets it when it is complete",
                hint="`bulkfetch export` with --full begins an export anew.",
            )
        known += found
        if not found:
            unknown.append(job_id)
    if unknown and not known:
        what = f"job {unknown[0]} is" if len(unknown) == 1 else "these jobs are"
        raise ConfigError(
            f"{what} not known in this folder",
            hint="`bulkfetch status OUT --ids` lists what is known.",
        )
    return known, unknown


def _remove_files(known: Known, places: OutputLayout) -> int:
    """Remove what a job has published, unless it has changed, and its bodies; return how many."""
    paths = [places.part(known.job), places.zip(known.job), places.quarantined(known.job)]
    with disk_errors(places.out):
        for file in known.files:
            if file.is_object:
                continue
            path = places.absolute(file.path)
            if os.path.lexists(path) and os.lstat(path).st_size == file.bytes:
                paths.append(path)
        there = [path for path in paths if os.path.lexists(path)]
        for path in there:
            remove(path)
    return len(there)

"""`bulkfetch verify`: whether published files are still as they were, to the last byte."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.printer import Printer
from bulkfetch.errors import ConfigError, DestinationFailed, DestinationRefused
from bulkfetch.models import PublishedFile
from bulkfetch.text import number

if TYPE_CHECKING:
    from bulkfetch.journal import JournalReader, Known
    from bulkfetch.pipeline.layout import OutputLayout

_ABOUT = """\b
Examples:
  bulkfetch verify exports
  bulkfetch verify exports 554023000000568002
  bulkfetch verify exports --json | jq 'select(.ok == false) | .id'
  bulkfetch verify exports --settings jobs.toml --download

Check that each published file exists and has the size and SHA-256 that the journal recorded: the
files of jobs, and the parts of the newest folder of each export, also in a folder that a fleet's
hosts share. Files replaced by a newer job are skipped. Changes nothing; `bulkfetch run JOBS.toml
--again missing` fetches what is gone or has another size.

Only files in a bucket need the network: one request for each, which tells its size. With --download
they are read, and their SHA-256 compared. [destination] in the file of --settings says how the
bucket is reached, such as its endpoint; without --settings only the environment does.
"""

_WITHOUT_SETTINGS = (
    "Add --settings JOBS.toml if its [destination] says how the bucket is reached, such as its "
    "endpoint. The credentials are those of the environment (AWS_…, GOOGLE_…, AZURE_…)."
)

_EPILOG = exit_codes.epilog(
    s0="every file is as it was published",
    s1="files are missing, have changed or cannot be read",
    s2="usage error, or no run has used this folder",
    s3="the journal cannot be read, or the bucket",
    s130="interrupted, or stdout was closed",
)


@click.command(help=_ABOUT, short_help="Compare published files with the journal.", epilog=_EPILOG)
@click.argument("out", metavar="OUT")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--settings", "settings_file", metavar="JOBS.toml", help="Reach buckets as it says.")
@click.option("--download", is_flag=True, help="Read files in a bucket, not only their sizes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per file, and a summary.")
@click.pass_obj
def verify(
    printer: Printer,
    out: str,
    ids: tuple[str, ...],
    settings_file: str | None,
    download: bool,
    as_json: bool,
) -> int:
    """Check every published file, and return the exit status."""
    from bulkfetch.config import load_settings
    from bulkfetch.config.bucket import DestinationSettings
    from bulkfetch.destination.shared import shared_path
    from bulkfetch.destinations import PublishedObjects
    from bulkfetch.journal import JournalReader
    from bulkfetch.pipeline.layout import STATE_DIR, OutputLayout
    from bulkfetch.pipeline.verify import check, check_object

    reach = DestinationSettings()
    if settings_file is not None:
        reach = load_settings(settings_file).destination
    objects = PublishedObjects(reach)
    printer.json = as_json
    places = OutputLayout.of(out)
    files = bad = sizes_only = unread = 0
    with JournalReader.open(Path(out) / STATE_DIR) as reader, _hinting_at(settings_file):
        parts = [] if ids else _parts(reader, places)
        for about, file in chain(_files(_published(reader, ids)), parts):
            local = shared_path(file.path) if file.is_object else places.absolute(file.path)
            if local is None:
                read = partial(objects.read, file.path) if download else None
                problem = check_object(file, objects.size(file.path), read)
                unread += not download and file.sha256 is not None
            else:
                problem = check(local, file)
            files += 1
            sizes_only += file.sha256 is None
            bad += problem is not None
            record = {
                "type": "file",
                **about,
                "path": file.path,
                "ok": problem is None,
                "problem": problem.kind if problem else None,
            }
            printer.result(f"{file.path}: {problem.text}" if problem else None, record)
    summary = {"type": "summary", "files": files, "bad": bad}
    wrong = f"{bad} of them changed or missing" if bad else "all as they were published"
    if sizes_only:
        wrong += f"; of {sizes_only} only the size is known (sha256 = false)"
    if unread:
        wrong += f"; of {unread} in a bucket only the size was looked at (--download reads them)"
    printer.result(f"{number(files, 'file')}, {wrong}", summary)
    return exit_codes.FAILED if bad else exit_codes.DONE


@contextmanager
def _hinting_at(settings_file: str | None) -> Iterator[None]:
    """Have a bucket's error in the block tell of --settings where there is no such file."""
    try:
        yield
    except (DestinationFailed, DestinationRefused) as error:
        if settings_file is not None:
            raise
        raise type(error)(error.message, hint=_WITHOUT_SETTINGS) from None


def _files(published: Iterable[Known]) -> Iterator[tuple[Mapping[str, object], PublishedFile]]:
    for known in published:
        for file in known.files:
            yield {"id": known.job.id, "account": known.job.account}, file


def _parts(
    reader: JournalReader, places: OutputLayout
) -> Iterator[tuple[Mapping[str, object], PublishedFile]]:
    """Give the parts of each export that was published last."""
    from bulkfetch.exports.published import reported_file

    for export, generation, pages in reader.published_exports():
        assert generation is not None, "of an export that was committed"
        folder = str(generation.folder)
        for page in pages:
            about = {"id": page.job_id, "account": generation.account, "export": export.name}
            for file in page.files:
                path = reported_file(places.above, export.name, folder, file.name)
                yield about, PublishedFile(path, file.bytes, file.sha256)


def _published(reader: JournalReader, ids: tuple[str, ...]) -> Iterator[Known]:
    """Give the jobs to look at; those with files among them may have failed or be pending since."""
    if not ids:
        yield from reader.known()
    for job_id in ids:
        found = reader.find(job_id)
        if not any(known.files or known.outcome.status == "done" for known in found):
            raise ConfigError(f"job {job_id[:60]!a} is not done in this folder")
        yield from found

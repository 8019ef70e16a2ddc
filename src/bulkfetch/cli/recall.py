"""Jobs of the journal that the user wants: --failed, --pending, --again."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from bulkfetch.errors import (
    ConfigError,
    NotConvertible,
    PublishConflict,
    UnknownAccount,
    error_class,
    is_permanent,
)
from bulkfetch.models import Job, is_job_id

if TYPE_CHECKING:
    from pathlib import Path

    from bulkfetch.cli.options import ListOptions
    from bulkfetch.config import Settings
    from bulkfetch.destinations import PublishedObjects
    from bulkfetch.journal import JournalReader, Known
    from bulkfetch.pipeline.layout import OutputLayout

# Stands for all done jobs whose file is missing or has another size.
MISSING = "missing"


def journal_in(out: Path) -> JournalReader | None:
    """Return a look into the journal of an output folder, None where no run has written there."""
    from bulkfetch.journal import JournalReader
    from bulkfetch.pipeline.layout import STATE_DIR

    try:
        return JournalReader.open(out / STATE_DIR)
    except ConfigError:
        return None


@contextmanager
def recalled(options: ListOptions, settings: Settings) -> Iterator[Iterator[Job]]:
    """Yield the jobs that `again`, `failed` and `pending` select, under their earlier names.

    An id unknown to the journal is treated like an argument. Raises ConfigError for something that
    is not an id, and if no run has used the output folder.
    """
    for text in options.again:
        if text != MISSING and not is_job_id(text):
            raise ConfigError(
                f"--again {text[:60]!a} is not a job id",
                hint=f"Give a job id, or the word {MISSING!r}; repeat --again for several.",
            )
    with ExitStack() as stack:
        jobs: Iterator[Job] = iter(())
        if options.recalls:
            from bulkfetch.journal import JournalReader
            from bulkfetch.pipeline.layout import STATE_DIR

            reader = stack.enter_context(JournalReader.open(settings.out / STATE_DIR))
            jobs = _recalled(options, settings, reader)
        yield jobs


def nothing_recalled(options: ListOptions, settings: Settings) -> str:
    """Return the sentence that nothing is there of what `failed`, `pending` and `again` select."""
    said = []
    if options.failed:
        said.append(
            "each failed job needs its hint followed first"
            if left_out(options, settings)
            else "no job has failed"
        )
    if options.pending:
        said.append("no job is pending")
    if MISSING in options.again:
        said.append("no file is missing")
    return ", ".join(said)


def left_out(options: ListOptions, settings: Settings) -> int:
    """Return how many failed jobs --failed does not ask for: asking would not mend them."""
    from bulkfetch.journal import JournalReader
    from bulkfetch.pipeline.layout import STATE_DIR

    accounts = settings.account_names
    with JournalReader.open(settings.out / STATE_DIR) as reader:
        return sum(
            outcome.export is None
            and options.account in (None, outcome.account)
            and outcome.error is not None
            and not _may_mend(outcome.error.code, outcome.account, accounts)
            for outcome in reader.failed()
        )


def _recalled(options: ListOptions, settings: Settings, reader: JournalReader) -> Iterator[Job]:
    from bulkfetch.config import job_of
    from bulkfetch.pipeline.layout import OutputLayout

    for text in options.again:
        if text == MISSING:
            continue
        found = [known.job for known in reader.find(text) if _is_wanted(options, known)]
        for job in found or [job_of(settings, text)]:
            yield replace(job, again=True)
    if not options.failed and not options.pending and MISSING not in options.again:
        return
    from bulkfetch.destinations import PublishedObjects

    places = OutputLayout.of(settings.out)
    objects = PublishedObjects(settings.destination)
    accounts = settings.account_names
    for known in reader.known():
        if not _is_wanted(options, known):
            continue
        if (options.failed and _has_failed(known, accounts)) or (
            MISSING in options.again and _is_missing(known, places, objects)
        ):
            yield replace(known.job, again=True)
        elif options.pending and known.outcome.status == "pending":
            yield known.job


def _is_wanted(options: ListOptions, known: Known) -> bool:
    if known.job.folder:  # a part of an export, which `bulkfetch export` goes on with
        return False
    return options.account is None or known.job.account == options.account


def _has_failed(known: Known, accounts: Container[str]) -> bool:
    """Return whether a job's last end is a failure that asking may mend.

    Also where it is to be tried once more and a run ended before that.
    """
    error = known.outcome.error
    if known.outcome.status == "done" or error is None:
        return known.outcome.status == "failed"
    return _may_mend(error.code, known.job.account, accounts)


def _may_mend(code: str, account: str, accounts: Container[str]) -> bool:
    """Return whether a job that failed so may do better when it is asked for again."""
    kind = error_class(code)
    if kind is UnknownAccount:  # somebody may have added it to the settings
        return account in accounts
    return kind in (NotConvertible, PublishConflict) or not kind.wants_edit


def _is_missing(known: Known, places: OutputLayout, objects: PublishedObjects) -> bool:
    """Return whether the file of a job is gone that was done, and did not fail for good since.

    Also where it is to be fetched once more and a run ended before that, or it failed.
    """
    from bulkfetch.pipeline.idle_jobs import are_missing

    error = known.outcome.error
    if known.outcome.status == "failed" and error is not None and is_permanent(error.code):
        return False
    if are_missing(known.files, places):
        return True
    return any(objects.size(file.path) != file.bytes for file in known.files if file.is_object)

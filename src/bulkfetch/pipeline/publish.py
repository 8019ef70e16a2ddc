"""From a complete body to a published file.

The order of steps is the promise (a power cut between any two leaves a state from which the next
run goes on): structure verified → synced → journal "downloaded" → extracted, every byte's CRC
checked, synced → renamed → folder synced → journal "done" → the ZIP removed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Container, Sequence
from contextlib import closing, nullcontext
from typing import NamedTuple, TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread

from bulkfetch.archive import (
    ArchivedFile,
    ExtractLimits,
    Member,
    count_problem,
    counter_of,
    inspect,
    published_size,
    recount,
    suffixes_of,
    write_form,
)
from bulkfetch.destination import Destination, MayReplace
from bulkfetch.disk import disk_error, fsync_dir, fsync_file, remove
from bulkfetch.errors import CountMismatch, PublishConflict
from bulkfetch.journal import Journal, Owner, Rival
from bulkfetch.models import Forms, Job, PublishedFile
from bulkfetch.pipeline.active_job import ActiveJob
from bulkfetch.pipeline.layout import OutputLayout
from bulkfetch.text import escape

T = TypeVar("T")
# Says where a job's files are published.
DestinationOf = Callable[[Job], Destination]

# Threads beyond one per core: an fsync lasts as long as extracting the next file.
DISK_WAITS = 4


class StagedZip(NamedTuple):
    """A ZIP that is complete, verified in structure, and synced."""

    member: Member
    zip_bytes: int


class Published(NamedTuple):
    """What stands under its final name: the files, and the ZIP where it is kept.

    `records` is None if they were not counted, or cannot be. `doubts` say what may not be as
    somebody expects it.
    """

    files: tuple[PublishedFile, ...]
    zip: PublishedFile | None = None
    records: int | None = None
    doubts: tuple[str, ...] = ()


class Occupied(NamedTuple):
    """What the journal knows of files under the final names of a job.

    By path: `owners` are the jobs that they are of, `sizes` those that files may have which
    bulkfetch put there. `rival` is another job of the same list with a file of this name.
    """

    owners: dict[str, Owner]
    sizes: dict[str, frozenset[int]]
    rival: Rival | None


class PublishOptions(NamedTuple):
    """How to publish: guards of the archive, whether the ZIP is kept, how much of refused ones.

    `sha256` says whether published files are given their digest, `records` whether their records
    are counted: those of a job that tells how many there should be always are. `overwrite` says
    whether a file that the journal did not publish may be replaced, `forms` what a job's table is
    published as.
    """

    limits: ExtractLimits
    keep_zip: bool
    sha256: bool
    quarantine_bytes: int
    overwrite: bool = False
    records: bool = True
    forms: Callable[[Job], Forms] = lambda _: Forms()


class Publisher:
    """Brings complete ZIPs to their published files, in threads; `cores` are extracted at once.

    If one of its calls is cancelled, it waits for its thread, which `halt` makes short: no thread
    writes or renames after that.
    """

    def __init__(
        self,
        journal: Journal,
        layout: OutputLayout,
        destination_of: DestinationOf,
        options: PublishOptions,
        cores: int,
    ) -> None:
        self._journal = journal
        self._layout = layout
        self._destination_of = destination_of
        self._options = options
        self._threads = anyio.CapacityLimiter(cores + DISK_WAITS)
        self._cores = threading.Semaphore(cores)
        # One at a time: each takes a hundred megabytes, and is done before the next result is due.
        self._converting = threading.Lock()
        self._halted = threading.Event()
        self._in_quarantine = threading.Lock()

    def halt(self) -> None:
        """Have extractions under way end soon, with ExtractionCancelled."""
        self._halted.set()

    async def stage(self, job: Job) -> StagedZip | None:
        """Verify the structure of a job's ZIP in staging and sync it; None where there is none.

        Raises ArchiveError, NotAZip, RunError. If cancelled: staged or not, never half.
        """
        return await self._in_thread(lambda: self._stage(job))

    async def publish(self, job: ActiveJob, staged: StagedZip) -> Published:
        """Record that a staged ZIP is complete, extract its file and publish it.

        Raises ArchiveError, RunError; PublishConflict where something else stands under the name:
        the ZIP stays in staging; ExtractionCancelled after `halt`.
        If cancelled: published or not, never half; a later run goes on from the ZIP.
        """
        archive = self._layout.zip(job.job)
        file = ArchivedFile(archive, staged.member, self._options.limits, self._halted.is_set)
        forms = self._options.forms(job.job)
        suffixes = suffixes_of(staged.member.suffix, forms.formats)
        places = [f"{job.job.place}{suffix}" for suffix in suffixes]
        destination = self._destination_of(job.job)
        sizes = {
            destination.reported(place): published_size(file, suffix)
            for place, suffix in zip(places, suffixes, strict=True)
        }
        rival = await self._journal.downloaded(
            job.entry, zip_bytes=staged.zip_bytes, attempts=job.attempts, files=sizes
        )
        job.recorded = True
        if self._options.keep_zip:
            places.append(_kept_zip(job.job))
        occupied = await self._occupied(destination, places, rival)
        unknown = frozenset(path for path, size in sizes.items() if size is None)
        return await self._in_thread(
            lambda: self._publish(job, file, suffixes, forms, occupied, unknown)
        )

    async def discard(self, job: Job) -> None:
        """Remove a job's body from staging. Raises RunError. If cancelled: it is removed."""
        await self._in_thread(lambda: remove(self._layout.zip(job), self._layout.part(job)))

    async def quarantine(self, job: Job) -> str | None:
        """Keep a job's refused ZIP within the quarantine's size, of which the oldest go first.

        Returns where it is, None where it is too large. Raises RunError. If cancelled: it is kept.
        """
        return await self._in_thread(lambda: self._quarantine(job))

    async def _occupied(
        self, destination: Destination, places: Sequence[str], rival: Rival | None
    ) -> Occupied:
        standing = [
            destination.reported(place) for place in places if not destination.is_free(place)
        ]
        if not standing:  # as most often
            return Occupied({}, {}, rival)
        owners = await self._journal.owners(standing)
        return Occupied(owners, await self._journal.sizes(standing), rival)

    async def _in_thread(self, step: Callable[[], T]) -> T:
        try:
            # Not abandoned on cancel: a thread left running could rename after the run's end.
            return await anyio.to_thread.run_sync(step, limiter=self._threads)
        except OSError as error:
            raise disk_error(error) from error

    # --- in a thread -----------------------------------------------------------------------------

    def _stage(self, job: Job) -> StagedZip | None:
        staged, part = self._layout.zip(job), self._layout.part(job)
        source = staged if os.path.exists(staged) else part
        if not os.path.exists(source):
            return None
        member = inspect(source, self._options.limits)
        fsync_file(source)
        if source is part:
            os.replace(part, staged)
        fsync_dir(self._layout.staging)
        return StagedZip(member, os.stat(staged).st_size)

    def _publish(
        self,
        job: ActiveJob,
        file: ArchivedFile,
        suffixes: Sequence[str],
        forms: Forms,
        occupied: Occupied,
        unknown: Container[str],
    ) -> Published:
        """Do what is left; the sizes of the files at `unknown` paths are not in the journal yet."""
        destination, kept, options = self._destination_of(job.job), None, self._options
        counts = options.records or job.job.records is not None
        with destination.group(self._layout.key(job.job), job.job.place) as group:
            converting = self._converting if ".parquet" in suffixes else nullcontext()
            with converting, self._cores:  # who waits for the first keeps no core
                files, records, doubts = [], None, list[str]()
                for suffix in suffixes:
                    path = destination.reported(f"{job.job.place}{suffix}")
                    draft = group.draft(suffix, self._may_replace(job, path, occupied))
                    counter = counter_of(file.member.suffix) if counts else None
                    written = write_form(
                        file, suffix, draft, forms, digest=options.sha256, counter=counter
                    )
                    files.append(PublishedFile(path, written.bytes, written.sha256))
                    records = written.records
                    if written.kept_text:
                        doubts.append(_kept_text(written.kept_text))
            if job.job.records is not None and records != job.job.records:
                records, doubt = _recounted(records, job.job.records, file)
                if doubt is not None:
                    doubts.append(doubt)
            if (rival := occupied.rival) is not None and destination.stands(rival.path):
                raise _published_before(rival)
            if options.keep_zip:
                place = _kept_zip(job.job)
                path = destination.reported(place)
                group.copy(file.archive, place, self._may_replace(job, path, occupied))
                kept = PublishedFile(path, job.zip_bytes or 0, None)
            if late := {each.path: each.bytes for each in files if each.path in unknown}:
                anyio.from_thread.run(self._journal.announce, job.entry, late)
            try:
                group.publish()
            except PublishConflict as error:
                raise self._layout.as_given(error) from None
        return Published(tuple(files), kept, records, tuple(doubts))

    def _may_replace(self, job: ActiveJob, path: str, occupied: Occupied) -> MayReplace:
        """Return which file under a final name may go: this job's, or as once published.

        A file of an older job that has another size by now was changed by somebody, who may need
        it.
        """
        if self._options.overwrite or path not in occupied.sizes:
            return lambda _: self._options.overwrite
        owner = occupied.owners.get(path)
        if owner is not None and owner.key == job.entry.key:
            return lambda _: True
        return lambda size: size in occupied.sizes[path]

    def _quarantine(self, job: Job) -> str | None:
        staged, target = self._layout.zip(job), self._layout.quarantined(job)
        source = staged if os.path.exists(staged) else self._layout.part(job)
        folder, limit = self._layout.quarantine, self._options.quarantine_bytes
        with self._in_quarantine:  # another thread must not remove what this one looks at
            size = os.stat(source).st_size
            if size > limit:
                os.unlink(source)
                return None
            folder.mkdir(exist_ok=True)
            kept = sorted(
                ((entry.stat(), entry.path) for entry in os.scandir(folder)),
                key=lambda pair: pair[0].st_mtime_ns,
            )
            total = sum(stat.st_size for stat, _ in kept)
            while kept and total + size > limit:
                stat, oldest = kept.pop(0)
                remove(oldest)
                total -= stat.st_size
            os.replace(source, target)
        return target


def _published_before(rival: Rival) -> PublishConflict:
    """Return the error for a job whose name has the file of another job of the list.

    That one was listed after this one, else this one would not have been asked for.
    """
    return PublishConflict(
        f"job {rival.job_id} of the same list was published under the same name before: "
        f"{rival.path}",
        hint="Give one of them another name, or take one out of the list. The result is kept "
        "and not asked for again.",
    )


def _kept_zip(job: Job) -> str:
    """Return where a job's archive is published, where it is kept."""
    return job.in_folder(f"{job.id}.zip")


def _kept_text(columns: Sequence[str]) -> str:
    """Return what is told of columns that stay text."""
    shown = ", ".join(escape(name, 64) for name in columns)
    return f"not every value is exactly of its field's type, hence these columns are text: {shown}"


def _recounted(
    records: int | None, expected: int, file: ArchivedFile
) -> tuple[int | None, str | None]:
    """Return the number of a file's records, which is not the expected one, and a doubt about it.

    A CSV's are counted anew, with None for the doubt; raises CountMismatch where they still are not
    as many. Of events, which are less certain to be counted as the service does, there is a doubt.
    """
    if file.member.suffix != ".csv":
        return records, count_problem(records, expected)
    with closing(file.batches()) as batches:
        records = recount(batches)
    if records != expected:
        raise CountMismatch(count_problem(records, expected))
    return records, None

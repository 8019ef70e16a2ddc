"""The run's queue and memory.

The whole list goes in first (`enqueue`, which says what becomes of each job), then each account's
worker pulls from it (`take`): the list lives on the disk, and a million ids cost no memory. What a
job came to is written here before anybody is told (`downloaded`, `done`, `failed` are on the disk
when they return).

One `Journal` is one run. A job done in an earlier run stays done and is this run's "skipped", under
the name and path that it was published as: another `name` in the list does not bring it again,
since that would cost a request. A job that failed for a passing cause is to do again, after all
fresh ones; one that failed for good is not. The name of a job that is not done yet is always the
newest list's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from bulkfetch.disk import disk_errors, fsync_dir
from bulkfetch.journal import ownership, queue, runs, traces
from bulkfetch.journal.admission import (
    Admission,
    ClaimedNames,
    enqueue,
    is_empty,
    next_position,
    published_stem,
    record_refused,
)
from bulkfetch.journal.codec import Outcomes
from bulkfetch.journal.entries import Counts, Entry, Owner, Rival
from bulkfetch.journal.exports import ExportTables
from bulkfetch.journal.schema import DONE, FAILED, FILE_NAME
from bulkfetch.journal.servers import note_servers
from bulkfetch.journal.writer import Work, Writer
from bulkfetch.models import Failure, Job, Outcome, PublishedFile

T = TypeVar("T")

# Second tries handed out at a time: as many as may be in flight by default.
SECOND_TRIES = 10


class Journal:
    """One run's view of a journal. Used in the event loop in which it was opened."""

    def __init__(
        self,
        writer: Writer,
        outcomes: Outcomes,
        first_position: int,
        paces: Mapping[str, runs.RunPace],
        *,
        fed: bool = False,
    ) -> None:
        """Use `open`."""
        # Why nothing is known of earlier runs although there seem to have been some; else None.
        self.afresh: str | None = None
        self._writer = writer
        self._outcomes = outcomes
        self._first_position = first_position
        self._fed = fed
        self._paces = dict(paces)
        # What `take` has not handed out, by account and statement; in the thread.
        self._next_positions: dict[tuple[str, str], int] = {}
        self._attempts: dict[int, int] = {}  # heard of, not yet written; in the loop
        # Where this run's jobs stand, as of what callers have been told.
        self.counts = Counts()
        self._closed = False

    @classmethod
    async def open(
        cls,
        folder: Path,
        paces: Mapping[str, runs.RunPace] = MappingProxyType({}),
        *,
        servers: Mapping[str, str] = MappingProxyType({}),
        fed: bool = False,
    ) -> Journal:
        """Open or create `folder`/journal.db for a new run; the caller holds the folder's lock.

        `paces` of its accounts are noted with the list, for who looks on; `servers` are those that
        they are asked at.
        `folder` is OUT/.bulkfetch, with OUT as the user named it: paths in outcomes begin with it.
        `fed`: each job of the run is a list of its own; one that has ended may be listed again, one
        that has not must not be.
        The file's mode follows the umask, for it holds nothing that the published files do not.
        Raises JournalTooNew (nothing changed), JournalDamaged, NotWritable, DiskFull, OutputLocked
        (another program is in the file); ConfigError where results of an account are of another
        server. If cancelled: what was opened is closed.
        """

        def make_folder() -> traces.Traces:
            with disk_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
            fsync_dir(folder.parent)  # SQLite syncs the names in the folder, nobody the folder's
            return traces.found(folder)

        import anyio.to_thread  # late: who only reads a journal has no loop

        before = await anyio.to_thread.run_sync(make_folder)
        writer = await Writer.start(folder / FILE_NAME)
        try:
            await writer.write(lambda db: note_servers(db, servers, folder.parent))
            first_position, empty = await writer.read(lambda db: (next_position(db), is_empty(db)))
        except BaseException:
            await writer.aclose()
            raise
        journal = cls(writer, Outcomes(folder.parent), first_position, paces, fed=fed)
        journal.afresh = traces.afresh(folder, before) if empty else None
        return journal

    async def enqueue(self, jobs: Sequence[Job], names: ClaimedNames = published_stem) -> Admission:
        """Put a batch at the end of this run's list; return what became of it.

        `names` gives what a job may be published under. Some thousands at a time: the batch is one
        transaction, and other writes wait for it. A job that this run's list holds already is
        dropped as a duplicate; its first mention counts. Jobs are sound (`pipeline.admission`).
        If cancelled: all of the batch is in the list, or none.
        """

        def work(connection: sqlite3.Connection) -> Admission:
            runs.note(connection, self._first_position, self._paces)
            return enqueue(connection, jobs, self._first_position, names, fed=self._fed)

        def after(admission: Admission) -> None:
            for admitted in admission.accounts.values():
                self._count(
                    pending=admitted.pending,
                    skipped=admitted.already_done,
                    failed=admitted.failed_before,
                    failed_before=admitted.failed_before,
                )

        return await self._writer.write(work, after)

    async def refused(self, refused: Sequence[tuple[Job, Failure]]) -> None:
        """Record jobs of this run's list that are not fit to be admitted, with their failures.

        They are not in `counts`. If cancelled: all recorded, or none.
        """

        def work(connection: sqlite3.Connection) -> None:
            runs.note(connection, self._first_position, self._paces)
            record_refused(connection, refused, self._first_position)

        await self._writer.write(work)

    async def take(self, account: str, limit: int) -> list[Entry]:
        """Hand out the account's next jobs to do, at most `limit`, each once a run.

        In list order, those that failed in an earlier run after all fresh ones, and few at a time,
        since fresh ones may come. An empty list means that none is there now; what is admitted
        later comes in later calls.
        If cancelled: jobs may have been handed out to nobody; they are pending for the next run.
        """

        def work(connection: sqlite3.Connection) -> list[Entry]:
            for which, most in (
                (queue.FRESH, limit),
                (queue.SECOND_TRIES, min(limit, SECOND_TRIES)),
            ):
                start = self._next_positions.get((account, which), self._first_position)
                entries, end = queue.to_do(connection, which, account, start, most)
                # Nothing found up to the list's end: what is there now need not be looked at again.
                self._next_positions[account, which] = end if entries else next_position(connection)
                if entries:
                    return entries
            return []

        return await self._writer.read(work)

    async def pending(
        self, account: str, after: int = 0, limit: int = 500
    ) -> tuple[list[Entry], int]:
        """Return a page of the account's jobs of this run that have not ended, and a bookmark.

        In list order, handed out by `take` or not. Begin with `after` = 0 and go on with the
        bookmark until a page is empty. If cancelled: nothing happens.
        """
        start = max(after, self._first_position)
        self._write_attempts()
        return await self._writer.read(lambda db: queue.to_do(db, queue.ANY, account, start, limit))

    async def leave(self, account: str, staying: Collection[int] = ()) -> list[str]:
        """Take the account's jobs that have not ended out of this run's list, and return their ids.

        Those with a key in `staying` stay. What has left is pending, hinders no other job from
        taking its name, and may be listed again in this run. If cancelled: all have left, or none.
        """

        def work(connection: sqlite3.Connection) -> list[str]:
            return queue.leave(connection, account, self._first_position, staying)

        return await self._write(work, lambda ids: self._count(pending=-len(ids)))

    async def is_done(self, account: str, job_id: str) -> bool:
        """Return whether a job was done, in any run. If cancelled: nothing happens."""
        return await self._writer.read(lambda db: queue.is_done(db, account, job_id))

    async def skipped(self, after: int = 0, limit: int = 500) -> tuple[list[Outcome], int]:
        """Return a page of what ended before this run and is not asked for again, and a bookmark.

        In list order: what was done, and what failed for good. Begin with `after` = 0 and go on
        with the bookmark until a page is empty.
        If cancelled: nothing happens.
        """

        def work(connection: sqlite3.Connection) -> tuple[list[Outcome], int]:
            rows, last = queue.skipped(connection, max(after, self._first_position - 1), limit)
            return [self._outcomes.read(row, skipped=True) for row in rows], last

        return await self._writer.read(work)

    async def downloaded(
        self,
        entry: Entry,
        *,
        zip_bytes: int,
        attempts: int,
        files: Mapping[str, int | None] = MappingProxyType({}),
    ) -> Rival | None:
        """Record that the job's ZIP is whole, verified and synced in staging; durable on return.

        `files` are the paths of what it will be published as, with their sizes in bytes, which are
        known to `sizes` from then on; None where that shows later (`announce`). Returns a job of
        this list that stands in its way, since it was published under one of these names in an
        earlier run.
        If cancelled: recorded or not, never half.
        """

        def work(connection: sqlite3.Connection) -> Rival | None:
            queue.downloaded(connection, entry, zip_bytes, attempts)
            rival = None
            for path, size in files.items():
                inside = self._outcomes.inside(path)
                if size is not None:
                    ownership.announce(connection, entry.key, inside, size)
                if self._fed:
                    continue
                first = self._first_position
                found = ownership.kept_in_list(connection, entry.key, inside, first)
                rival = rival or found
            return None if rival is None else Rival(rival[0], self._outcomes.outside(rival[1]))

        return await self._write(work)

    async def announce(self, entry: Entry, files: Mapping[str, int]) -> None:
        """Have `sizes` know files that are about to be published, by path; durable on return.

        If cancelled: all are known, or none.
        """

        def work(connection: sqlite3.Connection) -> None:
            for path, size in files.items():
                ownership.announce(connection, entry.key, self._outcomes.inside(path), size)

        await self._write(work)

    async def back_to_pending(self, entry: Entry) -> None:
        """Record that the ZIP is not usable and is to be fetched again; durable on return.

        If cancelled: recorded or not, never half.
        """
        await self._write(lambda db: queue.back_to_pending(db, entry))

    async def owners(self, paths: Sequence[str]) -> dict[str, Owner]:
        """Return who published what stands at these paths, in any run; the others are left out.

        If cancelled: nothing happens.
        """
        inside = [self._outcomes.inside(path) for path in paths]
        found = await self._writer.read(lambda db: ownership.owners(db, inside))
        return {path: owner for path, owner in zip(paths, found, strict=True) if owner is not None}

    async def sizes(self, paths: Sequence[str]) -> dict[str, frozenset[int]]:
        """Return the sizes that files may have which bulkfetch put at these paths, in any run.

        If cancelled: nothing happens.
        """

        def work(connection: sqlite3.Connection) -> dict[str, frozenset[int]]:
            inside = self._outcomes.inside
            return {path: ownership.sizes(connection, inside(path)) for path in paths}

        return await self._writer.read(work)

    async def done(self, entry: Entry, outcome: Outcome, kept: PublishedFile | None = None) -> None:
        """Record that the job's files are published and synced; durable on return.

        A job whose file is replaced is superseded. `kept` is the archive where that was published
        beside the files. If cancelled: recorded or not, never half.
        """
        columns = self._outcomes.write(outcome)

        def work(connection: sqlite3.Connection) -> None:
            queue.end(connection, entry, DONE, columns)
            for file in outcome.files:
                path = self._outcomes.inside(file.path)
                ownership.supersede(connection, entry.key, path)
                ownership.publish(connection, entry.key, path, file.bytes)
            if kept is not None:
                path = self._outcomes.inside(kept.path)
                ownership.publish(connection, entry.key, path, kept.bytes)

        await self._write(work, lambda _: self._count(pending=-1, done=1))

    async def failed(self, entry: Entry, outcome: Outcome) -> None:
        """Record that the job failed in this run; durable on return.

        If cancelled: recorded or not, never half.
        """
        columns = self._outcomes.write(outcome)
        await self._write(
            lambda db: queue.end(db, entry, FAILED, columns),
            lambda _: self._count(pending=-1, failed=1),
        )

    async def attempted(self, entry: Entry, attempts: int) -> None:
        """Note how many requests the job has cost so far; written along with the next write.

        A kill before that loses the note, never a job. If cancelled: nothing is left to undo.
        """
        self._attempts[entry.key] = attempts

    @property
    def exports(self) -> ExportTables:
        """What is known of exports; written by the same thread, in the same order."""
        return ExportTables(self._writer, self._outcomes)

    async def aclose(self) -> None:
        """Write what is left, put the file to rest, end the thread; more calls do no harm.

        Raises RunError where the last could not be written. If cancelled: it goes on by itself.
        """
        if not self._closed:
            self._closed = True
            self._write_attempts()
        await self._writer.aclose()

    def _count(self, **more: int) -> None:
        now = self.counts._asdict()
        self.counts = Counts(**{name: count + more.get(name, 0) for name, count in now.items()})

    async def _write(self, work: Work[T], after: Callable[[T], None] | None = None) -> T:
        self._write_attempts()
        return await self._writer.write(work, after)

    def _write_attempts(self) -> None:
        if self._attempts:
            rows = [(attempts, key) for key, attempts in self._attempts.items()]
            self._attempts.clear()
            self._writer.write_along(lambda db: queue.attempted(db, rows))

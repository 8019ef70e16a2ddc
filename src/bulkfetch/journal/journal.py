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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bulkfetch.disk import disk_errors, fsync_dir
from bulkfetch.journal import ownership, traces
from bulkfetch.journal.admission import (
    Admission,
    ClaimedNames,
    enqueue,
    is_empty,
    next_position,
    published_stem,
    record_refused,
)
from bulkfetch.journal.codec import COLUMNS, Outcomes
from bulkfetch.journal.entries import Counts, Entry, Owner, Rival
from bulkfetch.journal.schema import DONE, DOWNLOADED, FAILED, FILE_NAME, PENDING, SKIPPED
from bulkfetch.journal.writer import Writer
from bulkfetch.models import Failure, Job, Outcome, PublishedFile

# Second tries handed out at a time: as many as may be in flight by default.
SECOND_TRIES = 10

# INDEXED BY makes a statement that would walk the whole table an error instead of a slow success.
_TO_DO = f"""
    SELECT job.key, id, job.name, folder, expected, state, attempts, zip_bytes, position
    FROM account CROSS JOIN job INDEXED BY job_todo ON job.account = account.key
    WHERE account.name = ? AND position >= ? AND state <= {DOWNLOADED} AND {{which}}
    ORDER BY position LIMIT ?
"""
# A job that failed in an earlier run keeps that error until it ends again.
_FRESH = _TO_DO.format(which="error IS NULL")
_SECOND_TRIES = _TO_DO.format(which="error IS NOT NULL")
_ANY = _TO_DO.format(which="TRUE")
_IS_DONE = f"""
    SELECT count(*) FROM job JOIN account ON account.key = job.account
    WHERE account.name = ? AND job.id = ? AND state IN ({DONE}, {SKIPPED})
"""
_SKIPPED = f"""
    SELECT {COLUMNS}, position
    FROM job INDEXED BY job_kept CROSS JOIN account ON account.key = job.account
    WHERE position > ? AND state >= {SKIPPED}
    ORDER BY position LIMIT ?
"""
_DOWNLOADED = f"""
    UPDATE job SET
        state = {DOWNLOADED}, zip_bytes = ?, attempts = ?, expected = coalesce(?, expected)
    WHERE key = ? AND state <= {DOWNLOADED}
"""
_BACK_TO_PENDING = f"""
    UPDATE job SET state = {PENDING}, zip_bytes = NULL WHERE key = ? AND state <= {DOWNLOADED}
"""
# A failure leaves what an earlier run published: that file still stands.
_END = f"""
    UPDATE job SET
        state = ?, files = coalesce(?, files), zip_bytes = ?, records = ?, attempts = ?,
        quarantine = ?, error = ?
    WHERE key = ? AND state <= {DOWNLOADED}
"""
# A job that a list makes fail keeps it (`schema`), one that has ended does not.
_LET_GO = "DELETE FROM standing WHERE job = ?"
_ATTEMPTED = "UPDATE job SET attempts = ? WHERE key = ?"


@dataclass(slots=True)
class _Tally:
    done: int = 0
    failed: int = 0
    pending: int = 0
    skipped: int = 0
    failed_before: int = 0


class Journal:
    """One run's view of a journal. Used in the event loop in which it was opened."""

    def __init__(self, writer: Writer, outcomes: Outcomes, first_position: int) -> None:
        """Use `open`."""
        # Why nothing is known of earlier runs although there seem to have been some; else None.
        self.afresh: str | None = None
        self._writer = writer
        self._outcomes = outcomes
        self._first_position = first_position
        # What `take` has not handed out, by account and statement; in the thread.
        self._next_positions: dict[tuple[str, str], int] = {}
        self._attempts: dict[int, int] = {}  # heard of, not yet written; in the loop
        self._tally = _Tally()
        self._closed = False

    @classmethod
    async def open(cls, folder: Path) -> Journal:
        """Open or create `folder`/journal.db for a new run; the caller holds the folder's lock.

        `folder` is OUT/.bulkfetch, with OUT as the user named it: paths in outcomes begin with it.
        The file's mode follows the umask, for it holds nothing that the published files do not.
        Raises JournalTooNew (nothing changed), JournalDamaged, NotWritable, DiskFull, OutputLocked
        (another program is in the file). If cancelled: what was opened is closed.
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
            first_position = await writer.read(next_position)
            empty = await writer.read(is_empty)
        except BaseException:
            await writer.aclose()
            raise
        journal = cls(writer, Outcomes(folder.parent), first_position)
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
            return enqueue(connection, jobs, self._first_position, names)

        def after(admission: Admission) -> None:
            for admitted in admission.accounts.values():
                self._tally.pending += admitted.pending
                self._tally.skipped += admitted.already_done
                self._tally.failed += admitted.failed_before
                self._tally.failed_before += admitted.failed_before

        return await self._writer.write(work, after)

    async def refused(self, refused: Sequence[tuple[Job, Failure]]) -> None:
        """Record jobs of this run's list that are not fit to be admitted, with their failures.

        They are not in `counts`. If cancelled: all recorded, or none.
        """

        def work(connection: sqlite3.Connection) -> None:
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
            for statement, most in ((_FRESH, limit), (_SECOND_TRIES, min(limit, SECOND_TRIES))):
                start = self._next_positions.get((account, statement), self._first_position)
                entries, end = _pending(connection, account, start, most, statement)
                # Nothing found up to the list's end: what is there now need not be looked at again.
                self._next_positions[account, statement] = (
                    end if entries else next_position(connection)
                )
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

        def work(connection: sqlite3.Connection) -> tuple[list[Entry], int]:
            return _pending(connection, account, max(after, self._first_position), limit, _ANY)

        self._write_attempts()
        return await self._writer.read(work)

    async def is_done(self, account: str, job_id: str) -> bool:
        """Return whether a job was done, in any run. If cancelled: nothing happens."""

        def work(connection: sqlite3.Connection) -> bool:
            return bool(connection.execute(_IS_DONE, (account, job_id)).fetchone()[0])

        return await self._writer.read(work)

    async def skipped(self, after: int = 0, limit: int = 500) -> tuple[list[Outcome], int]:
        """Return a page of what ended before this run and is not asked for again, and a bookmark.

        In list order: what was done, and what failed for good. Begin with `after` = 0 and go on
        with the bookmark until a page is empty.
        If cancelled: nothing happens.
        """

        def work(connection: sqlite3.Connection) -> tuple[list[Outcome], int]:
            start = max(after, self._first_position - 1)
            rows = connection.execute(_SKIPPED, (start, limit)).fetchall()
            outcomes = [self._outcomes.read(row[:-1], skipped=True) for row in rows]
            return outcomes, rows[-1][-1] if rows else start

        return await self._writer.read(work)

    async def downloaded(
        self,
        entry: Entry,
        *,
        zip_bytes: int,
        attempts: int,
        path: str | None = None,
        file_bytes: int | None = None,
    ) -> Rival | None:
        """Record that the job's ZIP is whole, verified and synced in staging; durable on return.

        `path` and `file_bytes` are those of the file that it will be published as, None where
        nobody knows; they are known to `sizes` from then on. Returns the job of this list that
        stands in its way, since it was published under that name in an earlier run.
        If cancelled: recorded or not, never half.
        """
        rivals: list[Rival] = []

        def announce(connection: sqlite3.Connection) -> None:
            rivals.clear()  # of a transaction that was undone
            if path is None or file_bytes is None:
                return
            inside = self._outcomes.inside(path)
            ownership.announce(connection, entry.key, inside, file_bytes)
            found = ownership.kept_in_list(connection, entry.key, inside, self._first_position)
            if found is not None:
                rivals.append(Rival(found[0], self._outcomes.outside(found[1])))

        values = (zip_bytes, attempts, entry.job.records, entry.key)
        await self._update(_DOWNLOADED, entry, values, along=announce)
        return rivals[0] if rivals else None

    async def back_to_pending(self, entry: Entry) -> None:
        """Record that the ZIP is not usable and is to be fetched again; durable on return.

        If cancelled: recorded or not, never half.
        """
        await self._update(_BACK_TO_PENDING, entry, (entry.key,))

    async def owners(self, paths: Sequence[str]) -> dict[str, Owner]:
        """Return who published what stands at these paths, in any run; the others are left out.

        If cancelled: nothing happens.
        """

        inside = [self._outcomes.inside(path) for path in paths]
        found = await self._writer.read(lambda connection: ownership.owners(connection, inside))
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

        def after(_: None) -> None:
            self._tally.pending -= 1
            self._tally.done += 1

        def publish(connection: sqlite3.Connection) -> None:
            for file in outcome.files:
                path = self._outcomes.inside(file.path)
                ownership.supersede(connection, entry.key, path)
                ownership.publish(connection, entry.key, path, file.bytes)
            if kept is not None:
                path = self._outcomes.inside(kept.path)
                ownership.publish(connection, entry.key, path, kept.bytes)

        columns = (DONE, *self._outcomes.write(outcome), entry.key)
        await self._update(_END, entry, columns, after, along=publish)

    async def failed(self, entry: Entry, outcome: Outcome) -> None:
        """Record that the job failed in this run; durable on return.

        If cancelled: recorded or not, never half.
        """

        def after(_: None) -> None:
            self._tally.pending -= 1
            self._tally.failed += 1

        def let_go(connection: sqlite3.Connection) -> None:
            connection.execute(_LET_GO, (entry.key,))

        columns = (FAILED, *self._outcomes.write(outcome), entry.key)
        await self._update(_END, entry, columns, after, along=let_go)

    async def attempted(self, entry: Entry, attempts: int) -> None:
        """Note how many requests the job has cost so far; written along with the next write.

        A kill before that loses the note, never a job. If cancelled: nothing is left to undo.
        """
        self._attempts[entry.key] = attempts

    def counts(self) -> Counts:
        """Return where this run's jobs stand, as of what callers have been told; costs nothing."""
        tally = self._tally
        return Counts(tally.done, tally.failed, tally.pending, tally.skipped, tally.failed_before)

    async def aclose(self) -> None:
        """Write what is left, put the file to rest, end the thread; more calls do no harm.

        Raises RunError where the last could not be written. If cancelled: it goes on by itself.
        """
        if not self._closed:
            self._closed = True
            self._write_attempts()
        await self._writer.aclose()

    async def _update(
        self,
        statement: str,
        entry: Entry,
        values: tuple[object, ...],
        after: Callable[[None], None] | None = None,
        along: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        def work(connection: sqlite3.Connection) -> None:
            if along is not None:
                along(connection)
            if connection.execute(statement, values).rowcount != 1:
                raise ValueError(f"job {entry.job.id} has ended already, or is of another journal")

        self._write_attempts()
        await self._writer.write(work, after)

    def _write_attempts(self) -> None:
        if self._attempts:
            rows = [(attempts, key) for key, attempts in self._attempts.items()]
            self._attempts.clear()
            self._writer.write_along(lambda connection: connection.executemany(_ATTEMPTED, rows))


def _pending(
    connection: sqlite3.Connection, account: str, start: int, limit: int, statement: str
) -> tuple[list[Entry], int]:
    """Return an account's jobs to do from position `start` on, and where the next page starts."""
    rows = connection.execute(statement, (account, start, limit)).fetchall()
    entries = [
        Entry(
            key,
            Job(job_id, account, name, folder=folder or "", records=records),
            "downloaded" if state == DOWNLOADED else "pending",
            attempts,
            zip_bytes,
        )
        for key, job_id, name, folder, records, state, attempts, zip_bytes, _ in rows
    ]
    return entries, rows[-1][-1] + 1 if rows else start

"""The run's queue and memory.

The whole list goes in first (`admit`), then each account's lane pulls from it (`take`): the list
lives on the disk, and a million ids cost no memory. What a job came to is written here before
anybody is told (`downloaded`, `done`, `failed` are on the disk when they return).

One `Journal` is one run. A job done in an earlier run stays done and is this run's "skipped", under
the name and path that it was published as: another `name` in the list does not bring it again,
since that would cost a request. A job that failed is to do again. The name of a job that is not
done yet is always the newest list's.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from bulkfetch.disk import disk_errors, fsync_dir
from bulkfetch.journal import traces
from bulkfetch.journal.rows import COLUMNS, Outcomes
from bulkfetch.journal.schema import DONE, DOWNLOADED, FAILED, FILE_NAME, KEPT, PENDING
from bulkfetch.journal.writer import Writer
from bulkfetch.models import Job, Outcome

# `position < ?`: not yet in this run's list; else the row stays as it is and counts as a duplicate.
_ADMIT = f"""
    INSERT INTO job (account, id, name, position) VALUES (?, ?, ?, ?)
    ON CONFLICT (account, id) DO UPDATE SET
        position = excluded.position,
        name = CASE WHEN state < {DONE} THEN excluded.name ELSE name END,
        state = CASE state WHEN {FAILED} THEN {PENDING} WHEN {DONE} THEN {KEPT} ELSE state END
    WHERE position < ?
"""

# INDEXED BY makes a statement that would walk the whole table an error instead of a slow success.
_COUNT_TO_DO = f"""
    SELECT count(*) FROM job INDEXED BY job_todo
    WHERE account = ? AND position >= ? AND state <= {DOWNLOADED}
"""
_COUNT_KEPT = f"""
    SELECT account, count(*) FROM job INDEXED BY job_kept
    WHERE position >= ? AND state = {KEPT} GROUP BY account
"""
_TAKE = f"""
    SELECT job.key, id, job.name, state, attempts, zip_bytes, position
    FROM account CROSS JOIN job INDEXED BY job_todo ON job.account = account.key
    WHERE account.name = ? AND position >= ? AND state <= {DOWNLOADED}
    ORDER BY position LIMIT ?
"""
_IS_DONE = f"""
    SELECT count(*) FROM job JOIN account ON account.key = job.account
    WHERE account.name = ? AND job.id = ? AND state >= {DONE}
"""
_SKIPPED = f"""
    SELECT {COLUMNS}, position
    FROM job INDEXED BY job_kept CROSS JOIN account ON account.key = job.account
    WHERE position > ? AND state = {KEPT}
    ORDER BY position LIMIT ?
"""
_DOWNLOADED = f"""
    UPDATE job SET state = {DOWNLOADED}, zip_bytes = ?, attempts = ?
    WHERE key = ? AND state <= {DOWNLOADED}
"""
_HOLD = "INSERT OR REPLACE INTO held (job, zip) VALUES (?, ?)"
_HELD = "SELECT zip FROM held WHERE job = ?"
_BACK_TO_PENDING = f"""
    UPDATE job SET state = {PENDING}, zip_bytes = NULL WHERE key = ? AND state <= {DOWNLOADED}
"""
_END = f"""
    UPDATE job SET
        state = ?, files = ?, zip_bytes = ?, records = ?, attempts = ?, quarantine = ?, error = ?
    WHERE key = ? AND state <= {DOWNLOADED}
"""
_ATTEMPTED = "UPDATE job SET attempts = ? WHERE key = ?"


class Admitted(NamedTuple):
    """What became of one account's share of an admitted batch, in jobs."""

    to_do: int = 0
    already_done: int = 0
    duplicates: int = 0


class Counts(NamedTuple):
    """Where the jobs of this run's list stand. `pending` are all that have not ended."""

    done: int = 0
    failed: int = 0
    pending: int = 0
    skipped: int = 0


class Entry(NamedTuple):
    """A job to do, as `take` hands it out.

    `key` is the job's number in this journal, the same in every run. "downloaded" means that its
    whole ZIP is in staging or held here, `zip_bytes` long (None while pending). `attempts` counts
    result requests over all earlier runs. `job.origin` is not kept.
    """

    key: int
    job: Job
    state: Literal["pending", "downloaded"]
    attempts: int = 0
    zip_bytes: int | None = None


class Whole(NamedTuple):
    """A job whose ZIP is complete: its size in bytes, and the requests that it took.

    `zip` is all of it where the journal is to hold it, None where it is a file in staging.
    """

    entry: Entry
    zip_bytes: int
    attempts: int
    zip: bytes | None = None


@dataclass(slots=True)
class _Tally:
    done: int = 0
    failed: int = 0
    pending: int = 0
    skipped: int = 0


class Journal:
    """One run's view of a journal. Used in the event loop in which it was opened."""

    def __init__(
        self, writer: Writer, outcomes: Outcomes, first_position: int, afresh: str | None = None
    ) -> None:
        """Use `open`."""
        # Why nothing is known of earlier runs although there seem to have been some; else None.
        self.afresh = afresh
        self._writer = writer
        self._outcomes = outcomes
        self._first_position = first_position
        self._next_positions: dict[str, int] = {}  # what `take` has not handed out; in the thread
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
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        fsync_dir(folder.parent)  # SQLite syncs the names in the folder, nobody else the folder's
        before = traces.found(folder)
        writer = await Writer.start(folder / FILE_NAME)
        try:
            first_position = await writer.read(_next_position)
            empty = await writer.read(_is_empty)
        except BaseException:
            await writer.aclose()
            raise
        afresh = traces.afresh(folder, before) if empty else None
        return cls(writer, Outcomes(folder.parent), first_position, afresh)

    async def admit(self, jobs: Sequence[Job]) -> dict[str, Admitted]:
        """Put a batch at the end of this run's list; tell what came of it, by account.

        Some thousands at a time: the batch is one transaction, and other writes wait for it. A job
        that this run's list holds already is dropped as a duplicate; its first mention counts. Ids
        are well-formed (`is_job_id`). If cancelled: all of the batch is in the list, or none.
        """

        def work(connection: sqlite3.Connection) -> dict[str, Admitted]:
            offered = Counter(job.account for job in jobs)
            keys = {name: _account_key(connection, name) for name in offered}
            start = _next_position(connection)
            first = self._first_position
            connection.executemany(
                _ADMIT,
                (
                    (keys[job.account], job.id, job.name, position, first)
                    for position, job in enumerate(jobs, start)
                ),
            )
            connection.execute("UPDATE list SET next_position = ?", (start + len(jobs),))
            kept = dict(connection.execute(_COUNT_KEPT, (start,)))
            admitted = {}
            for name, count in offered.items():
                (to_do,) = connection.execute(_COUNT_TO_DO, (keys[name], start)).fetchone()
                done = kept.get(keys[name], 0)
                admitted[name] = Admitted(to_do, done, count - to_do - done)
            return admitted

        def after(admitted: dict[str, Admitted]) -> None:
            self._tally.pending += sum(each.to_do for each in admitted.values())
            self._tally.skipped += sum(each.already_done for each in admitted.values())

        return await self._writer.write(work, after)

    async def take(self, account: str, limit: int) -> list[Entry]:
        """Hand out the account's next jobs to do, at most `limit`, in list order, each once a run.

        An empty list means that none is there now; what is admitted later comes in later calls.
        If cancelled: jobs may have been handed out to nobody; they are pending for the next run.
        """

        def work(connection: sqlite3.Connection) -> list[Entry]:
            start = self._next_positions.get(account, self._first_position)
            entries, end = _to_do(connection, account, start, limit)
            self._next_positions[account] = end
            return entries

        return await self._writer.read(work)

    async def pending(
        self, account: str, after: int = 0, limit: int = 500
    ) -> tuple[list[Entry], int]:
        """Give a page of the account's jobs of this run that have not ended, and a bookmark.

        In list order, handed out by `take` or not. Begin with `after` = 0 and go on with the
        bookmark until a page is empty. If cancelled: nothing happens.
        """

        def work(connection: sqlite3.Connection) -> tuple[list[Entry], int]:
            return _to_do(connection, account, max(after, self._first_position), limit)

        self._write_attempts()
        return await self._writer.read(work)

    async def is_done(self, account: str, job_id: str) -> bool:
        """Say whether a job was done, in this run or any other. If cancelled: nothing happens."""

        def work(connection: sqlite3.Connection) -> bool:
            return bool(connection.execute(_IS_DONE, (account, job_id)).fetchone()[0])

        return await self._writer.read(work)

    async def skipped(self, after: int = 0, limit: int = 500) -> tuple[list[Outcome], int]:
        """Give a page of what this run's list had done already, in list order, and a bookmark.

        Begin with `after` = 0 and go on with the bookmark until a page is empty.
        If cancelled: nothing happens.
        """

        def work(connection: sqlite3.Connection) -> tuple[list[Outcome], int]:
            start = max(after, self._first_position - 1)
            rows = connection.execute(_SKIPPED, (start, limit)).fetchall()
            outcomes = [self._outcomes.read(row[:-1], skipped=True) for row in rows]
            return outcomes, rows[-1][-1] if rows else start

        return await self._writer.read(work)

    async def downloaded(self, entry: Entry, *, zip_bytes: int, attempts: int) -> None:
        """Record that the job's ZIP is whole, verified and synced in staging; durable on return.

        If cancelled: recorded or not, never half.
        """
        await self.all_downloaded([Whole(entry, zip_bytes, attempts)])

    async def all_downloaded(self, wholes: Sequence[Whole]) -> None:
        """Record as `downloaded`, in one transaction, and hold those ZIPs that are nowhere else.

        If cancelled: all recorded, or none.
        """
        held = [(whole.entry.key, whole.zip) for whole in wholes if whole.zip is not None]
        await self._update(
            _DOWNLOADED,
            [(each.entry, (each.zip_bytes, each.attempts, each.entry.key)) for each in wholes],
            held=held,
        )

    async def held(self, entry: Entry) -> bytes | None:
        """Give the job's ZIP if it is held here, which it is until the job ends; else None.

        If cancelled: nothing happens.
        """

        def work(connection: sqlite3.Connection) -> bytes | None:
            row = connection.execute(_HELD, (entry.key,)).fetchone()
            return bytes(row[0]) if row else None

        return await self._writer.read(work)

    async def back_to_pending(self, entry: Entry) -> None:
        """Record that the ZIP is not usable and is to be fetched again; durable on return.

        If cancelled: recorded or not, never half.
        """
        await self._update(_BACK_TO_PENDING, [(entry, (entry.key,))])

    async def done(self, entry: Entry, outcome: Outcome) -> None:
        """Record that the job's files are published and synced; durable on return.

        If cancelled: recorded or not, never half.
        """
        await self.all_done([(entry, outcome)])

    async def all_done(self, ended: Sequence[tuple[Entry, Outcome]]) -> None:
        """Record as `done`, in one transaction. If cancelled: all recorded, or none."""

        def after(_: None) -> None:
            self._tally.pending -= len(ended)
            self._tally.done += len(ended)

        write = self._outcomes.write
        rows = [(entry, (DONE, *write(outcome), entry.key)) for entry, outcome in ended]
        await self._update(_END, rows, after)

    async def failed(self, entry: Entry, outcome: Outcome) -> None:
        """Record that the job failed in this run; the next one tries it again. Durable on return.

        If cancelled: recorded or not, never half.
        """

        def after(_: None) -> None:
            self._tally.pending -= 1
            self._tally.failed += 1

        columns = self._outcomes.write(outcome)
        await self._update(_END, [(entry, (FAILED, *columns, entry.key))], after)

    async def attempted(self, entry: Entry, attempts: int) -> None:
        """Note how many requests the job has cost so far; written along with the next write.

        A kill before that loses the note, never a job. If cancelled: nothing is left to undo.
        """
        self._attempts[entry.key] = attempts

    def counts(self) -> Counts:
        """Say where this run's jobs stand, as of what callers have been told; costs nothing."""
        tally = self._tally
        return Counts(tally.done, tally.failed, tally.pending, tally.skipped)

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
        rows: Sequence[tuple[Entry, tuple[object, ...]]],
        after: Callable[[None], None] | None = None,
        held: Sequence[tuple[int, bytes]] = (),
    ) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(_HOLD, held)
            for entry, values in rows:
                if connection.execute(statement, values).rowcount != 1:
                    text = f"job {entry.job.id} has ended already, or is of another journal"
                    raise ValueError(text)

        self._write_attempts()
        await self._writer.write(work, after)

    def _write_attempts(self) -> None:
        if self._attempts:
            rows = [(attempts, key) for key, attempts in self._attempts.items()]
            self._attempts.clear()
            self._writer.write_along(lambda connection: connection.executemany(_ATTEMPTED, rows))


def _to_do(
    connection: sqlite3.Connection, account: str, start: int, limit: int
) -> tuple[list[Entry], int]:
    """Give an account's jobs to do from position `start` on, and where the next page starts."""
    rows = connection.execute(_TAKE, (account, start, limit)).fetchall()
    entries = [
        Entry(
            key,
            Job(job_id, account, name),
            "downloaded" if state == DOWNLOADED else "pending",
            attempts,
            zip_bytes,
        )
        for key, job_id, name, state, attempts, zip_bytes, _ in rows
    ]
    return entries, rows[-1][-1] + 1 if rows else start


def _next_position(connection: sqlite3.Connection) -> int:
    (position,) = connection.execute("SELECT next_position FROM list").fetchone()
    return int(position)


def _is_empty(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM job LIMIT 1").fetchone() is None


def _account_key(connection: sqlite3.Connection, name: str) -> int:
    connection.execute("INSERT OR IGNORE INTO account (name) VALUES (?)", (name,))
    (key,) = connection.execute("SELECT key FROM account WHERE name = ?", (name,)).fetchone()
    return int(key)

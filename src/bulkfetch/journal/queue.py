"""Which jobs are to do, and what became of them: statements for the writer's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence

from bulkfetch.journal.codec import COLUMNS, OutcomeColumns, OutcomeRow
from bulkfetch.journal.entries import Entry
from bulkfetch.journal.schema import DONE, DOWNLOADED, FAILED, PENDING, SKIPPED
from bulkfetch.models import Job

# INDEXED BY makes a statement that would walk the whole table an error instead of a slow success.
_TO_DO = f"""
    SELECT job.key, id, job.name, folder, expected, state, attempts, zip_bytes, position
    FROM account CROSS JOIN job INDEXED BY job_todo ON job.account = account.key
    WHERE account.name = ? AND position >= ? AND state <= {DOWNLOADED} AND {{which}}
    ORDER BY position LIMIT ?
"""
# What `to_do` takes: a job that failed in an earlier run keeps that error until it ends again.
FRESH = _TO_DO.format(which="error IS NULL")
SECOND_TRIES = _TO_DO.format(which="error IS NOT NULL")
ANY = _TO_DO.format(which="TRUE")
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
_LISTED = f"""
    SELECT job.key, id
    FROM account CROSS JOIN job INDEXED BY job_todo ON job.account = account.key
    WHERE account.name = ? AND position >= ? AND state <= {DOWNLOADED}
"""
_UNLIST = "UPDATE job SET position = 0 WHERE key = ?"
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


def to_do(
    connection: sqlite3.Connection, which: str, account: str, start: int, limit: int
) -> tuple[list[Entry], int]:
    """Return an account's jobs to do from position `start` on, and where the next page starts."""
    rows = connection.execute(which, (account, start, limit)).fetchall()
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


def is_done(connection: sqlite3.Connection, account: str, job_id: str) -> bool:
    """Return whether a job was done, in any run."""
    return bool(connection.execute(_IS_DONE, (account, job_id)).fetchone()[0])


def skipped(connection: sqlite3.Connection, after: int, limit: int) -> tuple[list[OutcomeRow], int]:
    """Return a page of what ended before this run, behind position `after`, and where it ends."""
    rows = connection.execute(_SKIPPED, (after, limit)).fetchall()
    return [row[:-1] for row in rows], rows[-1][-1] if rows else after


def leave(
    connection: sqlite3.Connection, account: str, first_position: int, staying: Collection[int]
) -> list[str]:
    """Take an account's jobs to do out of the list, but those of certain keys; return their ids."""
    rows = connection.execute(_LISTED, (account, first_position)).fetchall()
    leaving = [(key, job_id) for key, job_id in rows if key not in staying]
    connection.executemany(_UNLIST, [(key,) for key, _ in leaving])
    return [job_id for _, job_id in leaving]


def downloaded(connection: sqlite3.Connection, entry: Entry, zip_bytes: int, attempts: int) -> None:
    """Write that a job's ZIP is whole in staging. Raises ValueError as `_change`."""
    _change(connection, _DOWNLOADED, (zip_bytes, attempts, entry.job.records), entry)


def back_to_pending(connection: sqlite3.Connection, entry: Entry) -> None:
    """Write that a job's ZIP is of no use. Raises ValueError as `_change`."""
    _change(connection, _BACK_TO_PENDING, (), entry)


def end(connection: sqlite3.Connection, entry: Entry, state: int, columns: OutcomeColumns) -> None:
    """Write a job's outcome, its state DONE or FAILED. Raises ValueError as `_change`."""
    _change(connection, _END, (state, *columns), entry)
    if state == FAILED:
        connection.execute(_LET_GO, (entry.key,))


def attempted(connection: sqlite3.Connection, attempts: Sequence[tuple[int, int]]) -> None:
    """Write how many requests jobs have cost, each with its key."""
    connection.executemany(_ATTEMPTED, attempts)


def _change(
    connection: sqlite3.Connection, statement: str, values: Sequence[object], entry: Entry
) -> None:
    """Change a job's row. Raises ValueError where it has ended."""
    if connection.execute(statement, (*values, entry.key)).rowcount != 1:
        raise ValueError(f"job {entry.job.id} has ended already, or is of another journal")

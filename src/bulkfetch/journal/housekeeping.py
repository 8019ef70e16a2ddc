"""Forgetting rows: statements on a journal at rest, for who holds the folder's lock.

What a forgotten job has published stays known as a file of bulkfetch's, by its size: a job that
comes under the same name may replace it, as it may replace that of an older job. Jobs of exports
are left to `exports`, which forgets them with their pages.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

from bulkfetch.journal.errors import journal_errors
from bulkfetch.journal.lock import OutputLock
from bulkfetch.journal.reader import JournalReader
from bulkfetch.journal.runs import forget_runs, unlisted_before, utc_text
from bulkfetch.journal.schema import (
    DONE,
    DOWNLOADED,
    FILE_NAME,
    SKIPPED,
    checkpoint,
    open_to_write,
)
from bulkfetch.journal.servers import server_of

# A row to which a newer list's job refers stays: without it that job would claim its file.
_SPENT = f"""
    SELECT key FROM job WHERE position < ? AND state > {DOWNLOADED} AND folder IS NULL
    AND key NOT IN (
        SELECT superseded FROM job AS older WHERE superseded IS NOT NULL
        AND NOT (older.position < ? AND older.state > {DOWNLOADED} AND older.folder IS NULL)
    )
"""
_LEFT_PENDING = f"""
    SELECT count(*) FROM job WHERE position < ? AND state <= {DOWNLOADED} AND folder IS NULL
"""
# Neither what is under way nor what the next export, `verify` and `status` ask for.
_SPENT_GENERATIONS = """
    SELECT key FROM generation WHERE started < ? AND state NOT IN ('ACTIVE', 'PUBLISHING')
    AND key NOT IN (SELECT max(key) FROM generation GROUP BY export)
    AND key NOT IN (SELECT max(key) FROM generation WHERE state = 'COMMITTED' GROUP BY export)
"""
_STATE = """
    SELECT state FROM job JOIN account ON account.key = job.account
    WHERE account.name = ? AND job.id = ?
"""
_KEY = """
    SELECT job.key FROM job JOIN account ON account.key = job.account
    WHERE account.name = ? AND job.id = ? AND folder IS NULL
"""
_FORGET = (
    # 0: of no job, as `ownership` has it.
    "INSERT OR IGNORE INTO standing (folded, bytes, job) "
    "SELECT folded, bytes, 0 FROM published WHERE job IN (SELECT key FROM gone)",
    "INSERT OR IGNORE INTO standing (folded, bytes, job) "
    "SELECT folded, bytes, 0 FROM standing WHERE job IN (SELECT key FROM gone)",
    "DELETE FROM claim WHERE job IN (SELECT key FROM gone)",
    "DELETE FROM published WHERE job IN (SELECT key FROM gone)",
    "DELETE FROM standing WHERE job IN (SELECT key FROM gone)",
    # Its file was replaced, whoever is still known to have done it.
    "UPDATE job SET superseded = NULL, files = NULL "
    "WHERE superseded IN (SELECT key FROM gone) AND key NOT IN (SELECT key FROM gone)",
    "DELETE FROM job WHERE key IN (SELECT key FROM gone)",
)


# What the journal says of a job: it ended well, it is there all the same, or it is not known.
Recorded = Literal["done", "kept", "unknown"]


class Spent(NamedTuple):
    """Rows that no recent list has named: how many of jobs, and of generations of exports.

    `pending` are jobs that such a list has left, which are never spent.
    """

    jobs: int
    generations: int
    pending: int = 0


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep runs out of the folder whose `folder` is OUT/.bulkfetch, while the block works.

    Raises ConfigError where no run has been, OutputLocked beside one, RunError as `JournalReader`.
    """
    with JournalReader.open(folder):  # which says what is wrong before anything is made
        lock = OutputLock.take(folder)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def changes(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open the journal of a folder that nobody else uses (`alone`); what is done is written whole.

    After an error nothing of the block was done. Raises RunError as `journal_error` says.
    """
    with _opened(folder / FILE_NAME) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")


def shrink(folder: Path) -> int:
    """Give the disk back what forgotten rows took, and return how many bytes; as `changes`.

    Takes as much room as the journal has, for a moment.
    """
    path = folder / FILE_NAME
    before = path.stat().st_size
    with _opened(path) as connection:
        connection.execute("VACUUM")
    return before - path.stat().st_size


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a journal that nobody else uses, and leave it at rest unless the block raises."""
    with journal_errors(path), closing(open_to_write(path)) as connection:
        yield connection
        checkpoint(connection)


def forget(connection: sqlite3.Connection, jobs: Iterable[tuple[str, str]]) -> int:
    """Forget jobs, each an account and an id, whatever they came to; return how many were known."""
    _begin(connection)
    for job in jobs:
        connection.execute(f"INSERT OR IGNORE INTO gone {_KEY}", job)
    return _forget_gone(connection)


def count_spent(connection: sqlite3.Connection, moment: datetime) -> Spent:
    """Count what `forget_spent` would forget; changes nothing."""
    position = unlisted_before(connection, moment)
    (jobs,) = connection.execute(
        f"SELECT count(*) FROM ({_SPENT})", (position, position)
    ).fetchone()
    (generations,) = connection.execute(
        f"SELECT count(*) FROM ({_SPENT_GENERATIONS})", (utc_text(moment),)
    ).fetchone()
    (pending,) = connection.execute(_LEFT_PENDING, (position,)).fetchone()
    return Spent(jobs, generations, pending)


def forget_spent(connection: sqlite3.Connection, moment: datetime) -> Spent:
    """Forget jobs that have ended and that no list has named since a moment (UTC); return how many.

    Also generations of exports begun before it, but for those under way, and the newest ones.
    """
    position = unlisted_before(connection, moment)
    _begin(connection)
    connection.execute(f"INSERT INTO gone {_SPENT}", (position, position))
    jobs = _forget_gone(connection)
    generations = f"({_SPENT_GENERATIONS})"
    values = (utc_text(moment),)
    connection.execute(f"DELETE FROM page WHERE generation IN {generations}", values)
    count = connection.execute(
        f"DELETE FROM generation WHERE key IN {generations}", values
    ).rowcount
    forget_runs(connection, position)
    return Spent(jobs, count)


def recorded(connection: sqlite3.Connection, account: str, job_id: str) -> Recorded:
    """Return what the journal says of a job."""
    row = connection.execute(_STATE, (account, job_id)).fetchone()
    if row is None:
        return "unknown"
    return "done" if row[0] in (DONE, SKIPPED) else "kept"


def forget_server(connection: sqlite3.Connection, account: str) -> str | None:
    """Forget which server an account's results came from, and return it; None: it was not known.

    What is done stays done, and the next run notes the server that it asks.
    """
    known = server_of(connection, account)
    connection.execute("UPDATE account SET server = NULL WHERE name = ?", (account,))
    return known


def let_go_of_archive(connection: sqlite3.Connection, inside: str) -> None:
    """Note that a refused archive, at a path below the output folder, is no longer kept."""
    connection.execute("UPDATE job SET quarantine = NULL WHERE quarantine = ?", (inside,))


def _begin(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS gone (key INTEGER PRIMARY KEY)")
    connection.execute("DELETE FROM gone")


def _forget_gone(connection: sqlite3.Connection) -> int:
    for statement in _FORGET:
        connection.execute(statement)
    (count,) = connection.execute("SELECT count(*) FROM gone").fetchone()
    return int(count)

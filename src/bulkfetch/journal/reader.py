"""The journal for questions only: `bulkfetch status`, beside a running writer or at rest.

It reads page by page and keeps no transaction open in between: a reader that sits in a pager for an
hour must not keep the writer's log from starting anew. So an iteration sees each job as of when its
page was read.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

from bulkfetch.disk import disk_errors
from bulkfetch.errors import ConfigError
from bulkfetch.journal import runs
from bulkfetch.journal.codec import COLUMNS, STATUS, Outcomes
from bulkfetch.journal.errors import journal_errors
from bulkfetch.journal.export_rows import StoredExport
from bulkfetch.journal.exports import read_exports, read_published
from bulkfetch.journal.schema import (
    DOWNLOADED,
    FAILED,
    FAILED_BEFORE,
    FILE_NAME,
    PENDING,
    STEPS,
    check_version,
    open_copy_to_read,
    open_to_read,
)
from bulkfetch.journal.servers import server_of, unnoted_servers
from bulkfetch.models import Job, Outcome, PublishedFile

T = TypeVar("T")

# Rows a page: a few hundred KiB of memory, some milliseconds of a read lock.
_PAGE = 500

# NOT INDEXED: walking the index on ids, which is in the order of groups, fetches each row from
# elsewhere; one pass over the table and a sort is ten times faster for a million shuffled ids.
_COUNTS = """
    SELECT account.name, state, number, replaced
    FROM (
        SELECT account, state, count(*) AS number, count(superseded) AS replaced
        FROM job NOT INDEXED GROUP BY account, state
    ) AS counted
    JOIN account ON account.key = counted.account
    ORDER BY account.key, state
"""
_ALL = f"""
    SELECT {COLUMNS}, job.key FROM job CROSS JOIN account ON account.key = job.account
    WHERE job.key > ? ORDER BY job.key LIMIT {_PAGE}
"""
_KNOWN = f"""
    SELECT {COLUMNS}, job.name, folder, expected, job.key
    FROM job CROSS JOIN account ON account.key = job.account
    WHERE job.key > ? AND job.key <= ? ORDER BY job.key LIMIT {_PAGE}
"""
_FIND = f"""
    SELECT {COLUMNS}, job.name, folder, expected, job.key
    FROM account CROSS JOIN job ON job.account = account.key
    WHERE job.id = ? ORDER BY job.key
"""
_TO_FETCH = f"""
    SELECT account.name, count(*)
    FROM account CROSS JOIN job INDEXED BY job_todo ON job.account = account.key
    WHERE position >= ? AND state <= {DOWNLOADED} AND state = {PENDING} GROUP BY account.key
"""
_LAST_KEY = "SELECT coalesce(max(key), 0) FROM job"
_FAILED = f"""
    SELECT {COLUMNS}, position
    FROM job INDEXED BY job_failed CROSS JOIN account ON account.key = job.account
    WHERE position > ? AND state IN ({FAILED}, {FAILED_BEFORE}) ORDER BY position LIMIT {_PAGE}
"""


class AccountCounts(NamedTuple):
    """Where all jobs that one account ever had here stand, over all runs.

    `pending` counts those whose ZIP is not whole in staging yet, `downloaded` those whose is.
    `superseded` of the done ones have given their name to a newer job.
    """

    account: str
    pending: int = 0
    downloaded: int = 0
    failed: int = 0
    done: int = 0
    superseded: int = 0


class Known(NamedTuple):
    """A job as a list would name it, and what it has come to.

    `files` are what it has published, also where it has failed since or is to be fetched once more;
    none where it was superseded.
    """

    job: Job
    outcome: Outcome
    files: tuple[PublishedFile, ...]


class OpenList(NamedTuple):
    """The list that was begun last, and how many of its jobs are to be fetched, by account."""

    run: runs.BegunRun
    to_fetch: dict[str, int]


class JournalReader:
    """A look into a journal that changes no byte and creates no file. A context manager.

    Blocking, for one thread: from an event loop call it in a worker thread.
    """

    def __init__(self, connection: sqlite3.Connection | None, path: Path) -> None:
        """Use `open`. None: there is nothing in the journal yet."""
        self._connection = connection
        self._path = path
        self._outcomes = Outcomes(path.parent.parent)

    @classmethod
    def open(cls, folder: Path) -> JournalReader:
        """Open `folder`/journal.db, `folder` being OUT/.bulkfetch with OUT as the user named it.

        One that is not made yet, or has nothing in it, has no jobs. One of an older format is read
        from a copy, which the next run's changes do not reach.
        Raises ConfigError where no run has been, JournalTooNew, JournalDamaged, NotWritable.
        """
        path = folder / FILE_NAME
        with disk_errors(path):
            if not folder.is_dir():
                raise ConfigError(
                    f"{folder.parent} holds no journal: no run has written there",
                    hint="Give the folder that `out` or --out names.",
                )
            if not os.path.lexists(path):
                return cls(None, path)
        with journal_errors(path):
            return cls(_connect(path), path)

    def require_servers(self, servers: Mapping[str, str]) -> None:
        """Raise ConfigError where results of an account are of another server than it is asked at.

        A run refuses to begin then.
        """
        out = self._path.parent.parent
        self.ask(lambda connection: unnoted_servers(connection, servers, out), dict[str, str]())

    def server_of(self, account: str) -> str | None:
        """Return which server an account's results came from, None if that is not known."""
        return self.ask(lambda connection: server_of(connection, account), None)

    def counts(self) -> list[AccountCounts]:
        """Count the jobs of each account by state; walks the whole table once."""
        names: dict[int, str] = {**STATUS, DOWNLOADED: "downloaded"}
        by_account: dict[str, Counter[str]] = {}
        for account, state, count, superseded in self._query(_COUNTS, ()):
            numbers = by_account.setdefault(account, Counter())
            numbers[names[state]] += count
            numbers["superseded"] += superseded
        return [AccountCounts(account, **numbers) for account, numbers in by_account.items()]

    def open_list(self) -> OpenList | None:
        """Return what is left of the list that was begun last, as read so far; None without one."""

        def question(connection: sqlite3.Connection) -> OpenList | None:
            run = runs.newest(connection)
            if run is None:
                return None
            return OpenList(run, dict(connection.execute(_TO_FETCH, (run.first_position,))))

        return self.ask(question, None)

    def failed(self) -> Iterator[Outcome]:
        """Yield the failed jobs in list order, lazily."""
        return self._pages(_FAILED)

    def outcomes(self) -> Iterator[Outcome]:
        """Yield every job in the order in which the journal first heard of them, lazily."""
        return self._pages(_ALL)

    def known(self) -> Iterator[Known]:
        """Yield every job that was there at the beginning, with its name; lazily, as `outcomes`.

        May be read while a run lists the same jobs again.
        """
        ((last,),) = self._query(_LAST_KEY, ()) or ((0,),)
        bookmark = 0
        while rows := self._query(_KNOWN, (bookmark, last)):
            bookmark = rows[-1][-1]
            yield from map(self._known, rows)

    def find(self, job_id: str) -> list[Known]:
        """Return the jobs of one id, one for each account that has it."""
        return [self._known(row) for row in self._query(_FIND, (job_id,))]

    def find_job(self, job: Job) -> Known | None:
        """Return what a job of this id and account has come to, None where there is none."""
        return next((each for each in self.find(job.id) if each.job.account == job.account), None)

    def published_exports(self) -> list[StoredExport]:
        """Return of each export what is published as its newest, with the pages of that."""
        return self.ask(read_published, [])

    def exports(self) -> list[StoredExport]:
        """Return what is known of each export, in the order in which they were first heard of."""
        return self.ask(read_exports, [])

    def ask(self, question: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Return the answer to a question that only reads, `otherwise` where nothing is there yet.

        Raises RunError as `journal_error` says.
        """
        if self._connection is None:
            return otherwise
        with journal_errors(self._path):
            return question(self._connection)

    def _known(self, row: Any) -> Known:
        *columns, name, folder, records, _ = row
        outcome = self._outcomes.read(tuple(columns))
        files = self._outcomes.published(tuple(columns))
        job = Job(outcome.job_id, outcome.account, name, folder=folder or "", records=records)
        return Known(job, outcome, files)

    def close(self) -> None:
        """Close the file; more calls do no harm."""
        if self._connection is not None:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pages(self, statement: str) -> Iterator[Outcome]:
        bookmark = 0
        while rows := self._query(statement, (bookmark,)):
            bookmark = rows[-1][-1]
            for row in rows:
                yield self._outcomes.read(row[:-1])

    def _query(self, statement: str, values: tuple[object, ...]) -> list[Any]:
        def question(connection: sqlite3.Connection) -> list[Any]:
            with closing(connection.execute(statement, values)) as cursor:
                return cursor.fetchall()

        return self.ask(question, [])


def _connect(path: Path) -> sqlite3.Connection | None:
    """Open a journal of any format up to the newest; None where nothing was made in it yet."""
    connection = open_to_read(path)
    try:
        version = check_version(connection, path, len(STEPS))
    except BaseException:
        connection.close()
        raise
    if version == len(STEPS):
        return connection
    connection.close()
    return open_copy_to_read(path, STEPS) if version else None

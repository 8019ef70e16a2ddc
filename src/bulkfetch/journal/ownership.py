"""Who published what stands under a name: statements for the writer's thread.

Names are compared folded. `published` has the last job that published under a name; `standing` has
what else may stand there: a file that was about to be published when a run was killed, and one of
another spelling, which on most disks is a file beside the newer one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from bulkfetch.filenames import same_file
from bulkfetch.journal.entries import Owner
from bulkfetch.journal.schema import SKIPPED

# What the rows of files of another spelling have for a job: they go with none.
_NO_JOB = 0

_SUPERSEDE = """
    UPDATE job SET superseded = nullif(?, key)
    WHERE key IN (?, (SELECT job FROM published WHERE folded = ?))
"""
_KEEP_OTHER_SPELLING = f"""
    INSERT OR IGNORE INTO standing (folded, bytes, job)
    SELECT folded, bytes, {_NO_JOB} FROM published WHERE folded = ? AND path IS NOT ?
"""
_PUBLISHED = "INSERT OR REPLACE INTO published (folded, job, bytes, path) VALUES (?, ?, ?, ?)"
_ABOUT_TO_STAND = "INSERT OR IGNORE INTO standing (folded, bytes, job) VALUES (?, ?, ?)"
_KEPT_IN_LIST = f"""
    SELECT job.id, coalesce(path, ?) FROM published JOIN job ON job.key = published.job
    WHERE folded = ? AND job.key <> ? AND position >= ? AND state = {SKIPPED}
"""
_OWNER = "SELECT job, bytes FROM published WHERE folded = ?"
_SIZES = """
    SELECT bytes FROM published WHERE folded = ? UNION SELECT bytes FROM standing WHERE folded = ?
"""


def supersede(connection: sqlite3.Connection, key: int, path: str) -> None:
    """Have the job that published under a path, if it is another one, be superseded."""
    connection.execute(_SUPERSEDE, (key, key, same_file(path)))


def publish(connection: sqlite3.Connection, key: int, path: str, size: int) -> None:
    """Make a job the owner of the file at a path below the output folder."""
    folded = same_file(path)
    connection.execute(_KEEP_OTHER_SPELLING, (folded, path))
    connection.execute(_PUBLISHED, (folded, key, size, path))


def announce(connection: sqlite3.Connection, key: int, path: str, size: int) -> None:
    """Note that a job is about to have a file of `size` bytes at a path; until the job ends."""
    connection.execute(_ABOUT_TO_STAND, (same_file(path), size, key))


def kept_in_list(
    connection: sqlite3.Connection, key: int, path: str, first_position: int
) -> tuple[str, str] | None:
    """Return the other job of the list that has a file under the name from before, and its path."""
    row = connection.execute(_KEPT_IN_LIST, (path, same_file(path), key, first_position)).fetchone()
    return None if row is None else (row[0], row[1])


def owners(connection: sqlite3.Connection, paths: Iterable[str]) -> list[Owner | None]:
    """Return who published at these paths, None for nobody."""
    found: list[Owner | None] = []
    for folded in map(same_file, paths):
        row = connection.execute(_OWNER, (folded,)).fetchone()
        found.append(None if row is None else Owner(*row))
    return found


def sizes(connection: sqlite3.Connection, path: str) -> frozenset[int]:
    """Return the sizes in bytes that a file which bulkfetch put at a path may have."""
    rows = connection.execute(_SIZES, [same_file(path)] * 2).fetchall()
    return frozenset(size for (size,) in rows)

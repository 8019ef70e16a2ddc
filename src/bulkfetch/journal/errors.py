"""SQLite's errors in bulkfetch's words: converted once, where SQLite is called."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bulkfetch.disk import free_bytes, has_no_files_left
from bulkfetch.errors import DiskFull, JournalDamaged, NotWritable, OutputLocked, RunError

# Below this much free room an I/O error while writing is a full disk: SQLite reports a full quota
# or a failed growth of its shared memory as a plain I/O error.
_NO_ROOM_BYTES = 1 << 20

_READING = frozenset(
    {
        sqlite3.SQLITE_IOERR_READ,
        sqlite3.SQLITE_IOERR_SHORT_READ,
        sqlite3.SQLITE_IOERR_CORRUPTFS,
    }
)

# Of SQLite's index to its log, which is memory that processes share by mapping a file: 9P and some
# CIFS cannot.
_SHARED_MEMORY = frozenset({sqlite3.SQLITE_IOERR_SHMMAP, sqlite3.SQLITE_IOERR_SHMLOCK})


def lacks_shared_memory(error: sqlite3.Error) -> bool:
    """Return whether the file system cannot give processes memory to share."""
    return getattr(error, "sqlite_errorcode", None) in _SHARED_MEMORY


@contextmanager
def journal_errors(path: Path) -> Iterator[None]:
    """Raise what an error of SQLite on the journal at `path` means, as `journal_error` says."""
    try:
        yield
    except sqlite3.Error as error:
        raise journal_error(error, path) or error from error


def journal_error(error: sqlite3.Error, path: Path) -> RunError | None:
    """Return what an error of SQLite on the journal at `path` means for the run.

    None where it means a mistake in this program (a broken constraint, a closed connection): such
    an error is not to be dressed up.
    """
    extended = getattr(error, "sqlite_errorcode", None)
    if extended is None:
        return None
    match extended & 0xFF:
        case sqlite3.SQLITE_FULL:
            return DiskFull(f"no room left for the journal {path}")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return NotWritable(f"the journal {path} cannot be written: {error}")
        case sqlite3.SQLITE_IOERR if extended in _READING:
            return JournalDamaged(f"the journal {path} cannot be read: {error}")
        case sqlite3.SQLITE_IOERR if extended in _SHARED_MEMORY:
            return NotWritable(
                f"the journal {path} cannot be read: its file system cannot share memory (mmap)",
                hint="The next run that ends there leaves it readable; a copy of .bulkfetch on a "
                "local disk is, too.",
            )
        case sqlite3.SQLITE_IOERR if _is_full(path):
            return DiskFull(f"no room left for the journal {path}")
        case sqlite3.SQLITE_IOERR:
            return NotWritable(f"the journal {path} cannot be written: {error}")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_ERROR:
            # SQLITE_ERROR: a table or column is missing from a file that says it has them.
            return JournalDamaged(f"the journal {path} cannot be read: {error}")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
            return OutputLocked(
                f"another program holds the journal {path}",
                hint="Close the program that has the file open; on some network file systems a run "
                "holds it to its end.",
            )
        case _:
            return None


def _is_full(path: Path) -> bool:
    free = free_bytes(path.parent)
    return (free is not None and free < _NO_ROOM_BYTES) or has_no_files_left(path.parent)

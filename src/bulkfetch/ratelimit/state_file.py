"""A small database in the state directory, which all processes of the machine share.

One file per kind and state directory, 0600, with nothing secret in it. Whoever opens it may find it
missing, damaged, of another boot or another version, on a file system that does not lock, or locked
by another process: that is dealt with here, once for every kind.

**synchronous = NORMAL** in WAL mode: no commit waits for the disk, only a checkpoint does, every
few hundred transactions. OFF would save that last sync too, but a power cut could then leave a file
that nobody can read.

**A damaged file is set aside**, as NAME.damaged, and a new one is begun, which knows when: what was
in the old one is not known. Files are made and set aside under a lock, and appear under their name
complete: an empty one is a damaged one.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from bulkfetch.ratelimit.filesystem import shared_file_system
from bulkfetch.ratelimit.interfaces import Unusable
from bulkfetch.ratelimit.patience import holder

T = TypeVar("T")

# How long to wait for other processes that make or check the file, in seconds, and how often.
OPEN_S = 5.0
_OPEN_TRY_S = 0.01
# A file of so many pages is looked through when it is opened, in a millisecond or two. Windows of a
# thousand a second have larger ones: what is wrong there shows when it is used.
_CHECKED_PAGES = 256
# The file's own name, and when it took a lost one's place; NULL: it did not, or before this boot.
# Not in every file of this version.
_FILE_TABLE = "CREATE TABLE IF NOT EXISTS file (id TEXT NOT NULL, renewed_at REAL)"
# Primary result codes of what is wrong with the file itself, not with the disk or the rights.
_DAMAGE = {
    sqlite3.SQLITE_ERROR,  # no such table or column
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_SCHEMA,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_NOTADB,
}


@dataclass(frozen=True, slots=True)
class StateFile:
    """A kind of file. `schema` are the statements that make its tables, `looks` read each of them.

    `begin_boot` makes the rows of an earlier boot fit for this one, whose clock has begun again.
    """

    name: str
    application_id: int
    version: int
    schema: str
    looks: tuple[str, ...]
    begin_boot: Callable[[sqlite3.Connection], None]

    @property
    def aside_name(self) -> str:
        """Where a damaged one is moved to."""
        return f"{self.name}.damaged"


class Busy(Exception):
    """Another process makes or mends the file just now."""


class Damaged(Exception):
    """The file is none of ours, or not whole."""


def is_busy(error: Exception) -> bool:
    """Return whether another process holds the file just now."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, Busy) or code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_damage(error: Exception) -> bool:
    """Return whether the fault is the file's own. Without a code it was found by reading it."""
    if not isinstance(error, sqlite3.Error):
        return isinstance(error, Damaged)
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return (code & 0xFF) in _DAMAGE or code == sqlite3.SQLITE_IOERR_SHORT_READ


def reason(error: Exception) -> str:
    """Return in words why the file cannot be used."""
    return (isinstance(error, OSError) and error.strerror) or str(error) or repr(error)


@dataclass(slots=True)
class Store:
    """An open file. `renewed_at` is when it took the place of a lost one, None if it did not."""

    db: sqlite3.Connection
    path: Path
    inode: int
    renewed_at: float | None

    def check(self) -> None:
        """Raise FileNotFoundError where the file is not under its name any more; else OSError."""
        # As long as it is open here, no other file is given its inode.
        if os.stat(self.path).st_ino != self.inode:
            raise FileNotFoundError(errno.ENOENT, "it was removed")


def open_file(
    kind: StateFile,
    state_dir: Path,
    boot: str,
    now: float,
    *,
    lost: str = "",
    spent: int | None = None,
) -> tuple[Store, str]:
    """Open the machine's file of a kind, made where it is missing and anew where it is damaged.

    `lost` says why a process that used the file has it no more, and `spent` is the inode of one
    that it has found damaged: in place of it, or of a missing one, the new one says so. The
    second value says what was wrong with a file that was set aside, "" where none was.

    Raises Unusable, with the reason and what can be done; Busy and sqlite3.Error as they come,
    of which `is_busy` ones are worth another try.
    """
    path = _usable_path(kind, state_dir)
    try:
        try:
            return _opened(kind, path, boot, spent), ""
        except (FileNotFoundError, Damaged):
            pass
        with _alone(path.with_suffix(".lock")):
            why = ""
            try:
                return _opened(kind, path, boot, spent), ""  # somebody was faster
            except FileNotFoundError:
                _create(kind, path, now if lost else None)
            except Damaged as error:
                why = lost if spent is not None and path.stat().st_ino == spent else str(error)
                _set_aside(kind, path)
                _create(kind, path, now)
            return _opened(kind, path, boot, None), why
    except OSError as error:
        raise Unusable(_with_remedy(f"{path}: {error.strerror or error}")) from error
    except sqlite3.Error as error:
        if is_busy(error):
            raise
        raise Unusable(_with_remedy(f"{path}: {error}")) from error


async def open_when_free(
    kind: StateFile,
    state_dir: Path,
    boot: str,
    clock: Callable[[], float],
    use: Callable[[Store], T],
    *,
    lost: str,
    spent: int | None,
) -> tuple[T, str]:
    """Open the file as `open_file` does, and `use` it, waiting for others that hold it.

    Raises Unusable. If cancelled: nothing is left open.
    """
    path = state_dir.absolute() / kind.name
    for _ in range(int(OPEN_S / _OPEN_TRY_S)):
        try:
            store, damage = open_file(kind, state_dir, boot, clock(), lost=lost, spent=spent)
            try:
                return use(store), damage
            except BaseException:
                store.db.close()
                raise
        except (sqlite3.Error, Busy) as error:
            if not is_busy(error):
                raise Unusable(f"{path}: {error}") from error
        await asyncio.sleep(_OPEN_TRY_S)
    raise Unusable(f"{path} stays locked by {holder(path)}")


def _usable_path(kind: StateFile, state_dir: Path) -> Path:
    """Make the folder where it is missing, and return the file's path.

    Raises Unusable where they cannot be had, or where other machines may share them.
    """
    path = state_dir.absolute() / kind.name
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        shared = shared_file_system(state_dir)
        if shared is not None:
            raise Unusable(
                _with_remedy(f"{state_dir} is on {shared}, which other machines may share")
            )
        # Looked at and never opened: to close it would drop the locks of this process's own.
        try:
            found = path.lstat()
        except FileNotFoundError:
            return path
        if not stat.S_ISREG(found.st_mode):
            raise Unusable(f"{path} is not a regular file; move it away")
        if not os.access(path, os.R_OK | os.W_OK) or not os.access(state_dir, os.W_OK):
            raise Unusable(_with_remedy(f"{path} is not writable"))
        if stat.S_IMODE(found.st_mode) != 0o600:
            path.chmod(0o600)
    except OSError as error:
        raise Unusable(_with_remedy(f"{path}: {error.strerror or error}")) from error
    return path


def _with_remedy(why: str) -> str:
    return f"{why}; BULKFETCH_STATE_DIR can name another folder"


def _opened(kind: StateFile, path: Path, boot: str, spent: int | None) -> Store:
    """Open a whole file, made ready for this boot. Raises FileNotFoundError, Damaged too."""
    inode = path.stat().st_ino
    if inode == spent:
        raise Damaged
    db = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=0.0, isolation_level=None)
    try:
        _look_over(kind, db, path)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("BEGIN IMMEDIATE")
        _begin_boot(kind, db, boot)
        renewed_at = _renewed_at(db)
        db.execute("COMMIT")
        if path.stat().st_ino != inode:
            raise Busy
    except BaseException as error:
        db.close()
        if isinstance(error, sqlite3.Error) and is_damage(error):
            raise Damaged(str(error)) from error
        raise
    return Store(db, path, inode, renewed_at)


def _look_over(kind: StateFile, db: sqlite3.Connection, path: Path) -> None:
    """Raise Damaged for a file that is not whole, Unusable for one that is not to be touched."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    if application not in (0, kind.application_id):
        raise Unusable(f"{path} is not bulkfetch's; move it away")
    if version > kind.version:
        raise Unusable(
            f"{path} was written by a newer bulkfetch; upgrade this one, or delete the file when "
            "no run is active"
        )
    if (application, version) != (kind.application_id, kind.version):
        raise Damaged("it is empty, or its beginning is overwritten")
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    if pages <= _CHECKED_PAGES:
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise Damaged(str(verdict))
    for look in kind.looks:
        db.execute(f"{look} LIMIT 1").fetchone()


def _renewed_at(db: sqlite3.Connection) -> float | None:
    """Return when the file took a lost one's place in this boot, None if it did not."""
    db.execute(_FILE_TABLE)
    found = db.execute("SELECT renewed_at FROM file").fetchone()
    if found is None:
        db.execute("INSERT INTO file VALUES (?, NULL)", (uuid4().hex,))
    return found[0] if found else None


def _create(kind: StateFile, path: Path, renewed_at: float | None) -> None:
    """Make the file; under the lock."""
    new = path.with_name(f"{kind.name}.new")
    _remove(new, "", "-wal", "-shm", "-journal")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    os.close(os.open(new, flags, 0o600))
    db = sqlite3.connect(new, isolation_level=None)
    try:
        db.execute("PRAGMA synchronous = OFF")  # whether a power cut leaves it whole, is looked at
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("BEGIN")
        for statement in kind.schema.split(";"):
            db.execute(statement)
        db.execute("CREATE TABLE boot (id TEXT NOT NULL)")
        db.execute(f"PRAGMA application_id = {kind.application_id}")
        db.execute(f"PRAGMA user_version = {kind.version}")
        db.execute(_FILE_TABLE)
        db.execute("INSERT INTO file VALUES (?, ?)", (uuid4().hex, renewed_at))
        db.execute("COMMIT")
    finally:
        db.close()
    _remove(path, "-wal", "-shm")  # of a file that was deleted without them
    os.rename(new, path)


def _set_aside(kind: StateFile, path: Path) -> None:
    """Move a damaged file away, what belongs to it first: left behind it would spoil the next."""
    _remove(path, "-wal", "-shm")
    os.replace(path, path.with_name(kind.aside_name))


def _remove(path: Path, *endings: str) -> None:
    for ending in endings:
        with suppress(FileNotFoundError):
            os.unlink(f"{path}{ending}")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock file, and so be the only one who makes files. Raises Busy, never waits."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.stat().st_ino != os.fstat(descriptor).st_ino:
                raise Busy
        except (BlockingIOError, FileNotFoundError):
            raise Busy from None
        yield
    finally:
        os.close(descriptor)


def _begin_boot(kind: StateFile, db: sqlite3.Connection, boot: str) -> None:
    """Void the stamps of another boot: its clock has nothing to do with this one's."""
    found = db.execute("SELECT id FROM boot").fetchone()
    if found == (boot,):
        return
    db.execute("DELETE FROM boot")
    db.execute("INSERT INTO boot VALUES (?)", (boot,))
    if found is None:  # a new file
        return
    kind.begin_boot(db)
    _renewed_at(db)
    db.execute("UPDATE file SET renewed_at = NULL")

"""The machine window's file: where it is, what is in it, and when it cannot be used.

One file per state directory, 0600, with nothing secret in it: accounts are known by a hash.
**Uses are facts**: a row says when a request was, at the latest, counted by the server. What
follows from it is up to each process's own settings, so that two with different ones both judge
rightly.

**synchronous = NORMAL** in WAL mode: no commit waits for the disk, only a checkpoint does, every
few hundred requests. Stamps lost in a power cut are no loss, since those of another boot are void
anyway; OFF would save that last sync too, but a power cut could then leave a file that nobody can
read, and with it no window for the machine until somebody looks.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

from bulkfetch.window.filesystem import file_system_type, shared_file_system

FILE_NAME = "window.db"
_APPLICATION_ID = 0x62777764  # "bwwd": bulkfetch's window
_VERSION = 1

# account.hold_s: how long after its boot a stamp of an earlier boot may matter, refill and lease.
# account.share: what 429s have taught, JSON of share.Share; NULL: nothing.
# use.at: seconds since boot; of an unsettled use the end of its lease. taken: not refused.
# ticket: a process that waits, since when, until when it is believed, and what it has promised.
_SCHEMA = f"""
CREATE TABLE boot (id TEXT NOT NULL);
CREATE TABLE account (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, hold_s REAL NOT NULL, share TEXT
);
CREATE TABLE use (
    id INTEGER PRIMARY KEY AUTOINCREMENT, account INTEGER NOT NULL, at REAL NOT NULL,
    owner INTEGER NOT NULL, settled INTEGER NOT NULL DEFAULT 0, taken INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX use_at ON use (account, at);
CREATE TABLE ticket (
    account INTEGER NOT NULL, owner INTEGER NOT NULL, since REAL NOT NULL, until REAL NOT NULL,
    requests INTEGER NOT NULL, refill_s REAL NOT NULL, PRIMARY KEY (account, owner)
) WITHOUT ROWID;
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_VERSION};
"""


class Unusable(Exception):
    """The machine's window cannot be used; the text says why."""


def is_busy(error: sqlite3.Error) -> bool:
    """Say whether another process holds the file just now."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def place(state_dir: Path) -> Path:
    """Make the folder and the file where they are missing, and give the file.

    Raises Unusable where they cannot be had, or where other machines may share them.
    """
    path = state_dir / FILE_NAME
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        kind = shared_file_system(file_system_type(state_dir))
        if kind is not None:
            raise Unusable(f"{state_dir} is on {kind}, which other machines may share")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(path, flags, 0o600))
        except FileExistsError:
            # Not opened here: closing it would drop the locks of this process's other windows.
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode):
                raise Unusable(f"{path} is not a regular file") from None
            if not os.access(path, os.R_OK | os.W_OK) or not os.access(state_dir, os.W_OK):
                raise Unusable(f"{path} is not writable") from None
            if stat.S_IMODE(found.st_mode) != 0o600:
                path.chmod(0o600)
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror or error}") from error
    return path


def connect(path: Path, boot: str) -> sqlite3.Connection:
    """Open the file, made ready for this boot.

    Raises Unusable, and sqlite3.Error as it comes: `is_busy` ones are worth another try.
    """
    db = sqlite3.connect(path, timeout=0.0, isolation_level=None)
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (application,) = db.execute("PRAGMA application_id").fetchone()
        if application not in (0, _APPLICATION_ID):
            raise Unusable(f"{path} is not bulkfetch's")
        if version > _VERSION:
            raise Unusable(f"{path} was written by a newer bulkfetch")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("BEGIN IMMEDIATE")
        if db.execute("PRAGMA user_version").fetchone() == (0,):
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
        _begin_boot(db, boot)
        db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return db


def _begin_boot(db: sqlite3.Connection, boot: str) -> None:
    """Void the stamps of another boot: its clock has nothing to do with this one's.

    The requests behind them were before this boot, so they are over once this boot is older than
    a lease and a refill; until then their accounts stay closed.
    """
    if db.execute("SELECT id FROM boot").fetchone() == (boot,):
        return
    db.execute("DELETE FROM boot")
    db.execute("INSERT INTO boot VALUES (?)", (boot,))
    db.execute(
        "UPDATE account SET share = CASE WHEN EXISTS (SELECT 1 FROM use WHERE account = account.id)"
        " THEN json_object('closed_until', hold_s) END"
    )
    db.execute("DELETE FROM use")
    db.execute("DELETE FROM ticket")

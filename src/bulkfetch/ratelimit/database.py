"""The machine window's file: what is in it.

Accounts are known by a hash. **Uses are facts**: a row says when a request was, at the latest,
counted by the server. What follows from it is up to each process's own settings, so that two with
different ones both judge rightly.

Stamps lost in a power cut are no loss, since those of another boot are void anyway. What was in a
damaged or lost file is not known, so in the one in its place every account is closed for a full
period from that moment.
"""

from __future__ import annotations

import sqlite3

from bulkfetch.ratelimit.state_file import StateFile

# account.hold_s: how long after its boot a stamp of an earlier boot may matter, refill and lease.
# account.share: what 429s have taught, JSON of throttle.Throttle; NULL: nothing.
# use.at: seconds since boot; of an unsettled use the end of its lease. taken: not refused.
# ticket: a process that waits, since when, until when it is believed, and what it has promised.
_SCHEMA = """
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
) WITHOUT ROWID
"""
_LOOKS = (
    "SELECT id FROM boot",
    "SELECT id, key, hold_s, share FROM account",
    "SELECT id, account, at, owner, settled, taken FROM use",
    "SELECT account, owner, since, until, requests, refill_s FROM ticket",
)


def _begin_boot(db: sqlite3.Connection) -> None:
    """Forget the uses of another boot.

    The requests behind them were before this boot, so they are over once this boot is older than
    a lease and a refill; until then their accounts stay closed.
    """
    db.execute(
        "UPDATE account SET share = CASE WHEN EXISTS (SELECT 1 FROM use WHERE account = account.id)"
        " THEN json_object('closed_until', hold_s) END"
    )
    db.execute("DELETE FROM use")
    db.execute("DELETE FROM ticket")


WINDOW_FILE = StateFile(
    "window.db",
    application_id=0x62777764,  # "bwwd": bulkfetch's window
    version=1,
    schema=_SCHEMA,
    looks=_LOOKS,
    begin_boot=_begin_boot,
)

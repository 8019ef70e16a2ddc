"""An account's usage in SQLite. Statements only: what it means is said in `usage`.

Nothing in it is secret: accounts are known by a hash. `call.at` is in seconds since boot, of one
under way the end of its lease; a call of an earlier boot was counted before this one began, hence
at 0 at the latest. `spent.start` and `account.remaining_at` are wall time. `line` is who waits, and
until when that is believed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from bulkfetch.control.allowance import CountedCall, WaitingCall
from bulkfetch.control.usage import AccountUsage
from bulkfetch.ratelimit.state_file import StateFile

SCHEMA = """
CREATE TABLE account (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, paused_until REAL NOT NULL,
    remaining INTEGER, remaining_at REAL NOT NULL DEFAULT 0
);
CREATE TABLE call (
    id INTEGER PRIMARY KEY, account INTEGER NOT NULL, kind TEXT NOT NULL, at REAL NOT NULL,
    owner INTEGER NOT NULL, settled INTEGER NOT NULL DEFAULT 0, span REAL NOT NULL
);
CREATE INDEX call_at ON call (account, at);
CREATE TABLE spent (
    account INTEGER NOT NULL, start REAL NOT NULL, credits INTEGER NOT NULL,
    PRIMARY KEY (account, start)
) WITHOUT ROWID;
CREATE TABLE line (
    account INTEGER NOT NULL, owner INTEGER NOT NULL, kind TEXT NOT NULL, since REAL NOT NULL,
    until REAL NOT NULL, PRIMARY KEY (account, owner, kind)
) WITHOUT ROWID
"""
_LOOKS = (
    "SELECT id FROM boot",
    "SELECT id, key, paused_until, remaining, remaining_at FROM account",
    "SELECT id, account, kind, at, owner, settled, span FROM call",
    "SELECT account, start, credits FROM spent",
    "SELECT account, owner, kind, since, until FROM line",
)


def _begin_boot(db: sqlite3.Connection) -> None:
    """Take the calls of another boot for counted as this one began."""
    db.execute("UPDATE call SET at = 0, settled = 1")
    db.execute("UPDATE account SET paused_until = 0")
    db.execute("DELETE FROM line")


CONTROL_FILE = StateFile(
    "control.db",
    application_id=0x62776364,  # "bwcd": bulkfetch's control calls
    version=1,
    schema=SCHEMA,
    looks=_LOOKS,
    begin_boot=_begin_boot,
)


class _Table(NamedTuple):
    """A table of rows of an account, and what it has of a usage: values by key."""

    name: str
    key: tuple[str, ...]
    values: tuple[str, ...]
    rows: Callable[[AccountUsage], Mapping[tuple[Any, ...], tuple[Any, ...]]]

    def select(self) -> str:
        """Return the statement that reads an account's rows."""
        return f"SELECT {', '.join((*self.key, *self.values))} FROM {self.name} WHERE account = ?"

    def delete(self) -> str:
        """Return the statement that deletes one of an account's rows."""
        which = " AND ".join(f"{column} = ?" for column in ("account", *self.key))
        return f"DELETE FROM {self.name} WHERE {which}"

    def replace(self) -> str:
        """Return the statement that writes one of an account's rows."""
        columns = ("account", *self.key, *self.values)
        places = ", ".join("?" for _ in columns)
        return f"INSERT OR REPLACE INTO {self.name} ({', '.join(columns)}) VALUES ({places})"


_TABLES = (
    _Table(
        "call",
        ("id",),
        ("kind", "at", "owner", "settled", "span"),
        lambda usage: {(number,): call for number, call in usage.calls.items()},
    ),
    _Table("line", ("owner", "kind"), ("since", "until"), lambda usage: usage.waiting),
    _Table(
        "spent",
        ("start",),
        ("credits",),
        lambda usage: {(start,): (credits,) for start, credits in usage.spent.items()},
    ),
)


class ControlRows:
    """The rows of one account. Transactions are the caller's.

    A new account may be used from `begins_at` on.
    """

    def __init__(self, db: sqlite3.Connection, account_key: str, begins_at: float) -> None:
        self._db = db
        db.execute(
            "INSERT INTO account (key, paused_until) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (account_key, begins_at),
        )
        (self._account,) = db.execute(
            "SELECT id FROM account WHERE key = ?", (account_key,)
        ).fetchone()

    def read(self) -> AccountUsage:
        """Return the account's usage."""
        paused_until, remaining, remaining_at = self._db.execute(
            "SELECT paused_until, remaining, remaining_at FROM account WHERE id = ?",
            (self._account,),
        ).fetchone()
        calls, waiting, spent = (
            self._db.execute(table.select(), (self._account,)) for table in _TABLES
        )
        return AccountUsage(
            {
                number: CountedCall(kind, at, owner, bool(settled), span)
                for number, kind, at, owner, settled, span in calls
            },
            {(owner, kind): WaitingCall(since, until) for owner, kind, since, until in waiting},
            dict(spent),
            paused_until,
            remaining,
            remaining_at,
        )

    def write(self, before: AccountUsage, after: AccountUsage) -> None:
        """Write what has changed in the account's usage since it was read as `before`."""
        for table in _TABLES:
            old, new = table.rows(before), table.rows(after)
            gone = [key for key in old if key not in new]
            changed = [(*key, *values) for key, values in new.items() if old.get(key) != values]
            self._db.executemany(table.delete(), [(self._account, *key) for key in gone])
            self._db.executemany(table.replace(), [(self._account, *row) for row in changed])
        self._db.execute(
            "UPDATE account SET paused_until = ?, remaining = ?, remaining_at = ? WHERE id = ?",
            (after.paused_until, after.remaining, after.remaining_at, self._account),
        )

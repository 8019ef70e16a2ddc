"""The machine window's file: its tables, and an account's rows in them as one client sees them.

Accounts are known by a hash. **Uses are facts**: a row says when a request was, at the latest,
counted by the server. What follows from it is up to each process's own settings, so that two with
different ones both judge rightly.

Stamps lost in a power cut are no loss, since those of another boot are void anyway. What was in a
damaged or lost file is not known, so in the one in its place every account is closed for a full
period from that moment.
"""

from __future__ import annotations

import math
import secrets
import sqlite3
from collections.abc import Iterable

from bulkfetch.ratelimit.account_rows import AccountRows, Snapshot
from bulkfetch.ratelimit.fair_share import Request, Waiter
from bulkfetch.ratelimit.interfaces import RateLimit
from bulkfetch.ratelimit.state_file import StateFile
from bulkfetch.ratelimit.throttle import Throttle

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


# No stamp is further ahead than this, in seconds: one that is comes from a wrong clock.
FAR_AHEAD_S = 3600.0
# Uses are kept for this long at least, for a later process with a longer period.
KEEP_S = 600.0

# Counted here: each row of `uses` would cost a hand-over of the interpreter's lock.
_SNAPSHOT = """
    SELECT share, filled, out, owner, since, requests, refill_s
    FROM account CROSS JOIN (
        SELECT count(*) AS filled, total(at > ? AND NOT settled) AS out
        FROM use WHERE account = ? AND at > ?
    )
    LEFT JOIN ticket ON account = account.id AND (owner = ? OR until >= ?)
    WHERE account.id = ?
"""


class SqliteRows(AccountRows):
    """The rows of one account in the machine's file. Transactions are the caller's."""

    def __init__(self, db: sqlite3.Connection, account_key: str, limit: RateLimit) -> None:
        self._db = db
        self.owner = secrets.randbits(62)
        self._limit = limit
        db.execute(
            "INSERT INTO account (key, hold_s) VALUES (?, ?)"
            " ON CONFLICT DO UPDATE SET hold_s = max(hold_s, excluded.hold_s)",
            (account_key, limit.refill_s + limit.lease_s),
        )
        (self.account,) = db.execute(
            "SELECT id FROM account WHERE key = ?", (account_key,)
        ).fetchone()

    def settled(self, number: int, at: float, *, taken: bool) -> None:
        self._db.execute(
            "INSERT INTO use (id, account, at, owner, settled, taken) VALUES (?, ?, ?, ?, 1, ?)"
            " ON CONFLICT DO UPDATE SET at = excluded.at, settled = 1, taken = excluded.taken",
            (number, self.account, at, self.owner, taken),
        )

    def unused(self, number: int) -> None:
        self._db.execute("DELETE FROM use WHERE id = ?", (number,))

    def renew(self, numbers: Iterable[int], until: float) -> None:
        self._db.executemany(
            "INSERT INTO use (id, account, at, owner) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET at = excluded.at WHERE NOT settled",
            [(number, self.account, until, self.owner) for number in numbers],
        )

    def prune(self, now: float) -> None:
        account, far = self.account, now + FAR_AHEAD_S
        keep_s = max(KEEP_S, 5 * self._limit.refill_s)
        db = self._db
        db.execute("DELETE FROM use WHERE account = ? AND at < ?", (account, now - keep_s))
        db.execute(
            "UPDATE use SET at = ? WHERE account = ? AND at > ?",
            (now + self._limit.lease_s, account, far),
        )
        db.execute(
            "DELETE FROM ticket WHERE account = ? AND (until < ? OR until > ?)", (account, now, far)
        )

    def snapshot(self, now: float) -> Snapshot:
        # One statement: every request asks for it.
        since = now - self._limit.refill_s
        rows = self._db.execute(
            _SNAPSHOT, (now, self.account, since, self.owner, now, self.account)
        ).fetchall()
        waiting = {row[3]: Waiter(*row[3:]) for row in rows if row[3] is not None}
        mine = waiting.pop(self.owner, None)
        share, filled, out = rows[0][:3]
        return Snapshot(
            self._read(share),
            filled,
            int(out),
            mine.since if mine else now,
            list(waiting.values()),
            -math.inf,
        )

    def announce(self, since: float, until: float) -> None:
        limit = self._limit
        self._db.execute(
            "INSERT OR REPLACE INTO ticket VALUES (?, ?, ?, ?, ?, ?)",
            (self.account, self.owner, since, until, limit.requests, limit.refill_s),
        )

    def withdraw(self) -> None:
        self._db.execute(
            "DELETE FROM ticket WHERE account = ? AND owner = ?", (self.account, self.owner)
        )

    def requests(self, since: float) -> list[Request]:
        rows = self._db.execute(
            "SELECT at, owner, settled FROM use WHERE account = ? AND at > ? ORDER BY at DESC",
            (self.account, since),
        )
        return [Request(at, owner, bool(settled)) for at, owner, settled in rows]

    def served(self, since: float) -> dict[int, int]:
        return dict(
            self._db.execute(
                "SELECT owner, count(*) FROM use WHERE account = ? AND at > ? GROUP BY owner",
                (self.account, since),
            )
        )

    def taken(self, since: float) -> int:
        (count,) = self._db.execute(
            "SELECT count(*) FROM use WHERE account = ? AND at > ? AND taken",
            (self.account, since),
        ).fetchone()
        return int(count)

    def throttle(self) -> Throttle:
        (text,) = self._db.execute(
            "SELECT share FROM account WHERE id = ?", (self.account,)
        ).fetchone()
        return self._read(text)

    def _read(self, text: str | None) -> Throttle:
        try:
            return Throttle.from_json(text, self._limit.requests)
        except ValueError as error:
            raise sqlite3.DatabaseError("it holds a damaged row") from error

    def save(self, throttle: Throttle) -> None:
        self._db.execute(
            "UPDATE account SET share = ? WHERE id = ?",
            (throttle.to_json(self._limit.requests), self.account),
        )

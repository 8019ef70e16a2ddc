"""What the processes know of an account's control calls, in SQLite. Statements only.

Nothing in it is secret: accounts are known by a hash. `call.at` is in seconds since boot, of one
under way the end of its lease; a call of an earlier boot was counted before this one began, hence
at 0 at the latest. `spent.start` and `account.remaining_at` are wall time. `line` is who waits, and
until when that is believed.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from bulkfetch.control.allowance import (
    DAY_S,
    GRACE_S,
    REFILL_S,
    SPAN_S,
    Books,
    CountedCall,
    InLine,
    Span,
)
from bulkfetch.control.calls import CREDITS, Kind
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
# No stamp is honestly further ahead than this, in seconds; one that is, is brought back.
FAR_AHEAD_S = 3600.0
# Kept so long after it counts, for a process with other limits or a slower look.
_KEEP_S = 600.0


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


class Settled(NamedTuple):
    """How a call ended. `remaining` is what the service said with its answer.

    `unused`: nothing was sent. `refused`: a 429, the account pauses for `pause_s`. `lost`: it may
    still be counted a little later.
    """

    end: str
    pause_s: float = 0.0
    remaining: int | None = None


class ControlRows:
    """The rows of one account, as one process reads and writes them. Transactions are the caller's.

    `owner` is a number that no other process has. A new account may be used from `begins_at` on.
    """

    def __init__(
        self, db: sqlite3.Connection, account_key: str, owner: int, begins_at: float = 0.0
    ) -> None:
        self._db, self._owner = db, owner
        db.execute(
            "INSERT INTO account (key, paused_until) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (account_key, begins_at),
        )
        (self._account,) = db.execute(
            "SELECT id FROM account WHERE key = ?", (account_key,)
        ).fetchone()

    def books(self, now: float) -> Books:
        """Return how the account stands; `others` are those in line but this process."""
        db, account = self._db, self._account
        paused_until, remaining, remaining_at = db.execute(
            "SELECT paused_until, remaining, remaining_at FROM account WHERE id = ?", (account,)
        ).fetchone()
        calls = db.execute(
            "SELECT kind, at, settled FROM call WHERE account = ? AND at > ?",
            (account, now - REFILL_S),
        )
        line = db.execute(
            "SELECT since, owner, kind FROM line WHERE account = ? AND owner <> ? AND until >= ?",
            (account, self._owner, now),
        )
        spent = db.execute("SELECT start, credits FROM spent WHERE account = ?", (account,))
        return Books(
            [CountedCall(kind, at, bool(settled)) for kind, at, settled in calls],
            [InLine(*row) for row in line],
            paused_until,
            remaining,
            remaining_at,
            [Span(*row) for row in spent],
        )

    def begin(self, number: int, kind: Kind, until: float, wall: float) -> None:
        """Write a call that leaves now, and what it costs; its lease ends at `until`."""
        span = wall // SPAN_S * SPAN_S
        self._db.execute(
            "INSERT INTO call (id, account, kind, at, owner, span) VALUES (?, ?, ?, ?, ?, ?)",
            (number, self._account, kind, until, self._owner, span),
        )
        self._spend(span, CREDITS[kind])

    def settle(self, number: int, kind: Kind, settled: Settled, now: float, wall: float) -> None:
        """Write how a call ended; does nothing for one that was never begun, or is forgotten."""
        found = self._db.execute("SELECT span FROM call WHERE id = ?", (number,)).fetchone()
        if found is not None:
            if settled.end in ("unused", "refused"):
                self._spend(found[0], -CREDITS[kind])
            if settled.end == "unused":
                self._db.execute("DELETE FROM call WHERE id = ?", (number,))
            else:
                at = now + (GRACE_S if settled.end == "lost" else 0.0)
                self._db.execute("UPDATE call SET at = ?, settled = 1 WHERE id = ?", (at, number))
        if settled.end == "refused":
            self._db.execute(
                "UPDATE account SET paused_until = max(paused_until, ?) WHERE id = ?",
                (now + settled.pause_s, self._account),
            )
        # An answer that does not say comes while more than half are left; a 429 may not say either.
        if settled.remaining is not None or settled.end == "answered":
            self.remain(settled.remaining, wall)

    def remain(self, remaining: int | None, wall: float) -> None:
        """Write what the service said of the credits that remain, unless it has said so since."""
        self._db.execute(
            "UPDATE account SET remaining = ?, remaining_at = ? WHERE id = ?"
            " AND (remaining_at <= ? OR remaining_at > ?)",  # or a clock was ahead
            (remaining, wall, self._account, wall, wall + SPAN_S),
        )

    def stand_in_line(self, kind: Kind, since: float, until: float) -> None:
        """Write that this process waits, and is to be believed until then."""
        self._db.execute(
            "INSERT OR REPLACE INTO line VALUES (?, ?, ?, ?, ?)",
            (self._account, self._owner, kind, since, until),
        )

    def leave_line(self, kind: Kind) -> None:
        """Write that no call of a kind waits here any more."""
        self._db.execute(
            "DELETE FROM line WHERE account = ? AND owner = ? AND kind = ?",
            (self._account, self._owner, kind),
        )

    def prune(self, now: float, wall: float) -> None:
        """Forget what is long past; bring back what is further ahead than it can be."""
        db, account = self._db, self._account
        db.execute(
            "DELETE FROM call WHERE account = ? AND at < ?", (account, now - REFILL_S - _KEEP_S)
        )
        db.execute("DELETE FROM line WHERE account = ? AND until < ?", (account, now))
        db.execute(
            "DELETE FROM spent WHERE account = ? AND start < ?",
            (account, wall - DAY_S - SPAN_S - _KEEP_S),
        )
        far = now + FAR_AHEAD_S
        db.execute("UPDATE call SET at = ? WHERE account = ? AND at > ?", (now, account, far))
        db.execute("DELETE FROM line WHERE account = ? AND until > ?", (account, far))
        db.execute(
            "UPDATE account SET paused_until = ? WHERE id = ? AND paused_until > ?",
            (now, account, far + REFILL_S),
        )
        self._bring_back(wall)

    def _bring_back(self, wall: float) -> None:
        """Take what was spent by a clock that was ahead for spent now."""
        future = (self._account, wall + SPAN_S)
        (ahead,) = self._db.execute(
            "SELECT total(credits) FROM spent WHERE account = ? AND start > ?", future
        ).fetchone()
        if ahead:
            self._db.execute("DELETE FROM spent WHERE account = ? AND start > ?", future)
            self._spend(wall // SPAN_S * SPAN_S, int(ahead))

    def _spend(self, span: float, credits: int) -> None:
        self._db.execute(
            "INSERT INTO spent VALUES (?, ?, max(0, ?)) ON CONFLICT DO UPDATE"
            " SET credits = max(0, spent.credits + ?)",
            (self._account, span, credits, credits),
        )

"""The rows of one account, as one process reads and writes them; see `database` for the tables."""

from __future__ import annotations

import math
import secrets
import sqlite3
from collections.abc import Iterable

from bulkfetch.ratelimit.fair_share import Request, Waiter
from bulkfetch.ratelimit.interfaces import RateLimit
from bulkfetch.ratelimit.standing import Snapshot
from bulkfetch.ratelimit.throttle import Throttle
from bulkfetch.ratelimit.throttle_json import from_json, to_json

# No stamp is honestly further ahead than this, in seconds; one that is, is brought back.
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


class Rows:
    """Statements only: transactions are the caller's, and what the rows mean too.

    `owner` is a number that no other limiter has.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        account_key: str,
        owner: int,
        settings: RateLimit,
    ) -> None:
        self._db = db
        self.owner = owner
        self._settings = settings
        self._lease_s = settings.lease_s
        db.execute(
            "INSERT INTO account (key, hold_s) VALUES (?, ?)"
            " ON CONFLICT DO UPDATE SET hold_s = max(hold_s, excluded.hold_s)",
            (account_key, settings.refill_s + settings.lease_s),
        )
        (self.account,) = db.execute(
            "SELECT id FROM account WHERE key = ?", (account_key,)
        ).fetchone()

    def lease(self, now: float) -> int:
        """Write a request that begins now, and return its row's number, which no other one has.

        It is drawn, so that the row can be written into another file too.
        """
        number = secrets.randbits(62)
        self.renew([number], now + self._lease_s)
        return number

    def settled(self, number: int, at: float, *, taken: bool) -> None:
        """Write when a request was over; anew if its row is gone, its lease having ended."""
        self._db.execute(
            "INSERT INTO use (id, account, at, owner, settled, taken) VALUES (?, ?, ?, ?, 1, ?)"
            " ON CONFLICT DO UPDATE SET at = excluded.at, settled = 1, taken = excluded.taken",
            (number, self.account, at, self.owner, taken),
        )

    def unused(self, number: int) -> None:
        """Take back a request that was not sent."""
        self._db.execute("DELETE FROM use WHERE id = ?", (number,))

    def renew(self, numbers: Iterable[int], until: float) -> None:
        """Write a later end of leases, anew where there is no row."""
        self._db.executemany(
            "INSERT INTO use (id, account, at, owner) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET at = excluded.at WHERE NOT settled",
            [(number, self.account, until, self.owner) for number in numbers],
        )

    def prune(self, now: float) -> None:
        """Forget what is long past; bring back what is further ahead than it can be."""
        account, far = self.account, now + FAR_AHEAD_S
        keep_s = max(KEEP_S, 5 * self._settings.refill_s)
        db = self._db
        db.execute("DELETE FROM use WHERE account = ? AND at < ?", (account, now - keep_s))
        db.execute(
            "UPDATE use SET at = ? WHERE account = ? AND at > ?",
            (now + self._lease_s, account, far),
        )
        db.execute(
            "DELETE FROM ticket WHERE account = ? AND (until < ? OR until > ?)", (account, now, far)
        )

    def snapshot(self, now: float) -> Snapshot:
        """Return how the account stands. One statement: every request asks for it."""
        since = now - self._settings.refill_s
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
        """Write that this process waits, and is to be believed until then."""
        self._db.execute(
            "INSERT OR REPLACE INTO ticket VALUES (?, ?, ?, ?, ?, ?)",
            (
                self.account,
                self.owner,
                since,
                until,
                self._settings.requests,
                self._settings.refill_s,
            ),
        )

    def withdraw(self) -> None:
        """Delete the waiter row of this process."""
        self._db.execute(
            "DELETE FROM ticket WHERE account = ? AND owner = ?", (self.account, self.owner)
        )

    def requests(self, since: float) -> list[Request]:
        """Return the requests that still fill a slot, the newest first."""
        rows = self._db.execute(
            "SELECT at, owner, settled FROM use WHERE account = ? AND at > ? ORDER BY at DESC",
            (self.account, since),
        )
        return [Request(*row) for row in rows]

    def served(self, since: float) -> dict[int, int]:
        """Count the requests of each process since then, by its owner number."""
        return dict(
            self._db.execute(
                "SELECT owner, count(*) FROM use WHERE account = ? AND at > ? GROUP BY owner",
                (self.account, since),
            )
        )

    def taken(self, since: float) -> int:
        """Count the requests that the server took since then."""
        (count,) = self._db.execute(
            "SELECT count(*) FROM use WHERE account = ? AND at > ? AND taken",
            (self.account, since),
        ).fetchone()
        return int(count)

    def throttle(self) -> Throttle:
        """Read what 429s have taught; NULL, or a part that is missing, means nothing."""
        (text,) = self._db.execute(
            "SELECT share FROM account WHERE id = ?", (self.account,)
        ).fetchone()
        return self._read(text)

    def _read(self, text: str | None) -> Throttle:
        try:
            return from_json(text, self._settings.requests)
        except ValueError as error:
            raise sqlite3.DatabaseError("it holds a damaged row") from error

    def save(self, throttle: Throttle) -> None:
        """Write what 429s have taught."""
        self._db.execute(
            "UPDATE account SET share = ? WHERE id = ?",
            (to_json(throttle, self._settings.requests), self.account),
        )

"""How the machine's window stands, for whoever only looks: nothing is made, locked or written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from bulkfetch.clock import boot_id, boottime
from bulkfetch.ratelimit.interfaces import RateLimit
from bulkfetch.ratelimit.rows import WINDOW_FILE
from bulkfetch.ratelimit.throttle import Throttle

_ACCOUNT = "SELECT id, share FROM account WHERE key = ?"
_USES = "SELECT at FROM use WHERE account = ? AND at > ? ORDER BY at DESC LIMIT ?"


def slots_free_in(
    state_dir: Path,
    account_key: str,
    limit: RateLimit,
    *,
    clock: Callable[[], float] = boottime,
    boot: Callable[[], str] = boot_id,
) -> list[float]:
    """Return in how many seconds each used slot of an account is free again, the soonest first.

    A use that is not settled yet counts to the end of its lease. While the window is closed after a
    429, all slots are used. Empty where nothing is known: no file, another boot's, a damaged one.
    """
    path = state_dir.absolute() / WINDOW_FILE.name
    # At rest it has no log, which an ordinary reader would create.
    rests = not path.with_name(f"{path.name}-wal").exists()
    address = f"{path.as_uri()}?mode=ro" + ("&immutable=1" if rests else "")
    try:
        now = clock()
        with closing(sqlite3.connect(address, uri=True, timeout=1.0)) as db:
            if db.execute("SELECT id FROM boot").fetchone() != (boot(),):
                return []
            found = db.execute(_ACCOUNT, (account_key,)).fetchone()
            if found is None:
                return []
            closed_s = Throttle.from_json(found[1], limit.requests).closed_until - now
            values = (found[0], now - limit.refill_s, limit.requests)
            uses = [at + limit.refill_s - now for (at,) in db.execute(_USES, values)]
    except (sqlite3.Error, OSError, ValueError, TypeError):
        return []
    if closed_s <= 0:
        return sorted(uses)
    free = limit.requests - len(uses)
    return sorted([*([closed_s] * free), *(max(each, closed_s) for each in uses)])

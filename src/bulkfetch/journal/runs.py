"""When jobs were listed, and at what pace: for who looks on, and for housekeeping.

A row tells of the positions from its own up to that of the next row. It is written with the first
jobs of a list, in their transaction, and once an hour while a list goes on: one that a service
feeds has no end. A run that lists nothing leaves no row.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

# `first_position` is that of the run's list, `started` when the first of these jobs was listed.
RUN_TABLE = """
    CREATE TABLE run (
        position INTEGER PRIMARY KEY,
        first_position INTEGER NOT NULL,
        started TEXT NOT NULL,
        paces TEXT NOT NULL
    );
"""

_SPAN = timedelta(hours=1)

_NOTE = """
    INSERT OR IGNORE INTO run (position, first_position, started, paces)
    SELECT next_position, ?1, ?2, ?3 FROM list
    WHERE NOT EXISTS (SELECT 1 FROM run WHERE first_position = ?1 AND started > ?4)
"""
_NEWEST = """
    SELECT first_position, paces, (
        SELECT min(started) FROM run AS begun WHERE begun.first_position = run.first_position
    )
    FROM run ORDER BY position DESC LIMIT 1
"""


class RunPace(NamedTuple):
    """How many requests of an account may start in a period of so many seconds, margin included."""

    requests: int
    period_s: float


class BegunRun(NamedTuple):
    """A list as it was begun: its first position, when (UTC), and each account's pace."""

    first_position: int
    started: datetime
    paces: dict[str, RunPace]


def note(connection: sqlite3.Connection, first: int, paces: Mapping[str, RunPace]) -> None:
    """Note that jobs are about to be listed, by now, in the list that begins at `first`."""
    now = datetime.now(UTC)
    connection.execute(_NOTE, (first, utc_text(now), json.dumps(paces), utc_text(now - _SPAN)))


def newest(connection: sqlite3.Connection) -> BegunRun | None:
    """Return the list that was begun last, None where none was noted."""
    row = connection.execute(_NEWEST).fetchone()
    if row is None:
        return None
    first_position, paces, started = row
    by_account = {name: RunPace(*pace) for name, pace in json.loads(paces).items()}
    return BegunRun(first_position, datetime.fromisoformat(started), by_account)


def unlisted_before(connection: sqlite3.Connection, moment: datetime) -> int:
    """Return the position below which no job was listed within an hour of a moment (UTC) or since.

    Jobs listed before anything was noted count as old as the first that was. 0: there are none.
    """
    since = utc_text(moment - _SPAN)
    ((recent,),) = connection.execute("SELECT min(position) FROM run WHERE started >= ?", (since,))
    ((oldest,),) = connection.execute("SELECT min(position) FROM run")
    if oldest is None or recent == oldest:
        return 0
    if recent is not None:
        return int(recent)
    ((following,),) = connection.execute("SELECT next_position FROM list")
    return int(following)


def forget_runs(connection: sqlite3.Connection, position: int) -> None:
    """Remove what is noted below a position, but for the last: it tells the age of what is left."""
    connection.execute(
        "DELETE FROM run WHERE position < (SELECT max(position) FROM run WHERE position < ?)",
        (position,),
    )


def utc_text(moment: datetime) -> str:
    """Return a moment as the journal has it, so that texts sort as moments do."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")

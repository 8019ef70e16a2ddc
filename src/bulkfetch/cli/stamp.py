"""The time that a line of a log begins with."""

from __future__ import annotations


def stamp() -> str:
    """Return the local time to the second, with its offset."""
    from datetime import datetime  # late: a terminal needs none

    return datetime.now().astimezone().isoformat(timespec="seconds")

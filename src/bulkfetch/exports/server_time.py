"""Zoho's times: ISO 8601 with an offset. Pure.

Cursors are kept as Zoho sent them, and compared as instants. The local clock is never one of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime


def server_time(text: str | None) -> datetime | None:
    """Return the instant that Zoho sent, with its offset; None if it is not one without doubt."""
    try:
        instant = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return instant if instant.tzinfo is not None else None


def earliest(times: Iterable[str | None]) -> str | None:
    """Return the earliest of some times as it was sent; None without any, or if one is no time."""
    instants = [(server_time(text), text) for text in times]
    if not instants or any(instant is None for instant, _ in instants):
        return None
    return min((instant, text) for instant, text in instants if instant is not None)[1]


def stamp(instant: datetime) -> str:
    """Return an instant in UTC as folders are named, as `20260930T020001Z`."""
    return f"{instant.astimezone(UTC):%Y%m%dT%H%M%SZ}"

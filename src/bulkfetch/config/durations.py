"""Durations as people write them: 90s, 10m, 12h, 7d."""

from __future__ import annotations

import re

_UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
# Also for the JSON Schema.
DURATION_PATTERN = r"^\s*[0-9]{1,9}(\.[0-9]{1,3})? ?(s|m|min|h|d|w)\s*$"
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?(s|m|min|h|d|w)", re.ASCII)


def parse_duration(value: object) -> float:
    """Return the seconds that a duration such as "90s", "10m", "12h" or "7d" stands for.

    Raises ValueError for anything else, a number without a unit included.
    """
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('must be a duration such as "90s", "10m", "12h" or "7d"')
    return float(match[1]) * _UNITS_S[match[2]]

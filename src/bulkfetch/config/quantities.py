"""Sizes, rates and durations as people write them: 4 GiB, 1.5M, 30m.

Each `…_PATTERN` says the same for the JSON Schema.
"""

from __future__ import annotations

import re

# By the unit in small letters.
_BYTES = {"": 1, "b": 1} | {
    f"{letter}{kind}": base**power
    for power, letter in enumerate("kmgt", start=1)
    for kind, base in (("b", 1000), ("ib", 1024))
}
SIZE_PATTERN = r"^\s*[0-9]{1,18}(\.[0-9]{1,6})? ?([KkMmGgTt]?[Bb]|[KkMmGgTt][Ii][Bb])?\s*$"
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,6})?) ?([A-Za-z]{0,3})", re.ASCII)


def parse_size(value: object) -> int:
    """Return the bytes that a size such as "4 GiB", "500 MB" or 4096 stands for.

    MB are 1000², MiB 1024². Raises ValueError for anything else, a bool included.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    factor = _BYTES.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError('must be a size such as "4 GiB", "500 MB" or a number of bytes')
    return int(match[1]) * factor if match[1].isdigit() else int(float(match[1]) * factor)


RATE_PATTERN = r"^\s*[0-9]{1,18}(\.[0-9]{1,6})? ?([Bb]|[KkMmGgTt]([Ii]?[Bb])?)?(/s)?\s*$"


def parse_rate(value: object) -> int:
    """Return the bytes per second that a rate such as "500k", "1.5M", "2 MB/s" or 4096 stands for.

    A letter alone is a power of 1024, as for curl; all else is as in sizes. Raises ValueError.
    """
    text = value.strip().removesuffix("/s").rstrip() if isinstance(value, str) else value
    if isinstance(text, str) and text[-1:] in tuple("kKmMgGtT"):
        text += "iB"
    try:
        return parse_size(text)
    except ValueError:
        raise ValueError('must be bytes per second such as "500k", "1.5M" or 2_000_000') from None


_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
DURATION_PATTERN = r"^\s*[0-9]{1,9}(\.[0-9]{1,3})? ?(s|m|min|h|d|w)\s*$"
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?(s|m|min|h|d|w)", re.ASCII)


def parse_duration(value: object) -> float:
    """Return the seconds that a duration such as "90s", "10m", "12h" or "7d" stands for.

    Raises ValueError for anything else, a number without a unit included.
    """
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('must be a duration such as "90s", "10m", "12h" or "7d"')
    return float(match[1]) * _SECONDS[match[2]]

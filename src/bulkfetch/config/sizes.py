"""Sizes as people write them: 500 MB, 4 GiB, 4096."""

from __future__ import annotations

import re

_UNITS = {"": 1, "B": 1} | {
    f"{letter}{kind}": base**power
    for power, letter in enumerate("KMGT", start=1)
    for kind, base in (("B", 1000), ("iB", 1024))
}
_BY_LOWER = {unit.lower(): factor for unit, factor in _UNITS.items()}
# Also for the JSON Schema: the units in any case.
SIZE_PATTERN = r"^\s*[0-9]{1,18}(\.[0-9]{1,6})? ?([KkMmGgTt]?[Bb]|[KkMmGgTt][Ii][Bb])?\s*$"
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,6})?) ?([A-Za-z]{0,3})", re.ASCII)


def parse_size(value: object) -> int:
    """Return the bytes that a size such as "4 GiB", "500 MB" or 4096 stands for.

    MB are 1000², MiB 1024². Raises ValueError for anything else, a bool included.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    factor = _BY_LOWER.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError('must be a size such as "4 GiB", "500 MB" or a number of bytes')
    return int(match[1]) * factor if match[1].isdigit() else int(float(match[1]) * factor)

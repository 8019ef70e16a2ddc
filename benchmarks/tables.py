"""Tables of several widths, each as a ZIP and as the CSV within: made from a seed, once, and kept.

Rows are put together from a pool, so that they compress better than a CRM's. A seventeenth of the
columns is empty in the first three quarters of the rows: what guesses types must see it.
"""

from __future__ import annotations

import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

SEED = 20261129
# Changed with everything that changes the bytes.
EDITION = 1
# Columns that are made together, and how many of their rows are in the pool.
_TOGETHER, _POOL = 20, 2000
_WORDS = [
    "account",
    "asked",
    "budget",
    "call",
    "contract",
    "customer",
    "delivery",
    "demo",
    "email",
    "follow",
    "invoice",
    "lead",
]


@dataclass(frozen=True, slots=True)
class Table:
    """How many rows and columns there are, and where the files lie."""

    name: str
    rows: int
    columns: int
    zip: Path
    csv: Path


SHAPES = (("20", 200_000, 20), ("200", 200_000, 200), ("600", 60_000, 600))


def prepare(data: Path, *, quick: bool, tell: Callable[[str], None]) -> list[Table]:
    """Make the tables where they are not there yet; `quick` makes a fiftieth of the rows."""
    folder = data / f"tables-{EDITION}{'-quick' if quick else ''}"
    folder.mkdir(parents=True, exist_ok=True)
    tables = []
    for name, rows, columns in SHAPES:
        rows = rows // 50 if quick else rows
        table = Table(name, rows, columns, folder / f"{name}.zip", folder / f"{name}.csv")
        if not table.zip.exists():
            tell(f"making {rows:,} rows of {columns} columns in {folder} …")
            _make(table)
        tables.append(table)
    return tables


def _make(table: Table) -> None:
    with table.csv.open("wb") as file:
        for piece in _pieces(table):
            file.write(piece)
    half_done = table.zip.with_suffix(".part")
    with zipfile.ZipFile(half_done, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.write(table.csv, f"{table.name}.csv")
    half_done.rename(table.zip)


def _pieces(table: Table) -> Iterator[bytes]:
    dice = random.Random(SEED)
    names = [f"Field_{number}" for number in range(1, table.columns)]
    yield (",".join(["Id", *names]) + "\n").encode()
    first = [_pool(dice, part, late=False) for part in _parts(table.columns)]
    later = [_pool(dice, part, late=True) for part in _parts(table.columns)]
    lines: list[str] = []
    for row in range(table.rows):
        pools = first if row < table.rows * 3 // 4 else later
        cells = ",".join([pool[int(dice.random() * _POOL)] for pool in pools])
        lines.append(f"{554023000000000000 + row * 7},{cells}\n")
        if len(lines) == 1000:
            yield "".join(lines).encode()
            lines.clear()
    yield "".join(lines).encode()


def _parts(columns: int) -> list[range]:
    """Return the numbers of columns, those together that are made together."""
    return [range(start, min(start + _TOGETHER, columns)) for start in range(1, columns, _TOGETHER)]


def _pool(dice: random.Random, columns: range, *, late: bool) -> list[str]:
    return [",".join(_cell(dice, column, late=late) for column in columns) for _ in range(_POOL)]


def _cell(dice: random.Random, column: int, *, late: bool) -> str:
    if column % 17 == 0 and not late:
        return ""
    if dice.random() < 0.4:  # as most of a CRM's custom fields
        return ""
    match column % 6:
        case 0:
            return f"2024-{dice.randrange(1, 13):02d}-{dice.randrange(1, 29):02d}T08:30:00+02:00"
        case 1:
            return str(dice.randrange(10_000))
        case 2:
            return f"{dice.randrange(10**6) / 100:.2f}"
        case 3:
            return "true" if dice.random() < 0.5 else "false"
        case 4:
            return " ".join(dice.choices(_WORDS, k=3))
        case _:
            return f'"{dice.choice(_WORDS)}, ""{dice.choice(_WORDS)}"""'

"""Whether each cell of the large tables is the same in Parquet as the csv module reads it.

`python -m benchmarks.cells`: exit status 1 where one is not. Both files are read as streams.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from benchmarks.stage import DATA
from benchmarks.tables import SHAPES, prepare
from bulkfetch.archive import ArchivedFile, ExtractLimits, FileDraft, inspect
from bulkfetch.archive.parquet import extract_parquet

# Rows that are in memory at once.
_ROWS = 1_000


class Compared(NamedTuple):
    """How many rows and cells the CSV has, and how many of its cells are others in Parquet."""

    rows: int
    cells: int
    others: int


def compare(table: Path, parquet: Path) -> Compared:
    """Compare a CSV with a Parquet file of text; a missing cell, row or column is another one."""
    rows = cells = others = 0
    with table.open(encoding="utf-8-sig", newline="") as file:
        for ours, theirs in zip_longest(_rows(parquet), csv.reader(file), fillvalue=()):
            rows += 1
            cells += len(theirs)
            if ours != theirs:
                others += sum(one != other for one, other in zip_longest(ours, theirs))
    return Compared(rows - 1, cells, others)


def _rows(parquet: Path) -> Iterator[Sequence[str]]:
    """Yield the header and the rows, a missing value as no text, as the csv module has it."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(parquet) as file:
        yield file.schema_arrow.names
        for batch in file.iter_batches(batch_size=_ROWS):
            columns = [column.fill_null("").to_pylist() for column in batch.columns]
            yield from (list(row) for row in zip(*columns, strict=True))


def main() -> int:
    """Convert and compare each table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cells", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the rows")
    parser.add_argument("--only", choices=[name for name, _, _ in SHAPES], help="one width")
    asked = parser.parse_args()
    limits = ExtractLimits(file_bytes=64 << 30)
    wrong = False
    for table in prepare(DATA, quick=asked.quick, tell=print):
        if asked.only not in (None, table.name):
            continue
        with tempfile.TemporaryDirectory() as folder:
            made, begun = Path(folder) / "table.parquet", time.monotonic()
            file = ArchivedFile(table.zip, inspect(table.zip, limits), limits)
            draft = FileDraft(made)
            extract_parquet(file, draft, types={}, row_group_bytes=64 << 20)
            draft.close()
            found = compare(table.csv, made)
        wrong |= bool(found.others) or found.rows != table.rows
        print(
            f"{found.rows:,} rows of {table.columns} columns: {found.cells:,} cells compared, "
            f"{found.others:,} others ({time.monotonic() - begun:.0f} s)",
            flush=True,
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

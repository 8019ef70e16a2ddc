"""Formats: a table of 20, 200 and 600 columns as a Parquet file, all columns as text.

Ours begins with the ZIP, of which it checks every byte and counts the records, and tells a SHA-256
of the file; the rivals begin with the CSV that was in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from benchmarks.model import Contest, Medians, Target, figure, ratio
from benchmarks.stage import Stage
from benchmarks.tables import Table

OURS = "bulkfetch, from the ZIP"
DUCKDB, POLARS, PYARROW = (
    "DuckDB, one thread",
    "polars, a stream",
    "pyarrow, a group for each block",
)


def contests(stage: Stage) -> Sequence[Contest]:
    """A contest for each width."""
    return [_contest(stage, table) for table in stage.tables.values()]


def _contest(stage: Stage, table: Table) -> Contest:
    cases = [stage.ours(OURS, "parquet", os.fspath(table.zip))]
    if stage.options.peers:
        csv = os.fspath(table.csv)
        cases += [
            stage.peer(DUCKDB, "columns", "duckdb", csv, needs=["duckdb"]),
            stage.peer(POLARS, "columns", "polars", csv, needs=["polars"]),
            stage.peer(PYARROW, "columns", "pyarrow", csv, needs=["pyarrow"]),
        ]
    size = table.csv.stat().st_size
    return Contest(
        name=f"formats-{table.name}",
        title=f"{table.rows:,} rows of {table.columns} columns, {size / 1e6:.0f} MB, to Parquet",
        cases=cases,
        reference=DUCKDB,
        gigabytes=size / 1e9,
        targets=[
            Target("wall, × DuckDB", ratio(OURS, DUCKDB, "wall_s"), 1.0),
            Target("size, × pyarrow's default", ratio(OURS, PYARROW, "file_bytes"), 0.8),
            Target("records missing", _missing(table.rows), 0),
            Target("peak RSS, MiB", figure(OURS, "rss_bytes", 1 / 2**20), 230),
        ],
    )


def _missing(rows: int) -> Callable[[Medians], float | None]:
    def value(medians: Medians) -> float | None:
        found = medians.get(OURS, "records")
        return None if found is None else rows - found

    return value

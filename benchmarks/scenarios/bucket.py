"""A bucket: one large result fetched and published there, and how much memory that takes.

A whole run of the program, from its list to its journal; both servers are other processes.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.model import Contest, Target, figure
from benchmarks.stage import Stage
from benchmarks.tables import Table

CSV, GZIP, PARQUET = "as CSV", "as csv.gz", "as Parquet"
_FORMATS = {CSV: "csv", GZIP: "csv.gz", PARQUET: "parquet"}


def contests(stage: Stage) -> Sequence[Contest]:
    """A contest for each width."""
    return [_contest(stage, job_id, table) for job_id, table in stage.tables.items()]


def _contest(stage: Stage, job_id: str, table: Table) -> Contest:
    size = table.csv.stat().st_size
    return Contest(
        name=f"bucket-{table.name}",
        title=f"{table.rows:,} rows of {table.columns} columns, {size / 1e6:.0f} MB, to a bucket",
        cases=[stage.to_bucket(name, form, job_id) for name, form in _FORMATS.items()],
        reference=CSV,
        gigabytes=size / 1e9,
        targets=[
            Target("peak RSS as CSV, MiB", figure(CSV, "rss_bytes", 1 / 2**20), 120),
            Target("peak RSS as Parquet, MiB", figure(PARQUET, "rss_bytes", 1 / 2**20), 230),
        ],
    )

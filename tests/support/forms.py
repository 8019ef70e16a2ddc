"""What is in a published file, whatever its form."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pyarrow.parquet as pq


def rows_of(path: Path) -> list[list[str]]:
    """Return the records of a published table with its header, a missing value as no text."""
    if path.suffix != ".parquet":
        return rows(plain(path))
    table = pq.read_table(path)
    columns = [[value or "" for value in column.to_pylist()] for column in table.columns]
    return [table.column_names, *(list(row) for row in zip(*columns, strict=True))]


def rows(content: bytes) -> list[list[str]]:
    """Return the records of a CSV with its header; an empty line is one empty cell."""
    text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline="")
    return [record or [""] for record in csv.reader(text)]


def plain(path: Path) -> bytes:
    """Return the content of a published file, without its gzip wrapping if it has one."""
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def holds(path: Path, content: bytes) -> bool:
    """Return whether a published file holds what was sent: each byte, or each cell of a table."""
    return rows_of(path) == rows(content) if path.suffix == ".parquet" else plain(path) == content

"""What is in a published file, whatever its form."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path


def rows_of(path: Path) -> list[list[str]]:
    """Return the records of a published table with its header, a missing value as no text."""
    return list(csv.reader(io.StringIO(plain(path).decode(), newline="")))


def plain(path: Path) -> bytes:
    """Return the content of a published file, without its gzip wrapping if it has one."""
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content

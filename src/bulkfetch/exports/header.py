"""The header of a part: the names of its columns."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

from bulkfetch.disk import disk_errors

# No CRM has so many columns: what is longer is no header, and memory stays flat.
HEADER_BYTES = 1 << 20


def read_header(part: Path) -> tuple[str, ...]:
    """Return the names of the columns of a CSV file in any of its forms, none if it is empty.

    Quotes are heeded: a name may hold commas and line ends. A byte order mark is no part of a name.
    Bytes that are not UTF-8 are replaced. Raises NotWritable if the file cannot be read.
    """
    with disk_errors(part):
        if part.suffix == ".parquet":
            from bulkfetch.archive.parquet import read_names  # late: it needs an extra

            return read_names(part)
        if part.suffix == ".gz":
            with gzip.open(part) as file:
                return header_of(file.read(HEADER_BYTES))
        with part.open("rb") as file:
            return header_of(file.read(HEADER_BYTES))


def header_of(data: bytes) -> tuple[str, ...]:
    """Return the names in the first record of a CSV's first bytes, none if none can be read."""
    record = _first_record(data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace"))
    try:
        return tuple(next(csv.reader([record]), ()))
    except csv.Error:  # a line end of its own kind outside of quotes, or a cell of 128 KiB
        return ()


def _first_record(text: str) -> str:
    """Return the text up to the first line end that is not within quotes."""
    quotes = start = 0
    while (end := text.find("\n", start)) >= 0:
        quotes += text.count('"', start, end)
        if quotes % 2 == 0:
            return text[:end].removesuffix("\r")
        start = end + 1
    return text.removesuffix("\r")

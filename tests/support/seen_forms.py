"""The forms of an archive's file beside the csv module, the program gzip, and others' readers."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

from tests.support.forms import plain, rows, rows_of

from bulkfetch.archive import (
    ArchivedFile,
    Extracted,
    FileDraft,
    counter_of,
    suffixes_of,
    write_form,
)
from bulkfetch.archive.parquet import read_names
from bulkfetch.errors import NotConvertible
from bulkfetch.models import Format, Forms

Records = list[list[str]]


def see_forms(file: ArchivedFile, content: bytes, folder: Path) -> bool:
    """See that every form of a file holds it whole; return whether it is a table.

    One that is none (most of other people's archives hold no CSV) has no Parquet form, and its
    records are counted as by the csv module where there are no quotes in it.
    """
    with TemporaryDirectory(dir=folder) as place, _cells_of_any_length():
        made, told = _written(file, Path(place) / "table")
        assert plain(made[".csv"]) == plain(made[".csv.gz"]) == content
        is_table = ".parquet" in made
        if is_table or b'"' not in content:
            assert {each.records for each in told} == {_count(content)}
        if is_table:
            records = rows(content)
            assert [list(read_names(made[".parquet"])), *rows_of(made[".parquet"])[1:]] == records
            for read in (by_gzip, by_duckdb, by_polars, by_pandas):
                assert read(made[".csv.gz"]) == records[1:], read.__name__
    return is_table


def _written(file: ArchivedFile, stem: Path) -> tuple[dict[str, Path], list[Extracted]]:
    """Write all forms that a file has; return where each is, and what was told of them."""
    made, told = {}, []
    for suffix in suffixes_of(".csv", get_args(Format)):
        path = Path(f"{stem}{suffix}")
        draft = FileDraft(path)
        try:
            told.append(
                write_form(file, suffix, draft, Forms(), digest=True, counter=counter_of(".csv"))
            )
        except NotConvertible:
            assert suffix == ".parquet"
            draft.drop()
        else:
            draft.close()
            made[suffix] = path
    return made, told


def by_gzip(path: Path) -> Records:
    """Return the records of a csv.gz by the program and the csv module."""
    unpacked = subprocess.run(["gzip", "-dc", str(path)], check=True, capture_output=True)
    return rows(unpacked.stdout)[1:]


def by_duckdb(path: Path) -> Records:
    """Return the records of a csv.gz by DuckDB."""
    how = "all_varchar = true, header = true, delim = ',', quote = '\"', escape = '\"'"
    with _module("duckdb").connect() as database:
        found = database.execute(f"SELECT * FROM read_csv('{path}', {how})").fetchall()
    return [[cell or "" for cell in record] for record in found]


def by_polars(path: Path) -> Records:
    """Return the records of a csv.gz by polars."""
    found = _module("polars").read_csv(path, infer_schema=False).rows()
    return [[cell or "" for cell in record] for record in found]


def by_pandas(path: Path) -> Records:
    """Return the records of a csv.gz by pandas."""
    read = _module("pandas").read_csv
    found: Records = read(
        path, dtype=str, keep_default_na=False, skip_blank_lines=False
    ).values.tolist()
    return found


def _count(content: bytes) -> int:
    text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", "surrogateescape", newline="")
    return max(0, sum(1 for _ in csv.reader(text)) - 1)


def _module(name: str) -> Any:
    """Return one of these large packages, which only some tests want."""
    return import_module(name)


@contextmanager
def _cells_of_any_length() -> Iterator[None]:
    limit = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(limit)

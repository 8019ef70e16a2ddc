"""An archive's table as a Parquet file. The only module, with `arrow_columns`, that needs pyarrow.

Columns are text unless types are given: the same schema for every page and every day, and exact. A
column of which one value is not exactly of its type stays text in that file, whole, and is named in
`kept_text`. Two independent counts show that no record is lost: Arrow's, and that of the quotes and
line ends among the bytes.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from bulkfetch.archive.arrow_columns import ARROW_TYPES, parse, values
from bulkfetch.archive.csv_blocks import CsvBlocks
from bulkfetch.archive.draft import Draft, DraftWriter
from bulkfetch.archive.extract import ArchivedFile, Extracted
from bulkfetch.archive.inflate import Buffer
from bulkfetch.archive.records import CsvRecords
from bulkfetch.errors import NotConvertible
from bulkfetch.models import ColumnType

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# Where a name stands as the file had it, if a column had to be called otherwise.
ORIGINAL_NAME: Final = b"original_name"


def extract_parquet(
    file: ArchivedFile,
    draft: Draft,
    *,
    digest: bool = True,
    types: Mapping[str, ColumnType],
    row_group_bytes: int,
) -> Extracted:
    """Write a CSV to a draft as a Parquet file, compressed with zstd.

    `types` has those columns, by name, that are to be more than text. A row group has some
    `row_group_bytes` of Arrow's: with 200 columns, 32 MiB in place of 64 make the file a quarter
    larger, 128 take a third more memory. `records` is Arrow's count.
    Raises NotConvertible for a file that is no table, or that would not come over whole; and as
    `extract`.
    """
    file.begin(draft, file.member.compressed_bytes)
    writer = DraftWriter(draft, digest=digest)
    try:
        records, kept_text = _convert(file, writer, types, row_group_bytes)
    finally:
        # Arrow keeps it for this thread; the next file may be another one's.
        pa.default_memory_pool().release_unused()
    return Extracted(writer.bytes, writer.sha256, records, kept_text)


def _convert(
    file: ArchivedFile,
    writer: DraftWriter,
    types: Mapping[str, ColumnType],
    row_group_bytes: int,
) -> tuple[int, tuple[str, ...]]:
    """Return the number of records, and which columns stay text. Raises as `extract_parquet`."""
    fitting, kept_text = _fitting(file, types)
    counter = CsvRecords()
    rows = 0
    with closing(file.batches(counter)) as batches:
        blocks = CsvBlocks(batches)
        columns = distinct(blocks.names)
        schema = _schema(columns, blocks.names, fitting)
        with _RowGroups(writer, schema, row_group_bytes) as groups:
            for block in blocks:
                table = parse(block, columns)
                rows += table.num_rows
                groups.add(_typed(table, columns, blocks.names, fitting, schema))
    if rows != counter.count():
        raise NotConvertible(
            "its records cannot be told apart for certain: a quote may not be closed, or stand "
            "within a cell"
        )
    return rows, kept_text


def read_names(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the names of a published file's columns as the CSV had them. Raises OSError."""
    return tuple(
        field.name
        if field.metadata is None or ORIGINAL_NAME not in field.metadata
        else field.metadata[ORIGINAL_NAME].decode()
        for field in pq.read_schema(path)
    )


def distinct(names: Sequence[str]) -> list[str]:
    """Return names for columns, of which no two are the same but for upper and lower case.

    The second `Name` becomes `Name_2`.
    """
    taken: set[str] = set()
    made = []
    given = {name.casefold() for name in names}
    numbers: dict[str, int] = {}  # the last one of a name, so that many of one name cost little
    for name in names:
        new, number = name, numbers.get(name.casefold(), 1)
        while new.casefold() in taken or (number > 1 and new.casefold() in given):
            number += 1
            new = f"{name}_{number}"
        numbers[name.casefold()] = number
        taken.add(new.casefold())
        made.append(new)
    return made


def _fitting(
    file: ArchivedFile, types: Mapping[str, ColumnType]
) -> tuple[dict[str, ColumnType], tuple[str, ...]]:
    """Return those types of which all values in the file are, and the names of the other columns.

    Reads the whole file, since its last record may hold what does not fit.
    """
    if not types:
        return {}, ()
    with closing(file.batches()) as batches:
        blocks = CsvBlocks(batches)
        columns = distinct(blocks.names)
        times = Counter(blocks.names)
        # A name that stands twice is of no field.
        at = {
            name: column
            for name, column in zip(blocks.names, columns, strict=True)
            if times[name] == 1 and name in types
        }
        fitting = {name: types[name] for name in at}
        for block in blocks:
            if not fitting:
                break
            table = parse(block, columns, [at[name] for name in fitting])
            for name in list(fitting):
                if values(table[at[name]], fitting[name]) is None:
                    del fitting[name]
    return fitting, tuple(name for name in at if name not in fitting)


def _schema(
    columns: Sequence[str], names: Sequence[str], fitting: Mapping[str, ColumnType]
) -> pa.Schema:
    return pa.schema(
        pa.field(
            column,
            ARROW_TYPES[fitting[name]] if name in fitting else pa.string(),
            metadata=None if column == name else {ORIGINAL_NAME: name.encode()},
        )
        for column, name in zip(columns, names, strict=True)
    )


def _typed(
    table: pa.Table,
    columns: Sequence[str],
    names: Sequence[str],
    fitting: Mapping[str, ColumnType],
    schema: pa.Schema,
) -> pa.Table:
    arrays = []
    for column, name in zip(columns, names, strict=True):
        made = values(table[column], fitting[name]) if name in fitting else table[column]
        assert made is not None, "all values of the file fit"
        arrays.append(made)
    return pa.table(arrays, schema=schema)


class _RowGroups:
    """Writes tables in row groups of so many bytes: small ones make the file twice as large."""

    def __init__(self, writer: DraftWriter, schema: pa.Schema, group_bytes: int) -> None:
        self._sink = _Sink(writer)
        self._parquet = pq.ParquetWriter(self._sink, schema, compression="zstd")
        self._group_bytes = group_bytes
        self._tables: list[pa.Table] = []
        self._bytes = 0

    def add(self, table: pa.Table) -> None:
        """Take the next records."""
        self._tables.append(table)
        self._bytes += table.nbytes
        if self._bytes >= self._group_bytes:
            self._write()

    def _write(self) -> None:
        table = pa.concat_tables(self._tables)
        self._tables, self._bytes = [], 0
        self._parquet.write_table(table, row_group_size=max(1, table.num_rows))

    def __enter__(self) -> _RowGroups:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write what is left, and the footer; nothing if the file is given up."""
        if kind is not None:
            self._sink.give_up()  # or Arrow would write the footer when it is collected
        elif self._tables:
            self._write()
        self._parquet.close()


class _Sink(io.RawIOBase):
    """A draft as Arrow writes to it: onwards only."""

    def __init__(self, writer: DraftWriter) -> None:
        self._writer = writer
        self._given_up = False

    def give_up(self) -> None:
        """Write nothing from now on."""
        self._given_up = True

    def writable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._writer.bytes

    def write(self, data: ReadableBuffer) -> int:
        """Append these bytes."""
        piece: Buffer = memoryview(data)
        if not self._given_up:
            self._writer.write([piece])
        return len(piece)

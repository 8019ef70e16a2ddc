"""The Parquet form of an archive's table: every cell as the csv module reads it, or none."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import random
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.forms import rows as records_of
from tests.support.forms import rows_of
from tests.support.parquet_files import converted, rows

from bulkfetch.archive.csv_blocks import RECORD_BYTES, CsvBlocks, record_end
from bulkfetch.archive.parquet import distinct
from bulkfetch.errors import NotConvertible

SECRET = "Jane Doe of Munich"


def table(records: list[list[str]], line_end: str = "\n", *, quote_all: bool = False) -> bytes:
    """Return a CSV, whose cells are quoted where they must be, or all."""

    def cell(text: str) -> str:
        quoted = quote_all or any(sign in text for sign in ',"\r\n')
        return '"' + text.replace('"', '""') + '"' if quoted else text

    return "".join(",".join(map(cell, record)) + line_end for record in records).encode()


CELL = st.text(st.sampled_from('ab,"\n\ré0 \ufeff'), max_size=5)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), max_size=6)
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.booleans(),
)
def test_every_cell_is_as_the_csv_module_reads_it(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[list[str]],
    line_end: str,
    quote_all: bool,
    marked: bool,
) -> None:
    """Whatever the cells hold: commas, quotes, line ends; with a mark of UTF-8 and without."""
    width = len(records[0]) if records else 2
    header = [f"C{number}" for number in range(width)]
    data = table([header, *records], line_end, quote_all=quote_all)
    data = b"\xef\xbb\xbf" + data if marked else data
    found, path = converted(data, tmp_path_factory.mktemp("parquet"))
    assert rows_of(path) == records_of(data)
    assert found.records == len(records)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.bytes == path.stat().st_size


@pytest.mark.parametrize("block", [1, 2, 7, 64])
def test_blocks_end_where_records_do(block: int) -> None:
    """However small a block is and wherever the file is cut, it holds whole records."""
    chance = random.Random(3)
    data = table([["A", "B"], *([f"{n}\n{n}", 'say "hi"'] for n in range(40))])
    pieces = []
    at = 0
    while at < len(data):
        size = chance.randint(1, 9)
        pieces.append([data[at : at + size]])
        at += size
    blocks = CsvBlocks(pieces, block)
    made = list(blocks)
    assert blocks.names == ["A", "B"]
    assert b"".join(made) == data.partition(b"\n")[2]
    for each in made:
        assert all(
            len(record) == 2 for record in csv.reader(io.StringIO(each.decode(), newline=""))
        )


def test_the_end_of_the_last_whole_record() -> None:
    """Line ends within quotes are none; None where no record ends."""
    assert record_end(b"a\nb") == 2
    assert record_end(b'a\n"b\n') == 2
    assert record_end(b'"a\nb') is None
    assert record_end(b"ab") is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "00123",
        "+4912345",
        "9223372036854775808",
        "123456789012345678901234567890",
        "1234567890123456.78",
        "1e400",
        "NA",
        "null",
        "#N/A",
        "inf",
        "nan",
        "2024-02-30",
        "9999-12-31T23:59:59-07:00",
        " a ",
        'say "hi"',
        "one\r\ntwo",
        "München",
    ],
)
def test_text_stays_as_it_is(text: str, tmp_path: Path) -> None:
    """Nothing is taken for a number, a date or a null that the file does not call one."""
    _, path = converted(table([["A", "B"], [text, "x"]]), tmp_path)
    assert rows(path) == [{"A": text, "B": "x"}]


def test_an_empty_cell_is_null_and_a_quoted_one_is_not(tmp_path: Path) -> None:
    """What the file tells apart stays apart."""
    _, path = converted(b'A,B\n,""\n', tmp_path)
    assert rows(path) == [{"A": None, "B": ""}]


def test_no_records_leave_the_columns(tmp_path: Path) -> None:
    """A table of no records has its columns, also where the header's line does not end."""
    for data in (b"A,B\n", b"A,B"):
        found, path = converted(data, tmp_path, {"B": "integer"})
        assert found.records == 0
        schema = pq.read_schema(path)
        assert [(field.name, field.type) for field in schema] == [
            ("A", pa.string()),
            ("B", pa.int64()),
        ]
        path.unlink()


def test_columns_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """The second has another name, whatever its case; what it was called stands in its metadata."""
    _, path = converted(b"A,a,A_2,A\n1,2,3,4\n", tmp_path)
    assert rows(path) == [{"A": "1", "a_3": "2", "A_2": "3", "A_4": "4"}]
    assert pq.read_schema(path).field("a_3").metadata[b"original_name"] == b"a"


@given(st.lists(st.sampled_from(["a", "A", "a_2", "A_2", "a_3", "b", ""]), max_size=7))
def test_names_are_distinct(names: list[str]) -> None:
    """No two are the same but for their case; one that was alone is as it was."""
    made = distinct(names)
    assert len({name.casefold() for name in made}) == len(names)
    folded = [name.casefold() for name in names]
    for name, new in zip(names, made, strict=True):
        assert new == name or folded.count(name.casefold()) > 1


@pytest.mark.slow
def test_a_record_of_three_megabytes(tmp_path: Path) -> None:
    """A cell larger than a block comes over."""
    long = "x\n" * 1_500_000
    found, path = converted(table([["A", "B"], ["1", long], ["2", "y"]]), tmp_path)
    assert found.records == 2
    assert rows(path)[0]["B"] == long


def test_six_hundred_columns(tmp_path: Path) -> None:
    """As many as a module may have."""
    header = [f"C{number}" for number in range(600)]
    data = table([header, *([str(n)] * 600 for n in range(200))])
    found, path = converted(data, tmp_path)
    assert found.records == 200
    assert rows_of(path) == records_of(data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"A,B\n1,2\n" + SECRET.encode() + b"\n", "more or fewer cells"),
        (b"A,B\n1,2," + SECRET.encode() + b"\n", "more or fewer cells"),
        (b"A,B\n1,2\n\n3,4\n", "told apart"),
        (b"A,B\n1," + SECRET.encode() + b"\xff\n", "not UTF-8"),
        (b"A,\xff\n1,2\n", "header is not UTF-8"),
        (b'A,B\n1,"' + SECRET.encode() + b"\n2,3\n", "told apart"),
        (b'A,B\n1,5" ' + SECRET.encode() + b"\n2,3\n", "told apart"),
        (b"", "no header"),
        (b"\n1\n", "no header"),
        (SECRET.encode() * 10_000, "name in its header is too long"),
        (b"," * 10_000, "more than 10000 columns"),
    ],
    ids=[
        "fewer cells",
        "more cells",
        "an empty line",
        "a byte that is no UTF-8",
        "no UTF-8 in the header",
        "a quote that is not closed",
        "a quote within a cell",
        "nothing",
        "an empty header",
        "a name without an end",
        "columns without an end",
    ],
)
def test_what_is_no_table_is_refused(data: bytes, said: str, tmp_path: Path) -> None:
    """NOT_CONVERTIBLE: no file, and not a word of a customer's in the message."""
    with pytest.raises(NotConvertible, match=said) as refused:
        converted(data, tmp_path)
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    assert not (tmp_path / "out.parquet").exists()


def test_a_quote_that_swallows_the_file_is_refused() -> None:
    """It is not collected in memory to its end."""
    piece = b"x" * (1 << 20)
    read = 0

    def batches() -> Any:
        nonlocal read
        yield [b'A\n"']
        while True:
            read += 1
            yield [piece]

    blocks = CsvBlocks(batches())
    with pytest.raises(NotConvertible, match="may not be closed"):
        list(blocks)
    assert read << 20 <= RECORD_BYTES + (1 << 20)


@pytest.mark.slow
def test_row_groups_are_of_so_many_bytes(tmp_path: Path) -> None:
    """More than one where the table is larger, and nothing is lost between them."""
    data = table([["A", "B"], *([str(n), "x" * 100] for n in range(50_000))])
    _, path = converted(data, tmp_path, row_group_bytes=1 << 20)
    assert 2 <= pq.read_metadata(path).num_row_groups <= 8
    assert rows_of(path) == records_of(data)


def test_types(tmp_path: Path) -> None:
    """What exactly is of a field's type is a value of it; an empty cell, quoted or not, is null."""
    data = table(
        [
            ["Id", "Vip", "Born", "Seen", "Age", "Sum"],
            ["554023000001000001", "true", "1999-12-31", "2024-05-02T11:17:33+05:30", "-7", "12.5"],
            ["554023000001000002", "false", "0001-01-01", "2024-05-02T05:47:33Z", "0", "-0.001"],
            ["", "", "", "", "", ""],
        ]
    )
    data += b'"","","","","",""\n'
    found, path = converted(
        data,
        tmp_path,
        {"Vip": "boolean", "Born": "date", "Seen": "datetime", "Age": "integer", "Sum": "number"},
    )
    first, second, empty, quoted = rows(path)
    seen = datetime(2024, 5, 2, 5, 47, 33, tzinfo=UTC)
    assert first == {
        "Id": "554023000001000001",
        "Vip": True,
        "Born": date(1999, 12, 31),
        "Seen": seen,
        "Age": -7,
        "Sum": 12.5,
    }
    assert (second["Vip"], second["Born"], second["Seen"]) == (False, date(1, 1, 1), seen)
    assert set(empty.values()) == {None}
    assert set(quoted.values()) == {"", None}
    assert found.kept_text == ()


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("boolean", "True"),
        ("boolean", "1"),
        ("date", "2024-02-30"),
        ("date", "31.12.2024"),
        ("datetime", "2024-05-02T11:17:33"),
        ("datetime", "2024-05-02"),
        ("datetime", "9999-12-31T23:59:59-07:00"),
        ("datetime", "2024-05-02T25:17:33Z"),
        ("integer", "007"),
        ("integer", "+5"),
        ("integer", "1.0"),
        ("integer", "9223372036854775808"),
        ("number", "1234567890123456.78"),
        ("number", "1e5"),
        ("number", "inf"),
        ("number", "1,5"),
        ("number", " 1"),
    ],
)
def test_a_value_that_does_not_fit_keeps_its_column_text(
    type_: Any, value: str, tmp_path: Path
) -> None:
    """In the last record of many: the whole column is text, nothing is null, and it is named."""
    right = {"boolean": "true", "date": "2024-01-01", "datetime": "2024-01-01T00:00:00Z"}
    records = [[right.get(type_, "5"), "5"] for _ in range(2_000)]
    found, path = converted(
        table([["A", "B"], *records, [value, "6"]]), tmp_path, {"A": type_, "B": "integer"}
    )
    assert found.kept_text == ("A",)
    assert found.records == 2_001
    last = rows(path)[-1]
    assert last == {"A": value, "B": 6}


def test_a_name_that_stands_twice_is_of_no_field(tmp_path: Path) -> None:
    """Which of the two the field is cannot be known."""
    found, path = converted(b"A,A\n1,2\n", tmp_path, {"A": "integer"})
    assert rows(path) == [{"A": "1", "A_2": "2"}]
    assert found.kept_text == ()


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from('",a\n\r\ufeff\0'), max_size=12), st.sampled_from(["A\n", "A,B\n"]))
def test_what_is_not_refused_is_as_the_csv_module_reads_it(
    tmp_path_factory: pytest.TempPathFactory, body: str, header: str
) -> None:
    """Quotes and marks anywhere: a file is refused, or each of its cells is right."""
    data = f"{header}{body}".encode()
    with suppress(NotConvertible):
        _, path = converted(data, tmp_path_factory.mktemp("parquet"))
        assert rows_of(path) == records_of(data)


CHILD = """\
import sys
from pathlib import Path
from tests.support.parquet_files import converted
converted(b"Id,Name\\n1,Boyle\\n", Path(sys.argv[1]))
assert "pyarrow" in sys.modules
sys.exit("pandas" in sys.modules)
"""


@pytest.mark.slow
def test_columns_of_text_do_not_import_pandas(tmp_path: Path) -> None:
    """pyarrow imports it for some of its calls, where it is installed: 45 MiB that nobody needs."""
    (tmp_path / "pandas.py").write_text("")
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tmp_path, root, root / "src")))}
    subprocess.run([sys.executable, "-c", CHILD, str(tmp_path)], env=env, check=True)

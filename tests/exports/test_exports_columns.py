"""Columns, their header, and how they change."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkfetch.errors import NotWritable
from bulkfetch.exports.columns import Drift, ExportColumn, Retyped, columns_of, drift, notices
from bulkfetch.exports.header import HEADER_BYTES, header_of, read_header


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"Id,Last_Name,Owner.last_name\n1,Boyle,Doe\n", ("Id", "Last_Name", "Owner.last_name")),
        (b"Id,Last_Name\r\n1,Boyle\r\n", ("Id", "Last_Name")),
        (b"Id,Last_Name", ("Id", "Last_Name")),
        (b"\xef\xbb\xbfId,Z\xc3\xb6\n", ("Id", "Zö")),
        (b'Id,"a, b","c ""d""","e\nf\r\ng"\n1,2,3,4\n', ("Id", "a, b", 'c "d"', "e\nf\r\ng")),
        (b"Id,\xff\n", ("Id", "\ufffd")),
        (b"", ()),
        (b"\n1\n", ()),
        (b"Id,a\rb\n", ()),
        (b'"' + b"x" * 200_000 + b'"\n', ()),
    ],
)
def test_the_header_is_the_first_record(data: bytes, names: tuple[str, ...]) -> None:
    """Quotes, line ends in them, a byte order mark and odd bytes change nothing about it."""
    assert header_of(data) == names


NAMES = st.lists(st.text(alphabet='ab,"\r\n é', min_size=1, max_size=6), min_size=1, max_size=6)


@pytest.mark.slow
@given(NAMES)
def test_any_names_come_back_from_a_header(names: list[str]) -> None:
    """Names written with all quotes are read as they were, whatever they hold."""
    quoted = ",".join('"' + name.replace('"', '""') + '"' for name in names)
    assert header_of(f'{quoted}\n1,"\n"'.encode()) == tuple(names)


def test_a_header_is_read_from_a_file_with_flat_memory(tmp_path: Path) -> None:
    """Of a part, only the beginning is read; one that is not there is an error of the disk."""
    part = tmp_path / "part-00001.csv"
    part.write_bytes(b"Id,Name\n" + b"1,x\n" * HEADER_BYTES)
    assert read_header(part) == ("Id", "Name")
    part.write_bytes(b'"' + b"x" * (2 * HEADER_BYTES))
    assert read_header(part) == ()
    with pytest.raises(NotWritable, match="missing"):
        read_header(tmp_path / "missing.csv")


def test_columns_have_the_types_of_the_metadata() -> None:
    """Exact types are told as such; all else is text, and only the id is never empty."""
    types = {"When": "datetime", "Amount": "currency", "Done": "boolean", "Phone": "phone"}
    header = ("Id", "When", "Amount", "Done", "Phone", "Owner.last_name")
    assert columns_of([header], types) == (
        ExportColumn("Id", "bigint", "text", nullable=False),
        ExportColumn("When", "datetime", "datetime", nullable=True),
        ExportColumn("Amount", "currency", "number", nullable=True),
        ExportColumn("Done", "boolean", "boolean", nullable=True),
        ExportColumn("Phone", "phone", "text", nullable=True),
        ExportColumn("Owner.last_name", None, "text", nullable=True),
    )


def test_columns_of_all_parts_are_told_once() -> None:
    """A column that only a later part has stands behind those of the first."""
    assert [each.name for each in columns_of([("Id", "A"), ("Id", "B", "A")], {})] == [
        "Id",
        "A",
        "B",
    ]


def test_drift_tells_what_came_went_and_changed_its_type() -> None:
    """Order is no change, nor is a type that the metadata did not tell on one side."""
    before = columns_of([("Id", "A", "B", "C", "D")], {"A": "text", "B": "text"})
    now = columns_of([("Id", "C", "B", "A", "E")], {"A": "text", "B": "picklist", "C": "email"})
    assert drift(before, now) == Drift(("E",), ("D",), (Retyped("B", "text", "picklist"),))
    assert drift(before, before) == Drift()
    assert drift(before, now).as_json() == {
        "added": ["E"],
        "gone": ["D"],
        "retyped": [{"name": "B", "before": "text", "now": "picklist"}],
    }


def test_columns_that_changed_or_are_missing_are_said() -> None:
    """Each change is a sentence; a field that was asked for and did not come is one, too."""
    columns = columns_of([("Id", "A", "$converted")], {})
    assert notices(None, columns, Drift()) == []
    assert notices(["id", "A", "$converted"], columns, Drift()) == []
    assert notices(["A", "B", "Owner.last_name"], columns, Drift()) == [
        "Fields that were asked for are not in the files: B, Owner.last_name."
    ]
    assert notices(["A"], (), Drift()) == []
    changed = Drift(("N", "M"), ("G",), (Retyped("T", "text", "picklist"),))
    assert notices(None, columns, changed) == [
        "New columns since the export before: N, M.",
        "Columns that are gone since the export before: G.",
        "Columns of another type since the export before: T.",
    ]

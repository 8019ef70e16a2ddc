"""What the sandbox serves: bodies, archives and records."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkfetch.sandbox import FieldSpec, JobPlan, JobSpec, ModuleSpec, SandboxOptions
from bulkfetch.sandbox.archives import Piece, deflated_zip, stored_zip
from bulkfetch.sandbox.bodies import Body, FileBody, Joined, Part, Patched, Segments
from bulkfetch.sandbox.library import Library

ID = "554023000000568002"


def whole(body: Body) -> bytes:
    return body.read(0, body.length)


def unzipped(body: Body) -> tuple[str, bytes]:
    """Return name and bytes of the only member; its CRC is checked by reading it."""
    with zipfile.ZipFile(io.BytesIO(whole(body))) as archive:
        (name,) = archive.namelist()
        return name, archive.read(name)


@given(st.data())
def test_every_body_reads_like_the_bytes_it_stands_for(data: st.DataObject) -> None:
    """Any read at any offset of any composed body equals the slice of its bytes."""
    parts = data.draw(st.lists(st.binary(max_size=9), max_size=5))
    raw = b"".join(parts)
    body: Body = Segments(parts)
    start, stop = sorted(data.draw(st.tuples(st.integers(0, 50), st.integers(0, 50))))
    body, raw = Part(body, start, stop), raw[start:stop]
    body, raw = Joined(body, Segments([b"tail"])), raw + b"tail"
    at = data.draw(st.integers(0, len(raw) - 1))
    patch = data.draw(st.binary(max_size=len(raw) - at))
    body, raw = Patched(body, at, patch), raw[:at] + patch + raw[at + len(patch) :]
    offset, size = data.draw(st.integers(0, 60)), data.draw(st.integers(0, 60))
    assert body.length == len(raw)
    assert body.read(offset, size) == raw[offset : offset + size]


def test_a_file_is_read_where_asked(tmp_path: Path) -> None:
    """A body on disk has the file's length and bytes."""
    path = tmp_path / "a.zip"
    path.write_bytes(b"0123456789")
    assert FileBody(path).length == 10
    assert FileBody(path).read(8, 5) == b"89"


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_archives_made_of_pieces_are_what_zipfile_makes_of_them(raws: list[bytes]) -> None:
    """Both methods give an archive whose member is the pieces end to end, CRC and all."""
    deflated = deflated_zip("a.csv", [Piece.of(raw) for raw in raws])
    assert unzipped(deflated) == ("a.csv", b"".join(raws))
    assert unzipped(stored_zip("ž.csv", raws)) == ("ž.csv", b"".join(raws))


def test_a_csv_has_the_shape_that_real_exports_have() -> None:
    """Id first and unique, quotes and line breaks inside cells, true/false, ISO times, no ASCII."""
    name, raw = unzipped(Library(SandboxOptions()).make(ID, JobSpec(records=2_000)))
    rows = list(csv.DictReader(io.StringIO(raw.decode(), newline="")))
    assert name == f"{ID}.csv"
    assert len(rows) == 2_000
    assert len(rows[0]) == 20
    assert next(iter(rows[0])) == "Id"
    assert len({row["Id"] for row in rows}) == 2_000
    assert rows[0]["Last_Name"] == f"Job {ID}"
    assert {row["Email_Opt_Out"] for row in rows[1:]} == {"true", "false"}
    assert all(datetime.fromisoformat(row["Created_Time"]).tzinfo for row in rows[1:])
    assert any("\n" in row["Description"] and '"' in row["Description"] for row in rows)
    assert any(not row["Description"] for row in rows)
    assert not raw.isascii()


@pytest.mark.parametrize(("records", "columns"), [(0, 20), (1, 1), (3, 5), (10_001, 2), (7, 45)])
def test_a_csv_has_the_records_and_columns_asked_for(records: int, columns: int) -> None:
    """Any shape: a header and so many rows of so many cells."""
    spec = JobSpec(records=records, columns=columns)
    rows = list(
        csv.reader(io.StringIO(unzipped(Library(SandboxOptions()).make("7", spec))[1].decode()))
    )
    assert len(rows) == records + 1
    assert {len(row) for row in rows} == {columns}


def test_a_calendar_is_folded_and_ends_its_lines_as_the_rfc_says() -> None:
    """ICS: CRLF everywhere, 75 octets a line, UTF-8 unbroken, as many events as asked for."""
    name, raw = unzipped(Library(SandboxOptions()).make(ID, JobSpec(kind="ics", records=300)))
    lines = raw.split(b"\r\n")
    assert name == f"{ID}.ics"
    assert lines[0] == b"BEGIN:VCALENDAR"
    assert lines[-2:] == [b"END:VCALENDAR", b""]
    assert max(map(len, lines)) == 75
    assert b"\n" not in b"".join(lines)
    assert all(line.decode() is not None for line in lines)
    assert lines.count(b"BEGIN:VEVENT") == lines.count(b"END:VEVENT") == 300
    assert any(line.startswith(b" ") for line in lines)


def test_the_same_seed_gives_the_same_bytes_and_every_job_its_own() -> None:
    """Bytes depend on seed, shape and id, and on nothing else."""
    options = SandboxOptions(records=50)
    first = whole(Library(options).make("1", JobSpec()))
    assert whole(Library(options).make("1", JobSpec())) == first
    assert whole(Library(options).make("2", JobSpec())) != first
    assert whole(Library(SandboxOptions(records=50, seed=1)).make("1", JobSpec())) != first


def test_what_was_generated_once_is_taken_from_the_disk(tmp_path: Path) -> None:
    """With cache_dir a second sandbox serves the same bytes out of the first one's pieces."""
    options = SandboxOptions(records=20_001, columns=2, cache_dir=tmp_path)
    first = whole(Library(options).make("1", JobSpec()))
    pieces = sorted(tmp_path.iterdir())
    assert len(pieces) == 2
    stamps = [piece.stat().st_mtime_ns for piece in pieces]
    assert whole(Library(options).make("1", JobSpec())) == first
    assert [piece.stat().st_mtime_ns for piece in sorted(tmp_path.iterdir())] == stamps


@pytest.mark.parametrize("method", ["stored", "deflated"])
def test_a_large_payload_does_not_compress_and_unpacks(method: str) -> None:
    """payload_bytes makes a ZIP of about that size whose member reads back with a right CRC."""
    spec = JobSpec(payload_bytes=5 << 20, payload_method=method)  # type: ignore[arg-type]
    body = Library(SandboxOptions()).make(ID, spec)
    assert abs(body.length - (5 << 20)) < 600_000
    _, raw = unzipped(body)
    assert len(raw) >= body.length * 0.99


def test_a_payload_of_gibibytes_is_described_in_an_instant() -> None:
    """A 6 GiB archive exists as references only: its last bytes are a ZIP64 end of directory."""
    body = Library(SandboxOptions()).make(ID, JobSpec(payload_bytes=6 << 30))
    assert body.length > 6 << 30
    assert body.read(body.length - 22, 22).startswith(b"PK\x05\x06")
    assert b"PK\x06\x06" in body.read(body.length - 200, 200)


def test_literal_archives_are_served_as_they_are(tmp_path: Path) -> None:
    """content and path win over everything that would be generated."""
    path = tmp_path / "a.zip"
    path.write_bytes(b"from a file")
    library = Library(SandboxOptions())
    assert whole(library.make("1", JobSpec(content=b"literal"))) == b"literal"
    assert whole(library.make("1", JobSpec(path=path))) == b"from a file"


def test_options_survive_json() -> None:
    """What goes to another process as JSON comes back equal, bytes and paths included."""
    options = SandboxOptions(
        requests=3,
        jobs={"1": JobSpec(content=b"\x00\xff", path=Path("/tmp/x"), faults=("drip",))},
        modules={
            "Tests__c": ModuleSpec(5, (FieldSpec("A", values=("x",)),), views={"7": {"a": [1]}})
        },
        plans={"Leads": (JobPlan(), JobPlan(state="FAILURE"))},
        epoch=datetime(2026, 9, 30, tzinfo=UTC),
    )
    assert SandboxOptions.from_json(options.to_json()) == options
    with pytest.raises(ValueError, match="requets"):
        SandboxOptions.from_json('{"requets": 3}')

"""The gzip form of an archive's file."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from tests.support.zip_cases import Honest, honest
from tests.support.zips import CSV, STORED, Item, pack
from tests.support.zlib_engine import ZLIB

from bulkfetch import errors
from bulkfetch.archive import (
    ISAL,
    ArchivedFile,
    Extracted,
    ExtractionCancelled,
    ExtractLimits,
    FileDraft,
    InflateEngine,
    counter_of,
    extract_gzip,
    inspect,
    published_size,
    recount,
)
from bulkfetch.archive.gzipped import _TRAILER

LIMITS = ExtractLimits(file_bytes=1 << 40)
HONEST = honest()


def opened(archive: bytes, folder: Path, engine: InflateEngine = ISAL) -> ArchivedFile:
    """Return the file of an archive."""
    path = folder / "in.zip"
    path.write_bytes(archive)
    return ArchivedFile(path, inspect(path, LIMITS), LIMITS, engine=engine)


def written(file: ArchivedFile, folder: Path) -> tuple[Extracted, bytes]:
    """Return what was told of a gzip file, and its content."""
    draft = FileDraft(folder / "out.gz")
    found = extract_gzip(file, draft, counter=counter_of(".csv"))
    draft.close()
    return found, (folder / "out.gz").read_bytes()


@pytest.mark.parametrize("engine", [ISAL, ZLIB], ids=["isal", "zlib"])
@pytest.mark.parametrize("case", HONEST.values(), ids=HONEST)
def test_every_sound_archive(case: Honest, engine: InflateEngine, tmp_path: Path) -> None:
    """What gunzip gives is the file; size and digest are those of the gzip file."""
    file = opened(case.archive, tmp_path, engine)
    found, content = written(file, tmp_path)
    assert gzip.decompress(content) == case.data
    if case.suffix == ".csv" and len(case.data) < 1_000_000:  # one of these is a single cell
        assert found.records == recount([[case.data]])
    assert found.bytes == len(content)
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert published_size(file, ".csv.gz") in (len(content), None)


def test_it_is_the_stream_of_the_archive(tmp_path: Path) -> None:
    """Deflated once by the service, it is not deflated again; the same file is the same bytes."""
    archive = pack(Item(data=CSV * 1000))
    file = opened(archive, tmp_path)
    _, content = written(file, tmp_path)
    member = file.member
    stream = archive[member.start : member.start + member.compressed_bytes]
    assert content[10:-8] == stream
    assert published_size(file, ".csv.gz") == len(content)
    assert (content[4:8], content[3]) == (b"\0\0\0\0", 0)  # no time, no name


def test_a_stored_file_is_deflated(tmp_path: Path) -> None:
    """One that the archive holds as it is becomes smaller; its size is not known before."""
    file = opened(pack(Item(data=CSV * 1000, method=STORED)), tmp_path)
    assert published_size(file, ".csv.gz") is None
    found, content = written(file, tmp_path)
    assert gzip.decompress(content) == CSV * 1000
    assert found.bytes < len(CSV) * 100
    assert found.records == recount([[CSV * 1000]])


@pytest.mark.skipif(shutil.which("gzip") is None, reason="gzip is not installed")
def test_gzip_reads_it(tmp_path: Path) -> None:
    """The program itself finds nothing wrong with it."""
    written(opened(pack(Item()), tmp_path), tmp_path)
    assert subprocess.run(["gzip", "-t", str(tmp_path / "out.gz")], check=False).returncode == 0


def test_tools_for_tables_read_it(tmp_path: Path) -> None:
    """DuckDB and polars find each cell, those with commas, quotes and line ends among them."""
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed here")
    polars = pytest.importorskip("polars", reason="polars is not installed here")
    data = b'Id,Name\n00123,"Doe, ""J"""\n7,"one\ntwo"\n'
    written(opened(pack(Item(data=data)), tmp_path), tmp_path)
    path = (tmp_path / "out.gz").rename(tmp_path / "table.csv.gz")
    cells = [("00123", 'Doe, "J"'), ("7", "one\ntwo")]
    with duckdb.connect() as database:
        query = f"SELECT * FROM read_csv('{path}', all_varchar = true)"
        assert database.execute(query).fetchall() == cells
    assert polars.read_csv(path, infer_schema=False).rows() == cells


def test_sizes_beyond_four_gigabytes(tmp_path: Path) -> None:
    """The trailer has the size modulo 2³², and what does not fit the declared size is refused."""
    file = opened(pack(Item(data=CSV)), tmp_path)
    large = file.member._replace(bytes=2**32 + len(CSV))
    draft = FileDraft(tmp_path / "out.gz")
    with pytest.raises(errors.ZipCorrupt):
        extract_gzip(ArchivedFile(file.archive, large, LIMITS), draft)
    draft.drop()
    assert _TRAILER.pack(1, (2**32 + 7) % 2**32) == struct.pack("<2L", 1, 7)


@pytest.mark.parametrize("what", ["crc", "size"])
def test_a_damage_shows_at_the_end_only(what: str, tmp_path: Path) -> None:
    """A wrong CRC, or a byte too many or too few: an error, and no whole file."""
    data = CSV * 1000
    lies = [{"crc": zlib.crc32(data) ^ 1}] if what == "crc" else [{"size": len(data) + 1}]
    for lie in lies:
        file = opened(pack(Item(data=data, local=lie, central=lie)), tmp_path)
        draft = FileDraft(tmp_path / "out.gz")
        with pytest.raises(errors.ZipCorrupt):
            extract_gzip(file, draft)
        draft.close()
        with pytest.raises(EOFError):
            gzip.decompress((tmp_path / "out.gz").read_bytes())
        draft.drop()


def test_it_can_be_cancelled(tmp_path: Path) -> None:
    """As any extraction, before each batch."""
    answers = iter([False, False, True])
    file = opened(pack(Item(data=bytes(5_000_000))), tmp_path)
    stopping = ArchivedFile(file.archive, file.member, LIMITS, lambda: next(answers))
    draft = FileDraft(tmp_path / "out.gz")
    with pytest.raises(ExtractionCancelled):
        extract_gzip(stopping, draft)
    draft.drop()
    assert not (tmp_path / "out.gz").exists()

"""Extraction's dealings with limits, disks and callers who change their mind."""

from __future__ import annotations

import hashlib
import os
import resource
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.unpacking import unpack
from tests.support.zips import STORED, Item, pack

from bulkfetch import errors
from bulkfetch.archive import (
    ArchivedFile,
    ExtractionCancelled,
    ExtractLimits,
    FileDraft,
    extract,
    inspect,
)
from bulkfetch.archive.extract import WRITE_BYTES

LIMITS = ExtractLimits(file_bytes=1 << 30, reserve_bytes=0)
BIG = os.urandom(3000) * 1000  # too far apart for deflate's window to fold it all away


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """An archive of some 3 MB of noise."""
    return written(tmp_path, pack(Item(data=BIG)))


def written(folder: Path, archive: bytes) -> Path:
    path = folder / "in.zip"
    path.write_bytes(archive)
    return path


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_digest_is_of_the_bytes_on_disk(big: Path, tmp_path: Path) -> None:
    """SHA-256 and size are those of the file as written."""
    found = unpack(big, inspect(big, LIMITS), tmp_path / "out", LIMITS)
    assert found.bytes == len(BIG)
    assert found.sha256 == hashlib.sha256((tmp_path / "out").read_bytes()).hexdigest()


def test_a_digest_that_is_not_wanted_is_not_made(big: Path, tmp_path: Path) -> None:
    """digest=False leaves it None and the bytes as they are."""
    found = unpack(big, inspect(big, LIMITS), tmp_path / "out", LIMITS, digest=False)
    assert found.sha256 is None
    assert (tmp_path / "out").read_bytes() == BIG


def test_nothing_is_written_after_a_cancel(big: Path, tmp_path: Path) -> None:
    """The very write before which the caller said stop is not made any more."""
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3  # once before the file is made, twice before a write

    draft = FileDraft(tmp_path / "out")
    with pytest.raises(ExtractionCancelled):
        extract(ArchivedFile(big, inspect(big, LIMITS), LIMITS, cancelled), draft)
    assert (tmp_path / "out").read_bytes() == BIG[: 2 * WRITE_BYTES]
    draft.drop()
    assert not (tmp_path / "out").exists()


def test_a_stream_of_nothing_still_sees_a_cancel(tmp_path: Path) -> None:
    """Empty deflate blocks make no output for ever so long; the cancel is seen all the same."""
    empty = b"\x00\x00\x00\xff\xff" * 1_000_000 + b"\x03\x00"
    path = written(tmp_path, pack(Item(data=b"", stream=empty)))
    answers = iter([False] * 3 + [True] * 100)
    with pytest.raises(ExtractionCancelled):
        unpack(
            path,
            inspect(path, LIMITS),
            tmp_path / "out",
            LIMITS,
            cancelled=lambda: next(answers),
        )


def test_a_cancel_before_the_start_makes_no_file(big: Path, tmp_path: Path) -> None:
    """A thread that starts late finds the cancel and touches nothing."""
    with pytest.raises(ExtractionCancelled):
        unpack(big, inspect(big, LIMITS), tmp_path / "out", LIMITS, cancelled=lambda: True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
def test_a_target_that_exists_is_left_alone(kind: str, big: Path, tmp_path: Path) -> None:
    """Whatever has the target's name, extraction neither opens nor removes it."""
    target, other = tmp_path / "out", tmp_path / "other"
    if kind != "dangling link":
        other.write_bytes(b"precious")
    if kind == "file":
        target.write_bytes(b"precious")
    else:
        target.symlink_to(other)
    with pytest.raises(errors.NotWritable):
        unpack(big, inspect(big, LIMITS), target, LIMITS)
    assert target.is_symlink() == (kind != "file")
    assert other.exists() == (kind != "dangling link")
    if kind != "dangling link":
        assert target.read_bytes() == b"precious"


def test_an_archive_that_is_a_link_is_not_followed(big: Path, tmp_path: Path) -> None:
    """Staged archives are files of ours: a link in their place was put there by somebody else."""
    (tmp_path / "link.zip").symlink_to(big)
    with pytest.raises(errors.NotWritable):
        inspect(tmp_path / "link.zip", LIMITS)


def test_the_new_file_has_plain_permissions(big: Path, tmp_path: Path) -> None:
    """0666 less the umask, whatever the archive says."""
    before = os.umask(0o027)
    try:
        unpack(big, inspect(big, LIMITS), tmp_path / "out", LIMITS)
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o7777 == 0o640


def test_the_limit_on_file_bytes_is_exact(big: Path, tmp_path: Path) -> None:
    """A file of exactly file_bytes passes, one byte more is refused before anything is written."""
    exact = ExtractLimits(file_bytes=len(BIG), reserve_bytes=0)
    member = inspect(big, exact)
    less = ExtractLimits(file_bytes=len(BIG) - 1, reserve_bytes=0)
    with pytest.raises(errors.ZipTooLarge):
        inspect(big, less)
    with pytest.raises(errors.ZipTooLarge):
        unpack(big, member, tmp_path / "out", less)
    assert not (tmp_path / "out").exists()
    assert unpack(big, member, tmp_path / "out", exact).bytes == len(BIG)


def test_a_file_that_does_not_fit_stops_the_run(big: Path, tmp_path: Path) -> None:
    """An honest file and too little free disk: the disk is at fault, nothing is begun."""
    member = inspect(big, LIMITS)
    with pytest.raises(errors.DiskFull):
        unpack(
            big, member, tmp_path / "out", ExtractLimits(file_bytes=1 << 30, reserve_bytes=1 << 60)
        )
    assert not (tmp_path / "out").exists()


def test_a_bomb_that_does_not_fit_fails_only_its_job(tmp_path: Path) -> None:
    """Compressed beyond what honest tables reach and larger than the disk: the archive's fault."""
    bomb = written(tmp_path, pack(Item(data=bytes(1_000_000))))
    member = inspect(bomb, LIMITS)
    with pytest.raises(errors.ZipTooLarge):
        unpack(
            bomb, member, tmp_path / "out", ExtractLimits(file_bytes=1 << 30, reserve_bytes=1 << 60)
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_free_disk_is_looked_at_again_while_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else fills the disk meanwhile: extraction stops before the reserve is eaten."""
    data = b"0123456789abcdef" * (5 << 20)  # 80 MiB
    path = written(tmp_path, pack(Item(data=data)))
    looks: list[int] = []
    honest = os.statvfs

    def shrinking(folder: Path) -> os.statvfs_result:
        looks.append(1)
        room = list(honest(folder)[:10])
        room[4] = (1 << 40 if len(looks) == 1 else 1000) // room[1]
        return os.statvfs_result(room)

    monkeypatch.setattr(os, "statvfs", shrinking)
    with pytest.raises(errors.DiskFull):
        unpack(
            path,
            inspect(path, LIMITS),
            tmp_path / "out",
            ExtractLimits(file_bytes=1 << 30, reserve_bytes=1 << 20),
        )
    assert len(looks) == 2
    assert not (tmp_path / "out").exists()


def test_a_file_size_limit_stops_the_run(big: Path, tmp_path: Path) -> None:
    """The process's own limit is met in the middle: NotWritable, and the piece is removed."""
    member = inspect(big, LIMITS)
    with file_size_limit(500_000), pytest.raises(errors.NotWritable):
        unpack(big, member, tmp_path / "out", LIMITS)
    assert not (tmp_path / "out").exists()


def test_a_missing_folder_stops_the_run(big: Path, tmp_path: Path) -> None:
    """The staging folder was taken away: NotWritable, naming it."""
    member = inspect(big, LIMITS)
    with pytest.raises(errors.NotWritable, match="gone"):
        unpack(big, member, tmp_path / "gone" / "out", LIMITS)


def test_an_archive_cut_after_its_inspection_is_refused(tmp_path: Path) -> None:
    """Extraction trusts the inspection for places only, never for the bytes at them."""
    path = written(tmp_path, pack(Item(data=BIG, method=STORED)))
    member = inspect(path, LIMITS)
    os.truncate(path, member.start + 1000)
    with pytest.raises(errors.ZipCorrupt):
        unpack(path, member, tmp_path / "out", LIMITS)
    assert not (tmp_path / "out").exists()


def test_an_excess_is_never_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that goes on after the declared size is cut before the excess is written."""
    sizes: list[int] = []
    writev = os.writev

    def counted(fd: int, pieces: list[bytes]) -> int:
        sizes.append(writev(fd, pieces))
        return sizes[-1]

    due = BIG[: 2 * WRITE_BYTES + 5]
    lie = {"size": len(due), "crc": zlib.crc32(due)}
    path = written(tmp_path, pack(Item(data=due + bytes(500_000), local=lie, central=lie)))
    member = inspect(path, LIMITS)
    monkeypatch.setattr(os, "writev", counted)
    with pytest.raises(errors.ZipCorrupt, match="more bytes than declared"):
        unpack(path, member, tmp_path / "out", LIMITS)
    monkeypatch.undo()
    assert sum(sizes) == 2 * WRITE_BYTES


def test_short_writes_are_completed(
    big: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write may take less than it was given; the rest follows."""
    write, part = os.write, 50_001
    monkeypatch.setattr(os, "writev", lambda fd, pieces: write(fd, b"".join(pieces)[:part]))
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data[:part])))
    unpack(big, inspect(big, LIMITS), tmp_path / "out", LIMITS)
    monkeypatch.undo()
    assert (tmp_path / "out").read_bytes() == BIG

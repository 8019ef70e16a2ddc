"""Publishing, and what errors of the disk mean."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from bulkfetch import disk, errors


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, errors.DiskFull),
        (errno.EDQUOT, errors.DiskFull),
        (errno.EFBIG, errors.NotWritable),
        (errno.EROFS, errors.NotWritable),
        (errno.EACCES, errors.NotWritable),
        (errno.EPERM, errors.NotWritable),
        (errno.EMFILE, errors.NotWritable),
        (errno.EIO, errors.NotWritable),
        (errno.ENOENT, errors.NotWritable),
    ],
)
def test_errors_of_the_disk_stop_the_run(number: int, expected: type[errors.RunError]) -> None:
    """A full disk or quota is DiskFull, all else NotWritable; the text names cause and file."""
    told = disk.disk_error(OSError(number, os.strerror(number), "exports/1.csv"))
    assert type(told) is expected
    assert os.strerror(number) in told.message
    assert "exports/1.csv" in told.message


def test_an_error_without_a_name_gets_one(tmp_path: Path) -> None:
    """os.write knows only a descriptor; the message names the file all the same."""
    with pytest.raises(errors.DiskFull, match="wanted"), disk.disk_errors(tmp_path / "wanted"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_publishing_moves_the_file(tmp_path: Path) -> None:
    """The staged file gets its final name and is gone from the old one."""
    staged, final = tmp_path / "staged", tmp_path / "final.csv"
    staged.write_bytes(b"new")
    disk.publish(staged, final, replace=False)
    assert final.read_bytes() == b"new"
    assert not staged.exists()


def test_publishing_replaces_a_regular_file(tmp_path: Path) -> None:
    """A result fetched again takes the old one's place in one step."""
    staged, final = tmp_path / "staged", tmp_path / "final.csv"
    staged.write_bytes(b"new")
    final.write_bytes(b"old")
    disk.publish(staged, final, replace=True)
    assert final.read_bytes() == b"new"


def test_a_file_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    """Without leave to replace, a file with other bytes stays, one with the same is no conflict."""
    staged, final = tmp_path / "staged", tmp_path / "final.csv"
    staged.write_bytes(b"new")
    final.write_bytes(b"old")
    with pytest.raises(errors.PublishConflict, match="was not published by bulkfetch"):
        disk.publish(staged, final, replace=False)
    assert (staged.read_bytes(), final.read_bytes()) == (b"new", b"old")
    final.write_bytes(b"new")
    disk.publish(staged, final, replace=False)
    assert not staged.exists()


@pytest.mark.parametrize("kind", ["folder", "link", "dangling link", "pipe"])
def test_publishing_leaves_what_is_not_a_file_alone(kind: str, tmp_path: Path) -> None:
    """A folder, a link or a pipe under the final name stays, and so does the staged file."""
    staged, final, other = tmp_path / "staged", tmp_path / "final.csv", tmp_path / "other"
    staged.write_bytes(b"new")
    match kind:
        case "folder":
            final.mkdir()
        case "link":
            other.write_bytes(b"precious")
            final.symlink_to(other)
        case "dangling link":
            final.symlink_to(other)
        case _:
            os.mkfifo(final)
    mode = final.lstat().st_mode
    with pytest.raises(errors.PublishConflict):
        disk.publish(staged, final, replace=True)
    assert final.lstat().st_mode == mode
    assert staged.read_bytes() == b"new"
    if kind == "link":
        assert other.read_bytes() == b"precious"


def test_a_staged_link_is_not_published(tmp_path: Path) -> None:
    """A link in the staged file's place is not followed and not renamed."""
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "staged").symlink_to(tmp_path / "secret")
    with pytest.raises(errors.NotWritable):
        disk.publish(tmp_path / "staged", tmp_path / "final.csv", replace=False)
    assert not (tmp_path / "final.csv").exists()


def test_the_bytes_are_on_the_device_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order is: fsync of the file, rename, fsync of the folder."""
    steps: list[str] = []
    fsync, rename = os.fsync, os.rename

    def seen_fsync(fd: int) -> None:
        steps.append("fsync " + Path(os.readlink(f"/proc/self/fd/{fd}")).name)
        fsync(fd)

    def seen_rename(old: Path, new: Path) -> None:
        steps.append(f"rename {old.name} {new.name}")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "rename", seen_rename)
    (tmp_path / "staged").write_bytes(b"new")
    disk.publish(tmp_path / "staged", tmp_path / "final.csv", replace=False)
    assert steps == ["fsync staged", "rename staged final.csv", f"fsync {tmp_path.name}"]

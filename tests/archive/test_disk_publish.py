"""Publishing, and what errors of the disk mean."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bulkfetch import disk, errors
from bulkfetch.destination import FolderDestination
from bulkfetch.destination.folder import FolderGroup


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
def test_errors_of_the_disk_stop_the_run(
    number: int, expected: type[errors.RunError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk or quota is DiskFull, all else NotWritable; the text names cause and file."""
    monkeypatch.chdir(tmp_path)  # where there is no such folder: one that is there may be named
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
    disk.rename_into_place(staged, final, replace=False)
    assert final.read_bytes() == b"new"
    assert not staged.exists()


def test_publishing_replaces_a_regular_file(tmp_path: Path) -> None:
    """A result fetched again takes the old one's place in one step."""
    staged, final = tmp_path / "staged", tmp_path / "final.csv"
    staged.write_bytes(b"new")
    final.write_bytes(b"old")
    disk.rename_into_place(staged, final, replace=True)
    assert final.read_bytes() == b"new"


def test_a_file_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    """Without leave to replace, a file with other bytes stays, one with the same is no conflict."""
    staged, final = tmp_path / "staged", tmp_path / "final.csv"
    staged.write_bytes(b"new")
    final.write_bytes(b"old")
    with pytest.raises(errors.PublishConflict, match="was not published by bulkfetch"):
        disk.rename_into_place(staged, final, replace=False)
    assert (staged.read_bytes(), final.read_bytes()) == (b"new", b"old")
    final.write_bytes(b"new")
    disk.rename_into_place(staged, final, replace=False)
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
        disk.rename_into_place(staged, final, replace=True)
    assert final.lstat().st_mode == mode
    assert staged.read_bytes() == b"new"
    if kind == "link":
        assert other.read_bytes() == b"precious"


STAGED = "key.csv.out"


@contextmanager
def staged(folder: Path) -> Iterator[FolderGroup]:
    """Give a group of one file, which is whole and not published as `final.csv` yet."""
    with FolderDestination(folder, folder, "", 0).group("key", "final") as group:
        draft = group.draft(".csv", lambda size: False)
        draft.begin(3)
        draft.write([b"new"])
        yield group


def test_a_staged_link_is_not_published(tmp_path: Path) -> None:
    """A link in the staged file's place is not followed and not renamed."""
    (tmp_path / "secret").write_bytes(b"secret")
    with staged(tmp_path) as group:
        (tmp_path / STAGED).unlink()
        (tmp_path / STAGED).symlink_to(tmp_path / "secret")
        with pytest.raises(errors.NotWritable):
            group.publish()
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

    def seen_rename(old: str, new: str) -> None:
        steps.append(f"rename {Path(old).name} {Path(new).name}")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "rename", seen_rename)
    with staged(tmp_path) as group:
        group.publish()
    assert steps == [f"fsync {STAGED}", f"rename {STAGED} final.csv", f"fsync {tmp_path.name}"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_folder_is_named_where_a_file_cannot_be_made(number: int, tmp_path: Path) -> None:
    """Of a file that is not there nobody has heard; of one that is there, it is named."""
    text = os.strerror(number)
    missing = OSError(number, text, os.fspath(tmp_path / "default.6.out"))
    told = disk.disk_error(missing)
    assert (told.message, told.path) == (f"{text}: {tmp_path}", str(tmp_path))
    (tmp_path / "lock").touch()
    told = disk.disk_error(OSError(number, text, os.fspath(tmp_path / "lock")))
    assert told.message == f"{text}: {tmp_path / 'lock'}"


def test_an_error_can_be_told_by_another_name(tmp_path: Path) -> None:
    """The path is exchanged in the message, in its text and in `path`."""
    told = disk.disk_error(OSError(errno.ENOSPC, "No room", os.fspath(tmp_path / "1.out")))
    assert told.renamed("out/1.out").message == str(told) == "No room: out/1.out"
    assert told.path == "out/1.out"
    plain = errors.DiskFull("no room")
    assert plain.renamed("elsewhere").message == "no room"


NO_SYNC = ["EINVAL", "ENOTSUP", "EACCES", "EPERM", "ENOSYS", "EBADF", "EROFS", "EISDIR", "ENOTTY"]


def failing(monkeypatch: pytest.MonkeyPatch, number: int, *, folders: bool) -> None:
    """Have the sync of every folder, or of every file, fail."""
    fsync = os.fsync

    def failing_fsync(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode) is folders:
            raise OSError(number, os.strerror(number))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", failing_fsync)


@pytest.mark.parametrize("name", NO_SYNC)
def test_a_folder_that_cannot_be_synced_is_let_off(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Publishing goes through where only the folder's fsync is not to be had."""
    failing(monkeypatch, getattr(errno, name), folders=True)
    with staged(tmp_path) as group:
        group.publish()
    assert (tmp_path / "final.csv").read_bytes() == b"new"


@pytest.mark.parametrize("name", ["EACCES", "EINVAL", "ENOTSUP"])
def test_a_folder_that_cannot_be_opened_to_sync_is_let_off(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder may be written without being readable."""
    number, real = getattr(errno, name), os.open

    def for_files_only(path: str | Path, flags: int, *rest: int) -> int:
        if flags & os.O_DIRECTORY:
            raise OSError(number, os.strerror(number), os.fspath(path))
        return real(path, flags, *rest)

    monkeypatch.setattr(os, "open", for_files_only)
    disk.fsync_dir(tmp_path)


@pytest.mark.parametrize(
    ("name", "told"),
    [("EIO", errors.NotWritable), ("ENOSPC", errors.DiskFull), ("EDQUOT", errors.DiskFull)],
)
def test_a_device_that_fails_to_sync_a_folder_is_an_error(
    name: str, told: type[errors.RunError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fsync says of the device itself is not let off."""
    failing(monkeypatch, getattr(errno, name), folders=True)
    with pytest.raises(told):
        disk.fsync_dir(tmp_path)


@pytest.mark.parametrize("name", [*NO_SYNC, "EIO"])
def test_a_file_that_cannot_be_synced_is_an_error(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only folders are let off: what is not on the device is not published."""
    failing(monkeypatch, getattr(errno, name), folders=False)
    with staged(tmp_path) as group, pytest.raises(errors.NotWritable):
        group.publish()
    assert not (tmp_path / "final.csv").exists()


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    """Only what cannot be synced is let off, not what is not there."""
    with pytest.raises(errors.NotWritable, match="gone"):
        disk.fsync_dir(tmp_path / "gone")
    (tmp_path / "file").touch()
    with pytest.raises(errors.NotWritable, match="file"):
        disk.fsync_dir(tmp_path / "file")


def room_of(monkeypatch: pytest.MonkeyPatch, **fields: int) -> None:
    """Have statvfs say these."""
    names = ("bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail", "flag")
    told = {"bsize": 4096, "frsize": 4096, "blocks": 1000, "bavail": 10, **fields}
    room = os.statvfs_result([*(told.get(name, 0) for name in names), 255])
    monkeypatch.setattr(os, "statvfs", lambda _: room)


@pytest.mark.parametrize(
    ("fields", "free"),
    [
        ({}, 40_960),
        ({"frsize": 512}, 5_120),
        ({"frsize": 0}, 40_960),
        ({"bavail": 0}, 0),
        ({"blocks": 0, "bavail": 0}, None),
        ({"blocks": 0}, None),
        ({"frsize": 0, "bsize": 0}, None),
        ({"bavail": (1 << 64) - 5}, None),
    ],
)
def test_what_is_free_is_believed_where_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, int], free: int | None
) -> None:
    """0 of some is full; 0 of 0, blocks of no size and less than nothing are not known."""
    room_of(monkeypatch, **fields)
    assert disk.free_bytes(tmp_path) == free


def test_a_file_system_without_room_for_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file left of many is full; none of none is a file system that does not count them."""
    for fields, full in (
        ({"files": 100, "favail": 0}, True),
        ({"files": 100, "favail": 1}, False),
        ({"files": 0, "favail": 0}, False),
        ({"files": 100, "favail": 0, "blocks": 0}, False),
    ):
        room_of(monkeypatch, **fields)
        assert disk.has_no_files_left(tmp_path) is full


def test_room_is_required_beside_what_is_kept_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the byte; the message has all three numbers and the setting, without one there is none."""
    room_of(monkeypatch, frsize=1, blocks=10_000, bavail=1_000)
    disk.require_room(tmp_path, 900, "unpacked", 100)
    with pytest.raises(errors.DiskFull) as caught:
        disk.require_room(tmp_path, 901, "unpacked", 100)
    assert caught.value.message == (
        f"901 bytes are to be unpacked in {tmp_path}, 1000 are free, of which 100 are kept free "
        "(limits.free_bytes)"
    )
    assert "free_bytes in [limits]" in caught.value.hint
    with pytest.raises(errors.DiskFull) as caught:
        disk.require_room(tmp_path, 1_001, "unpacked", 0)
    assert caught.value.message == f"1001 bytes are to be unpacked in {tmp_path}, 1000 are free"
    assert "free_bytes" not in caught.value.hint
    room_of(monkeypatch, blocks=0)
    disk.require_room(tmp_path, 1 << 60, "unpacked", 1 << 60)

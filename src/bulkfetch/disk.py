"""The output disk: durable files, atomic renames, and errors that stop the run.

Every package that writes converts its OSErrors here, once, with `disk_error`.
"""

from __future__ import annotations

import errno
import filecmp
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bulkfetch.errors import DiskFull, NotWritable, PublishConflict, RunError

StrPath = str | os.PathLike[str]

# An exceeded quota is like a full disk: permanent until somebody frees space.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# For a file that does not exist, these errors are about its folder.
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FAILING_HINT = "The disk or its connection is failing: check the system's log."
# Errors of file systems that cannot open or sync a folder: SMB, 9P, FUSE without fsyncdir, a folder
# that may be written but not read. Errors of the device are not among them.
_NOT_FOR_FOLDERS = frozenset(
    {
        errno.EINVAL,
        errno.ENOTSUP,
        errno.EOPNOTSUPP,
        errno.ENOSYS,
        errno.ENOTTY,
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.EBADF,
        errno.EISDIR,
    }
)


def disk_error(error: OSError) -> RunError:
    """Return the RunError for a failed call on a local file.

    DiskFull for no space or quota; NotWritable for everything else (permissions, a read-only file
    system, the process's file-size or descriptor limit, a failing device). All are permanent until
    somebody acts, so a retry would only waste requests. If a file cannot be created, its folder is
    named.
    """
    reason = error.strerror or str(error) or type(error).__name__
    where = error.filename
    path = os.fsdecode(where) if isinstance(where, str | bytes) else None
    if path is not None and error.errno in _FORBIDDEN and not os.path.lexists(path):
        folder = os.path.dirname(path)
        path = folder if os.path.isdir(folder) else path
    kind = DiskFull if error.errno in _FULL else NotWritable
    hint = _FAILING_HINT if error.errno == errno.EIO else None
    told = kind(reason if path is None else f"{reason}: {path}", hint=hint)
    told.path = path
    return told


def free_bytes(folder: StrPath) -> int | None:
    """Return how many bytes this user may still write below a folder, None if that is unknown.

    File systems that do not know report nonsense instead of an error: most of FUSE 0 of 0, others
    more free space than there is. The caller then continues until the disk is full.
    """
    try:
        room = os.statvfs(folder)
    except OSError:
        return None
    unit = room.f_frsize or room.f_bsize
    if not unit or not room.f_blocks or room.f_bavail > room.f_blocks:
        return None
    return room.f_bavail * unit


def file_size(path: StrPath) -> int | None:
    """Return a regular file's size in bytes, None where there is none or it cannot be seen."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def mode_of(path: StrPath) -> int | None:
    """Return the `st_mode` of what has a path, links not followed; None for nothing.

    Raises OSError.
    """
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def has_no_files_left(folder: StrPath) -> bool:
    """Return whether the file system below a folder says that it can hold no more files."""
    try:
        room = os.statvfs(folder)
    except OSError:
        return False
    return bool(room.f_blocks) and room.f_files > 0 == room.f_favail


def disk_full(problem: str, reserve: int) -> DiskFull:
    """Return the error for a disk without enough free space beside the `reserve` in bytes."""
    if not reserve:
        return DiskFull(problem)
    return DiskFull(
        f"{problem}, of which {reserve} are kept free (limits.free_bytes)",
        hint="Free some space, or lower free_bytes in [limits]: complete results are not requested "
        "again.",
    )


def require_room(folder: StrPath, size: int, done: str, reserve: int) -> None:
    """Raise DiskFull if `size` bytes, to be `done`, do not fit below a folder.

    `reserve` bytes stay free. If the free space is unknown, everything is assumed to fit.
    """
    free = free_bytes(folder)
    if free is not None and size + reserve > free:
        where = os.fspath(folder)
        raise disk_full(f"{size} bytes are to be {done} in {where}, {free} are free", reserve)


@contextmanager
def disk_errors(path: StrPath) -> Iterator[None]:
    """Convert each OSError of the block to its RunError, with `path` if the error names no file."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise disk_error(error) from error


def fsync_file(path: StrPath) -> None:
    """Sync a file's bytes to the device. Raises DiskFull, NotWritable."""
    with disk_errors(path):
        _fsync(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)


def remove(*paths: StrPath) -> None:
    """Remove files, those that are there. Raises OSError."""
    for path in paths:
        with suppress(FileNotFoundError):
            os.unlink(path)


def write_file(path: Path, data: bytes) -> None:
    """Replace a file's content with these bytes, on the device before returning.

    Raises DiskFull, NotWritable: the file then contains part of them.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with disk_errors(path), open(os.open(path, flags, 0o666), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def fsync_dir(path: StrPath) -> None:
    """Sync a folder's entries to the device, if the file system can.

    Otherwise the file system's own order of writes must do: only a power failure makes a
    difference. Raises DiskFull, NotWritable.
    """
    with disk_errors(path):
        try:
            _fsync(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno not in _NOT_FOR_FOLDERS:
                raise


def make_folders(folder: Path, below: Path) -> None:
    """Make a folder and those between it and `below`, which is there; on the device on return.

    Those that are there already are synced too: a run may have been killed before it did.
    Raises DiskFull, NotWritable.
    """
    with disk_errors(folder):
        for part in (*reversed(folder.relative_to(below).parents[:-1]), folder.relative_to(below)):
            (below / part).mkdir(exist_ok=True)
            fsync_dir((below / part).parent)


def rename_into_place(staged: StrPath, final: StrPath, *, replace: bool) -> None:
    """Give a complete staged file its final name, on the same file system, in one step.

    A regular file under that name is replaced only with `replace`, or if it contains the same
    bytes. The caller syncs the file before, so that no name is ever without its bytes, and the
    folder after. Raises PublishConflict, DiskFull, NotWritable; the staged file then still exists.
    """
    require_free(staged, final, replace=replace)
    with disk_errors(final):
        try:
            # rename() never follows a link under the new name: the check above protects a link
            # that the user put there.
            os.rename(staged, final)
        except IsADirectoryError as foreign:
            raise _conflict(final, PublishConflict(f"{os.fspath(final)} is a folder")) from foreign
        except OSError as error:
            if error.errno in _FORBIDDEN:
                error.filename = _unwritable(os.path.dirname(final), os.path.dirname(staged))
            raise


def require_free(staged: StrPath, final: StrPath, *, replace: bool) -> None:
    """Raise PublishConflict if what is under a final name must not give way to a staged file.

    Raises NotWritable where that cannot be seen.
    """
    with disk_errors(final):
        found = mode_of(final)
        if found is not None and not stat.S_ISREG(found):
            raise _conflict(final, PublishConflict(f"{os.fspath(final)} is not a regular file"))
        # With the same bytes nothing is lost: perhaps a run was killed before it recorded the file.
        if found is not None and not replace and not filecmp.cmp(staged, final, shallow=False):
            raise _conflict(final, PublishConflict.of_foreign(os.fspath(final)))


def _conflict(final: StrPath, error: PublishConflict) -> PublishConflict:
    error.path = os.fspath(final)
    return error


def _unwritable(*folders: str) -> str:
    """Return the folder that forbids a rename between them, the first if none seems to."""
    return next((each for each in folders if not os.access(each, os.W_OK | os.X_OK)), folders[0])


def _fsync(path: StrPath, flags: int) -> None:
    fd = os.open(path, flags)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

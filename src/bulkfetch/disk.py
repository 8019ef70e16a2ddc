"""What the output disk owes us: durable files, atomic names, errors that stop the run.

Every room that writes converts its OSErrors here, once, with `disk_error`.
"""

from __future__ import annotations

import errno
import filecmp
import os
import stat
from pathlib import Path
from types import TracebackType

from bulkfetch.errors import DiskFull, NotWritable, PublishConflict, RunError

# A user's quota is a full disk to that user: permanent until somebody makes room.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# Of these a file that is not there is not to blame, but the folder that it was to be made in.
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FAILING_HINT = "The disk or its connection is failing: check the system's log; then run again."
# What file systems answer that cannot open or sync a folder: SMB, 9P, FUSE without an fsyncdir, a
# folder that may be written and not read. The device's own errors are not among them.
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
    """Say what a failed call on a local file means for the run.

    DiskFull for no space or no quota; NotWritable for everything else (permissions, a read-only
    file system, the process's file-size or descriptor limit, a failing device): all of these are
    permanent until somebody acts, so a retry would only waste requests. Where a file may not be
    made its folder is named.
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


def free_bytes(folder: Path) -> int | None:
    """Return how many bytes this user may still write below a folder, None where nobody knows.

    A file system that cannot say it gives no error but nonsense: most of FUSE 0 of 0, others more
    free than there is. Whoever goes on then meets the end of the disk when it comes.
    """
    try:
        room = os.statvfs(folder)
    except OSError:
        return None
    unit = room.f_frsize or room.f_bsize
    if not unit or not room.f_blocks or room.f_bavail > room.f_blocks:
        return None
    return room.f_bavail * unit


def has_no_files_left(folder: Path) -> bool:
    """Return whether the file system below a folder says that it can hold no more files."""
    try:
        room = os.statvfs(folder)
    except OSError:
        return False
    return bool(room.f_blocks) and room.f_files > 0 == room.f_favail


def disk_full(problem: str, reserve: int) -> DiskFull:
    """Return the error for a disk that has less free than what is due beside `reserve` bytes."""
    if not reserve:
        return DiskFull(problem)
    return DiskFull(
        f"{problem}, of which {reserve} are kept free (limits.free_bytes)",
        hint="Free some space, or lower free_bytes in [limits]; then run the same command again: "
        "complete results are not requested again.",
    )


def require_room(folder: Path, size: int, done: str, reserve: int) -> None:
    """Raise DiskFull where `size` bytes, to be `done`, do not fit below a folder.

    `reserve` bytes are left free. Where nobody knows what is free, everything is taken to fit.
    """
    free = free_bytes(folder)
    if free is not None and size + reserve > free:
        raise disk_full(f"{size} bytes are to be {done}, {free} are free", reserve)


class disk_errors:
    """Turn each OSError of the body into its RunError, naming `path` where the call named none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError):
            if error.filename is None:
                error.filename = os.fspath(self._path)
            raise disk_error(error) from error


def fsync_file(path: Path) -> None:
    """Have the file's bytes on the device before returning. Raises DiskFull, NotWritable."""
    with disk_errors(path):
        _fsync(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)


def write_file(path: Path, data: bytes) -> None:
    """Make a file hold these bytes, on the device before returning; what it held is gone.

    Raises DiskFull, NotWritable: it then holds part of them.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with disk_errors(path), open(os.open(path, flags, 0o666), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def fsync_dir(path: Path) -> None:
    """Have the folder's names on the device before returning, as far as the file system knows how.

    Where folders cannot be synced, the file system's own order of writes has to do: nothing else
    is lost by it than a power cut may take. Raises DiskFull, NotWritable.
    """
    with disk_errors(path):
        try:
            _fsync(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno not in _NOT_FOR_FOLDERS:
                raise


class Unsynced:
    """Files that are written whole and not yet on the device: all are waited for together.

    A file system writes down in one go what changed of several files; a sync after each of them
    would have it do so for each. To be closed after all.
    """

    def __init__(self) -> None:
        self._files: list[tuple[int, Path]] = []

    def take(self, fd: int, path: Path) -> None:
        """Take over an open descriptor; it is closed here."""
        self._files.append((fd, path))

    def sync(self) -> None:
        """Have all bytes on the device before returning. Raises DiskFull, NotWritable."""
        for fd, path in self._files:
            with disk_errors(path):
                os.fsync(fd)

    def close(self) -> None:
        """Close all, synced or not; a second call does nothing."""
        while self._files:
            os.close(self._files.pop()[0])


def publish(staged: Path, final: Path, *, replace: bool) -> None:
    """Give a complete staged file its final name, durably and in one step.

    The order is the promise: the bytes are on the device before the name exists, and the name is
    on the device before this returns. A regular file under the final name is replaced where
    `replace` says so or it holds the very same bytes; anything else there is left alone. Both
    paths must be on one file system.

    Raises PublishConflict, DiskFull, NotWritable; the staged file then still stands, except where
    only the last step, the folder's fsync, failed.
    """
    fsync_file(staged)
    rename_into_place(staged, final, replace=replace)
    fsync_dir(final.parent)


def rename_into_place(staged: Path, final: Path, *, replace: bool) -> None:
    """Do the middle step of `publish`, for who syncs several files together, before and after.

    Raises PublishConflict, DiskFull, NotWritable; the staged file then still stands.
    """
    with disk_errors(final):
        found = _mode(final)
        if found is not None and not stat.S_ISREG(found):
            raise _conflict(final, "is not a regular file")
        # The same bytes: a run was killed between publishing and recording it, or nothing is lost.
        if found is not None and not replace and not filecmp.cmp(staged, final, shallow=False):
            raise _conflict(
                final,
                "was not published by bulkfetch, or was changed since",
                hint="Move it away, give the job another name, or replace it with --overwrite "
                "(overwrite = true in jobs.toml). The result is kept and not requested again.",
            )
        try:
            # rename() never follows a link under the new name, so the look above is for the
            # user's sake (a link there was put there for a reason), not for safety's.
            os.rename(staged, final)
        except IsADirectoryError as foreign:
            raise _conflict(final, "is a folder") from foreign
        except OSError as error:
            if error.errno in _FORBIDDEN:
                error.filename = os.fspath(_unwritable(final.parent, staged.parent))
            raise


def _conflict(final: Path, what: str, hint: str | None = None) -> PublishConflict:
    error = PublishConflict(f"{final} {what}", hint=hint)
    error.path = os.fspath(final)
    return error


def _unwritable(*folders: Path) -> Path:
    """Give the folder that forbids a rename between them; the first where none looks like it."""
    return next((each for each in folders if not os.access(each, os.W_OK | os.X_OK)), folders[0])


def _mode(path: Path) -> int | None:
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        return None


def _fsync(path: Path, flags: int) -> None:
    fd = os.open(path, flags)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

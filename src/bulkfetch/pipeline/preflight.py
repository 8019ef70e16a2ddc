"""Whether a run can work in an output folder at all: looked at before anything is made or asked.

Nothing here changes a byte, so `check` looks at the same. Paths are as the user gave them, and so
they are told.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from bulkfetch.disk import disk_errors, disk_full, free_bytes
from bulkfetch.errors import DiskFull, NotWritable
from bulkfetch.journal import lock, schema
from bulkfetch.pipeline.layout import STATE_DIR

_IN_FOLDER = os.W_OK | os.X_OK


def require_writable(out: Path) -> None:
    """Raise NotWritable where a run could not make its files in `out`, be it there or not yet."""
    state = out / STATE_DIR
    staging = state / "staging"
    folders = ((out, _IN_FOLDER), (state, _IN_FOLDER), (staging, os.R_OK | _IN_FOLDER))
    # With the journal the files that SQLite has beside it while a run works or after a kill.
    journals = [f"{schema.FILE_NAME}{ending}" for ending in ("", "-wal", "-shm")]
    with disk_errors(out):
        for folder, access in folders:
            if not _is_there(folder):
                _require_to_be_made(folder)
                break
            if not os.access(folder, access):
                raise _forbidden(folder)
        else:
            _require_one_file_system(out, staging)
        for file in (state / name for name in (lock.FILE_NAME, *journals)):
            # One that is not there may be made; a run that just ends takes some of its away.
            if not os.access(file, os.R_OK | os.W_OK) and file.is_file():
                raise _forbidden(file)


def lacking_room(out: Path, reserve: int) -> DiskFull | None:
    """Return why nothing could be unpacked in `out`, be it there or not yet: too little is free.

    `reserve` bytes are not for files. None where there is room, or nobody knows.
    """
    free = free_bytes(_nearest(out))
    if free is None or free > reserve:
        return None
    error = disk_full(f"nothing fits into {out}: {free} bytes are free", reserve)
    error.path = os.fspath(out)
    return error


def _is_there(folder: Path) -> bool:
    """Return whether a folder is there. Raises NotWritable where something else is in its place."""
    try:
        mode = os.stat(folder).st_mode
    except FileNotFoundError:
        if os.path.lexists(folder):
            raise NotWritable(f"{folder} is a link that leads nowhere") from None
        return False
    except NotADirectoryError:
        raise NotWritable(f"{_nearest(folder)} is not a folder") from None
    except PermissionError:
        raise _forbidden(_nearest(folder)) from None
    if not stat.S_ISDIR(mode):
        raise NotWritable(f"{folder} is not a folder")
    return True


def _require_to_be_made(folder: Path) -> None:
    above = _nearest(folder)
    if not above.is_dir():
        raise NotWritable(f"{above} is not a folder: {folder} cannot be made")
    if not os.access(above, _IN_FOLDER):
        error = _forbidden(above)
        raise NotWritable(f"{error.message}: {folder} cannot be made there", hint=error.hint)


def _require_one_file_system(out: Path, staging: Path) -> None:
    """Publishing is a rename, which does not lead from one file system to another."""
    if os.stat(out).st_dev != os.stat(staging).st_dev:
        raise NotWritable(
            f"{staging} and {out} are not on one file system",
            hint=f"Files are published by rename: have {staging} be a plain folder below {out}.",
        )


def _forbidden(path: Path) -> NotWritable:
    """Make the error for what may not be written, with what the system says and whose it is."""
    try:
        read_only = bool(os.statvfs(path).f_flag & os.ST_RDONLY)
        owner = os.stat(path).st_uid
    except OSError:
        read_only, owner = False, os.geteuid()
    reason = os.strerror(errno.EROFS if read_only else errno.EACCES)
    error = NotWritable(f"{reason}: {path}")
    if read_only:
        error.hint = "The file system is mounted read-only; use another folder, or mount it anew."
    elif owner != os.geteuid():
        error.hint = (
            f"It belongs to {_user(owner)}, perhaps from a run of that user; run as that user, "
            "have it be made yours (chown -R), or use another folder."
        )
    return error


def _user(uid: int) -> str:
    import pwd  # late: of little use but here

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _nearest(path: Path) -> Path:
    """Return the path, or the nearest above it that there is."""
    for each in (path, *path.parents):
        if os.path.lexists(each):
            return each
    return Path(path.anchor or ".")

"""One run at a time per output folder: a lock of the operating system, which dies with its process.

flock(2), not a file that is created and deleted: after SIGKILL or a power cut nothing is left to
clean up. The file stays for ever, since deleting it would let two runs lock two files of one name.
Whoever holds the lock writes into it who it is; whoever does not only reads, and never truncates.
Child processes started by exec do not inherit the lock (descriptors close on exec).
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from bulkfetch.disk import disk_errors
from bulkfetch.errors import NotWritable, OutputLocked

FILE_NAME = "lock"

# `holder` takes the lock, shared, for a moment to see whether it is free. A run that starts in that
# very moment must not be turned away: it tries again, so many times, so many seconds apart.
_TRIES = 4
_PAUSE_S = 0.02

# A link is not followed, and a pipe in its place is not waited for.
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

_RECORD_BYTES = 1024  # a record is some 60 bytes; anything else in the file is not read


class Holder(NamedTuple):
    """Who holds an output folder; `since` is ISO 8601 in UTC. None where the record is unread."""

    pid: int | None
    since: str | None

    def __str__(self) -> str:
        who = "another process" if self.pid is None else f"pid {self.pid}"
        return who if self.since is None else f"{who} since {self.since}"


class OutputLock:
    """The right to work in an output folder, held from `take` to `release`."""

    def __init__(self, descriptor: int) -> None:
        """Use `take`."""
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, folder: Path) -> OutputLock:
        """Take the lock of `folder`, which is OUT/.bulkfetch and is made where it is missing.

        Raises OutputLocked, naming the holder, having changed nothing; NotWritable or DiskFull
        where the folder or its file system gives no lock.
        """
        path = folder / FILE_NAME
        with disk_errors(path):
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o666)
            try:
                _require_regular(descriptor, path)
                if not _lock(descriptor, fcntl.LOCK_EX):
                    raise OutputLocked(f"{folder.parent} is held by {_read_holder(descriptor)}")
                _write_holder(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
        return cls(descriptor)

    @classmethod
    async def take_in_loop(cls, folder: Path) -> OutputLock:
        """Take the lock as `take` does, waiting 0.06 s at most. If cancelled: nothing is held."""
        import asyncio  # late: only a run has a loop

        for _ in range(_TRIES - 1):
            with suppress(OutputLocked):
                return cls.take(folder)
            await asyncio.sleep(_PAUSE_S)
        return cls.take(folder)

    @staticmethod
    def holder(folder: Path) -> Holder | None:
        """Return who works in the folder, None where nobody does; creates and changes nothing."""
        path = folder / FILE_NAME
        with disk_errors(path):
            try:
                descriptor = os.open(path, os.O_RDONLY | _FLAGS)
            except FileNotFoundError:
                return None
            try:
                _require_regular(descriptor, path)
                free = _lock(descriptor, fcntl.LOCK_SH)
                return None if free else _read_holder(descriptor)
            finally:
                os.close(descriptor)

    def release(self) -> None:
        """Let the folder go; more calls do no harm."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


def _require_regular(descriptor: int, path: Path) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise NotWritable(f"{path} is not a regular file", hint="Remove it; a run makes it anew.")


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_holder(descriptor: int) -> None:
    since = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    record = json.dumps({"pid": os.getpid(), "since": since}).encode() + b"\n"
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, record, 0)


def _read_holder(descriptor: int) -> Holder:
    try:
        record = json.loads(os.pread(descriptor, _RECORD_BYTES, 0))
        return Holder(pid=int(record["pid"]), since=str(record["since"]))
    except (ValueError, KeyError, TypeError):  # caught before it wrote, or not our writing
        return Holder(pid=None, since=None)

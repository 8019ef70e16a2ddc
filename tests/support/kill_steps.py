"""The steps of a run: everything that changes a file below a folder, counted as it happens.

Each call to a bucket is a step too, also one that only looks.

`install` wraps the calls through which the program reaches the disk; SQLite's own writes are one
step for each commit. The list of steps is what a run did, not what somebody thinks that it does.
To make a folder that is there, or to remove a file that is not, is no step.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import aiofiles.threadpool

# die: SIGKILL right after the step. ENOSPC, EIO: the step is not done, it fails.
Cut = Literal["die", "ENOSPC", "EIO"]

# By the place of the path among the arguments; calls on descriptors are found by /proc.
_ON_PATHS = ("mkdir", "rmdir", "unlink", "remove", "truncate", "chmod")
_ON_TWO_PATHS = ("rename", "replace", "link", "symlink")
_SYNCS = ("fsync", "fdatasync")
_ON_DESCRIPTORS = ("write", "pwrite", "writev", "pwritev", "ftruncate", *_SYNCS)
# What each of these does, in the end: whether the path is there.
_MAKES = {"mkdir": True, "rmdir": False, "unlink": False, "remove": False}


def deaths(steps: list[str]) -> list[int]:
    """Return the numbers, from 1, of the steps after which SIGKILL leaves what none left before.

    A sync changes nothing that outlives the process alone.
    """
    return [number for number, step in enumerate(steps, 1) if not step.startswith(_SYNCS)]


@dataclass
class Steps:
    """Counts steps below `roots`, writes each one's name to `log`, and cuts at step `at`."""

    roots: tuple[str, ...]
    log: int
    at: int = 0
    cut: Cut = "die"

    def __post_init__(self) -> None:
        self._count = 0
        self._lock = threading.Lock()
        self._write = os.write

    def ours(self, path: Any) -> bool:
        """Say whether a path lies below the watched folders."""
        text = os.path.abspath(os.fsdecode(path)) if isinstance(path, str | bytes | Path) else ""
        return any(text == root or text.startswith(f"{root}/") for root in self.roots)

    def do(self, what: str, path: Any, call: Callable[[], Any]) -> Any:
        """Do one step, or what the cut makes of it."""
        with self._lock:
            self._count += 1
            mine = self._count
        name = f"{what} {Path(os.fsdecode(path)).name}"
        self._write(self.log, f"{name}\n".encode())
        if mine != self.at:
            return call()
        if self.cut == "die":
            try:
                return call()
            finally:
                os.kill(os.getpid(), signal.SIGKILL)
        if what == "close":
            return call()  # never fails: what is not yet folded in stays in the log
        if what in ("commit", "connect"):
            full = self.cut == "ENOSPC"
            error = sqlite3.OperationalError(
                "database or disk is full" if full else "disk I/O error"
            )
            error.sqlite_errorcode = sqlite3.SQLITE_FULL if full else sqlite3.SQLITE_IOERR
            raise error
        number = getattr(errno, self.cut)
        raise OSError(number, os.strerror(number), os.fsdecode(path))


def install(steps: Steps) -> None:
    """Wrap this process's ways to the disk; for good, so in a process that is to end."""
    for name in _ON_PATHS:
        _wrap(name, steps, lambda arguments: arguments[0])
    for name in _ON_TWO_PATHS:
        _wrap(name, steps, lambda arguments: arguments[1])
    for name in _ON_DESCRIPTORS:
        _wrap(name, steps, lambda arguments: _path_of(arguments[0]))
    _wrap_open(steps)
    _wrap_files(steps)
    _wrap_sqlite(steps)
    if "AWS_ACCESS_KEY_ID" in os.environ:  # else nothing is published in a bucket
        _wrap_bucket(steps)


def _path_of(descriptor: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}").removesuffix(" (deleted)")
    except OSError:
        return ""


def _wrap(name: str, steps: Steps, path_of: Callable[[tuple[Any, ...]], Any]) -> None:
    real = getattr(os, name)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        path = path_of(arguments)
        if not steps.ours(path) or os.path.lexists(path) is _MAKES.get(name):
            return real(*arguments, **options)
        return steps.do(name, path, lambda: real(*arguments, **options))

    setattr(os, name, wrapped)


def _wrap_open(steps: Steps) -> None:
    real = os.open

    def wrapped(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        def call() -> int:
            return real(path, flags, *rest, **options)

        creates = flags & os.O_CREAT and steps.ours(path)
        return steps.do("create", path, call) if creates else call()

    os.open = wrapped


def _wrap_files(steps: Steps) -> None:
    """Have files opened for writing tell of each write; each goes to the system at once."""
    real = io.open

    class Telling:
        """What both kinds of file do alike; stands before the kind in a class."""

        def write(self: Any, data: Any) -> int:
            kind: Any = super()

            def call() -> int:
                written: int = kind.write(data)
                self.flush()
                return written

            size: int = steps.do("write", self.name, call)
            return size

        def writelines(self, lines: Any) -> None:
            for line in lines:
                self.write(line)

    class Writer(Telling, io.BufferedWriter):
        pass

    class Changer(Telling, io.BufferedRandom):
        def truncate(self, size: int | None = None) -> int:
            cut: int = steps.do("truncate", self.name, lambda: super(Changer, self).truncate(size))
            return cut

    def wrapped(path: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if not steps.ours(path) or not set(mode) & set("wax+"):
            return real(path, mode, *rest, **options)
        raw = steps.do("create", path, lambda: io.FileIO(path, mode.replace("b", "")))
        return Changer(raw) if "+" in mode else Writer(raw)

    builtins.open = io.open = wrapped  # type: ignore[assignment]
    vars(aiofiles.threadpool)["sync_open"] = wrapped


def _wrap_sqlite(steps: Steps) -> None:
    real: Callable[..., sqlite3.Connection] = sqlite3.connect

    class Connection(sqlite3.Connection):
        file = ""

        def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
            def call() -> sqlite3.Cursor:
                return super(Connection, self).execute(sql, *rest)

            word = sql.strip().upper()
            if self.file and word.startswith(("COMMIT", "PRAGMA JOURNAL_MODE =")):
                cursor: sqlite3.Cursor = steps.do("commit", self.file, call)
                return cursor
            return call()

        def close(self) -> None:
            if self.file:
                file, self.file = self.file, ""
                steps.do("close", file, super().close)
            else:
                super().close()

    def wrapped(database: Any, *rest: Any, **options: Any) -> sqlite3.Connection:
        if "mode=ro" in str(database) or not steps.ours(database):
            return real(database, *rest, **options)

        def call() -> sqlite3.Connection:
            return real(database, *rest, factory=Connection, **options)

        made = steps.do("connect", database, call)
        assert isinstance(made, Connection)
        made.file = os.fsdecode(database)
        return made

    sqlite3.connect = wrapped  # type: ignore[assignment]


def _wrap_bucket(steps: Steps) -> None:
    import obstore

    def wrap(name: str) -> None:
        real = getattr(obstore, name)

        def wrapped(store: Any, place: str | None, *rest: Any, **options: Any) -> Any:
            def call() -> Any:
                return real(store, place, *rest, **options)

            return steps.do(f"bucket {name}", place or "", call)

        setattr(obstore, name, wrapped)

    class Writer:
        def __init__(self, place: str, writer: Any) -> None:
            self._place = place
            self._writer = writer
            self.write = writer.write

        def close(self) -> None:
            steps.do("bucket put", self._place, self._writer.close)

        def __exit__(self, *error: Any) -> None:
            self._writer.__exit__(*error)

    for name in ("list", "head", "get", "put"):
        wrap(name)
    real_writer = obstore.open_writer

    def open_writer(store: Any, place: str, **options: Any) -> Any:
        return Writer(place, real_writer(store, place, **options))

    obstore.open_writer = open_writer  # type: ignore[assignment]

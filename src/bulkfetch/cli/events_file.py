"""The file of `--events`, written by a thread of its own.

Events are news: what cannot be written changes no result. The queue is bounded, so that a slow disk
or a pausing reader costs events, which are counted in the file, and never a transfer.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable

from bulkfetch.cli.stdout_writer import write_all
from bulkfetch.errors import ConfigError
from bulkfetch.events import Event
from bulkfetch.observe.event_lines import Data, file_line, json_line
from bulkfetch.observe.event_shapes import FileKind

# Events that wait for a slow file: at some 600 bytes each a dozen MB.
MOST_WAITING = 20_000
# How long the end of a run waits for a reader that pauses.
PATIENCE_S = 5.0
_WRITTEN_AT_ONCE = 500
_FIRST_BYTES = b'{"v": '


class EventsFile:
    """Appends a line for each event to a file. `tell` gets, once, why it no longer can.

    `put` is for one thread, that of the event loop; `tell` is called in it.
    """

    def __init__(self, path: str, tell: Callable[[str], None]) -> None:
        """Open the file. Raises ConfigError where it cannot be written, or is something else."""
        self.error: OSError | None = None
        self._path = path
        self._tell = tell
        self._told = False
        self._descriptor, self._is_torn = _open(path)
        self._started = time.monotonic()
        self._queue: deque[Callable[[], str]] = deque()
        self._lost = 0
        self._closed = False
        self._changed = threading.Condition()
        # A daemon: a reader that pauses does not keep the program from ending.
        self._thread = threading.Thread(target=self._write, name="events", daemon=True)
        self._thread.start()

    def put(self, event: Event) -> None:
        """Queue an event; lose it where too many wait already, or writing has failed."""
        wall_s, elapsed_s = time.time(), time.monotonic() - self._started
        self._add(lambda: json_line(event, wall_s, elapsed_s))

    def put_own(self, kind: FileKind, message: str, data: Data) -> None:
        """Queue a line about the run; time is counted from the first."""
        if kind == "run_started":
            self._started = time.monotonic()
        wall_s, elapsed_s = time.time(), time.monotonic() - self._started
        self._add(lambda: file_line(kind, message, data, wall_s, elapsed_s))

    def close(self) -> None:
        """Wait until all is written, writing has failed, or the reader pauses for too long."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(PATIENCE_S)
        self._check()
        if self._thread.is_alive():
            self._tell_once("is not read: the last events are missing")

    def _add(self, line: Callable[[], str]) -> None:
        self._check()
        if self.error is not None:
            return
        with self._changed:
            if len(self._queue) >= MOST_WAITING:
                self._lost += 1
                return
            if self._lost:
                self._queue.append(self._gap())
            self._queue.append(line)
            self._changed.notify()

    def _gap(self) -> Callable[[], str]:
        lost, self._lost = self._lost, 0
        wall_s, elapsed_s = time.time(), time.monotonic() - self._started
        message = f"{lost} events are missing here: the file could not be written in time"
        return lambda: file_line("events_lost", message, {"events": lost}, wall_s, elapsed_s)

    def _check(self) -> None:
        if (error := self.error) is not None:
            self._tell_once(f"cannot be written ({error.strerror}): the rest is missing")

    def _tell_once(self, why: str) -> None:
        if not self._told:
            self._told = True
            self._tell(f"the events file {self._path} {why}; the run goes on")

    # --- in the thread ---------------------------------------------------------------------------

    def _write(self) -> None:
        text = "\n" if self._is_torn else ""
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._queue or self._closed)
                    if not self._queue:
                        if not self._lost:
                            return
                        self._queue.append(self._gap())
                    count = min(len(self._queue), _WRITTEN_AT_ONCE)
                    lines = [self._queue.popleft() for _ in range(count)]
                text += "".join(line() for line in lines)
                write_all(self._descriptor, text.encode())
                text = ""
        except OSError as error:
            self.error = error
        finally:
            os.close(self._descriptor)


def _open(path: str) -> tuple[int, bool]:
    """Open a file of events to append to, and say whether its last line is torn."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
    try:
        # Not waiting for the reader of a pipe, which may never come.
        descriptor = os.open(path, flags | os.O_NONBLOCK, 0o666)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if getattr(error, "errno", None) == errno.ENXIO:
            reason = "nobody reads this pipe"
        raise ConfigError(f"--events {path}: {reason}", hint=_HINT) from None
    os.set_blocking(descriptor, True)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or not found.st_size:
        return descriptor, False
    try:
        with open(path, "rb") as file:
            begins = file.read(len(_FIRST_BYTES))
            file.seek(-1, os.SEEK_END)
            ends = file.read(1)
    except OSError as error:
        os.close(descriptor)
        raise ConfigError(f"--events {path}: {error.strerror}", hint=_HINT) from None
    if begins != _FIRST_BYTES:
        os.close(descriptor)
        raise ConfigError(f"--events {path}: this file holds something else", hint=_HINT)
    return descriptor, ends != b"\n"


_HINT = "Name a new file, or one of an earlier run: events are added at its end."

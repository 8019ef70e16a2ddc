"""What a run is recorded in beside its results: the file of `--events`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bulkfetch.cli.events_file import EventsFile
    from bulkfetch.events import Event
    from bulkfetch.models import Report


class Recorder:
    """Records one run; without a file it does nothing. For one thread; never blocks it."""

    def __init__(self, events: EventsFile | None = None, command: str = "") -> None:
        self._events = events
        self._command = command
        self._report: Report | None = None
        self._has_begun = False

    def begun(self) -> None:
        """Record that the run begins."""
        self._has_begun = True
        if self._events is not None:
            from importlib.metadata import version

            data: dict[str, int | str] = {
                "version": version("bulkfetch"),
                "command": self._command,
                "pid": os.getpid(),
            }
            self._events.put_own("run_started", f"bulkfetch {self._command}", data)

    def event(self, event: Event) -> None:
        """Record an event."""
        if self._events is not None:
            self._events.put(event)

    def reported(self, report: Report | None) -> None:
        """Note what the run has come to; None: it never started."""
        self._report = report

    def ended(self, exit_status: int) -> None:
        """Record that the run has ended, if it ever began."""
        if self._events is None or not self._has_begun:
            return
        data = {"exit_status": exit_status}
        if (report := self._report) is not None:
            data |= {
                "done": report.done,
                "failed": report.failed,
                "pending": report.pending,
                "skipped": report.skipped,
                "requests": report.requests,
                "zip_bytes": report.zip_bytes,
                "file_bytes": report.file_bytes,
            }
        self._events.put_own("run_ended", f"ended with exit status {exit_status}", data)


@contextmanager
def recording_of(
    events: str | None, command: str, warn: Callable[[str], None]
) -> Iterator[Recorder]:
    """Open what a run of a command is recorded in, and close it at the end.

    `events` is the path of the file, None for none; `warn` gets why it can no longer be written.
    Raises ConfigError.
    """
    if events is None:
        yield Recorder()
        return
    from bulkfetch.cli.events_file import EventsFile

    file = EventsFile(events, warn)
    try:
        yield Recorder(file, command)
    finally:
        file.close()

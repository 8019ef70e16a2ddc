"""What a run is recorded in beside its results: the files of `--events`, `--metrics`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from bulkfetch.extras import require_extra

if TYPE_CHECKING:
    from bulkfetch.cli.events_file import EventsFile
    from bulkfetch.cli.metrics_file import MetricsFile
    from bulkfetch.events import Event
    from bulkfetch.models import Report
    from bulkfetch.pipeline.progress import Progress


class Recorder:
    """Records one run; without files it does nothing. For one thread; never blocks it.

    `report` is what the run has come to, None if it never started.
    """

    def __init__(
        self,
        events: EventsFile | None = None,
        metrics: MetricsFile | None = None,
        command: str = "",
    ) -> None:
        self._events = events
        self._metrics = metrics
        self._command = command
        self.report: Report | None = None
        self._has_begun = False

    @property
    def wants_progress(self) -> bool:
        """Whether `progress` is of any use: metrics are kept."""
        return self._metrics is not None

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
        if self._metrics is not None:
            self._metrics.metrics.count(event)

    def progress(self, progress: Progress) -> None:
        """Record where the run stands."""
        if self._metrics is not None:
            self._metrics.metrics.look(progress.windows)

    def ended(self, exit_status: int) -> None:
        """Record that the run has ended, if it ever began."""
        if self._metrics is not None:
            self._metrics.metrics.ended(exit_status)
        if self._events is None or not self._has_begun:
            return
        data = {"exit_status": exit_status}
        if (report := self.report) is not None:
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
    events: str | None, metrics: str | None, command: str, warn: Callable[[str], None]
) -> Iterator[Recorder]:
    """Open what a run of a command is recorded in, and close it at the end.

    `events` and `metrics` are paths, None for none; `warn` gets why one can no longer be written.
    Raises ConfigError.
    """
    with ExitStack() as open_files:
        file = counted = None
        if events is not None:
            from bulkfetch.cli.events_file import EventsFile

            file = EventsFile(events, warn)
            open_files.callback(file.close)
        if metrics is not None:
            require_extra("metrics", "--metrics needs")
            from bulkfetch.cli.metrics_file import MetricsFile

            counted = MetricsFile(metrics, warn)
            open_files.callback(counted.close)
        yield Recorder(file, counted, command)

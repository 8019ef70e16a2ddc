"""The file of `--metrics`: Prometheus's text format, for node_exporter's textfile collector.

Imported only when it is asked for. It is replaced as a whole, by a thread of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bulkfetch.errors import ConfigError
from bulkfetch.events import Event
from bulkfetch.observe.event_counts import EventCounts
from bulkfetch.observe.window_gauges import window_gauges
from bulkfetch.ratelimit import WindowState

WRITTEN_EVERY_S = 5.0
# How long the end of a run waits for a disk that hangs.
PATIENCE_S = 5.0


class RunMetrics(Collector):
    """Counts events; safe for one thread that counts and one that collects."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = EventCounts(by_account=True)
        self._windows: Mapping[str, WindowState] = {}
        self._started_s = time.time()
        self._exit_status: int | None = None

    def count(self, event: Event) -> None:
        """Take in an event."""
        self._counts.count(event)

    def look(self, windows: Mapping[str, WindowState]) -> None:
        """Note how the windows of the accounts stand."""
        with self._lock:
            self._windows = windows

    def ended(self, exit_status: int) -> None:
        """Note how the run ended; how its windows stood is nothing to go by any more."""
        with self._lock:
            self._exit_status = exit_status
            self._windows = {}

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they are now."""
        with self._lock:
            exit_status, windows = self._exit_status, self._windows
        yield from self._counts.families()
        yield from window_gauges(windows)
        about = "When the run began, in seconds since 1970."
        yield GaugeMetricFamily("bulkfetch_run_start_time_seconds", about, self._started_s)
        about = "Whether the run goes on."
        yield GaugeMetricFamily("bulkfetch_run_active", about, exit_status is None)
        if exit_status is not None:
            about = "The exit status of the run."
            yield GaugeMetricFamily("bulkfetch_run_exit_status", about, exit_status)


class MetricsFile:
    """Writes the metrics every few seconds. `tell` gets, once, why it cannot."""

    def __init__(self, path: str, tell: Callable[[str], None]) -> None:
        """Write the file for the first time. Raises ConfigError where it cannot be written."""
        self.metrics = RunMetrics()
        self._path = path
        self._tell = tell
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self.metrics)
        self._over = threading.Event()
        self._error: OSError | None = None
        try:
            write_to_textfile(path, self._registry)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"--metrics {path}: {reason}", hint="Name another file.") from None
        self._thread = threading.Thread(target=self._write, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write the file for the last time."""
        self._over.set()
        self._thread.join(PATIENCE_S)
        why = "the disk hangs" if self._thread.is_alive() else self._error and self._error.strerror
        if why:
            self._tell(f"the metrics file {self._path} cannot be written ({why})")

    def _write(self) -> None:
        over = False
        while not over:
            over = self._over.wait(WRITTEN_EVERY_S)
            try:
                write_to_textfile(self._path, self._registry)
                self._error = None
            except OSError as error:
                self._error = error

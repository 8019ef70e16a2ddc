"""The file of `--metrics`: Prometheus's text format, for node_exporter's textfile collector.

Imported only when it is asked for. It is replaced as a whole, by a thread of its own.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bulkfetch.errors import ConfigError
from bulkfetch.events import Event
from bulkfetch.ratelimit import WindowState

WRITTEN_EVERY_S = 5.0
# How long the end of a run waits for a disk that hangs.
PATIENCE_S = 5.0

# By name: what is counted, the label beside the account (None for none).
_COUNTERS: dict[str, tuple[str, str | None]] = {
    "bulkfetch_jobs_done": ("Jobs whose files were published.", None),
    "bulkfetch_jobs_failed": ("Jobs that failed for good.", "code"),
    "bulkfetch_attempts_failed": ("Attempts that failed and are tried again.", "code"),
    "bulkfetch_requests": ("Result requests, by how they ended for the window.", "end"),
    "bulkfetch_received_bytes": ("Bytes of results received.", None),
    "bulkfetch_slot_wait_seconds": ("Seconds waited for slots of the window.", None),
    "bulkfetch_window_closed": ("How often a 429 closed the window.", None),
    "bulkfetch_tokens_issued": ("Access tokens issued.", None),
    "bulkfetch_pages_created": ("Pages of exports created.", None),
    "bulkfetch_exports_published": ("Exports published.", None),
}


# Of an account's window while the run goes on, by name: what is shown of it.
_GAUGES: dict[str, tuple[str, Callable[[WindowState], float]]] = {
    "bulkfetch_window_slots": ("Slots of the window that are used.", lambda it: it.capacity),
    "bulkfetch_window_free_slots": ("Slots that could be taken now.", lambda it: it.free),
    "bulkfetch_window_in_flight_requests": (
        "Requests that hold a slot and have no answer yet.",
        lambda it: it.in_flight,
    ),
    "bulkfetch_window_waiting_requests": (
        "Requests of this run that wait for a slot.",
        lambda it: it.waiting,
    ),
    "bulkfetch_window_closed_seconds": (
        "Seconds for which a 429 keeps the window closed.",
        lambda it: it.closed_s,
    ),
    "bulkfetch_window_held_seconds": (
        "Seconds for which the window has been kept from everybody.",
        lambda it: it.held_s,
    ),
}


class RunMetrics(Collector):
    """Counts events; safe for one thread that counts and one that collects."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, dict[tuple[str, ...], float]] = {
            name: defaultdict(float) for name in _COUNTERS
        }
        self._windows: Mapping[str, WindowState] = {}
        self._started_s = time.time()
        self._exit_status: int | None = None

    def count(self, event: Event) -> None:
        """Take in an event."""
        account, data = event.account or "", event.data
        with self._lock:
            match event.kind:
                case "done":
                    self._counts["bulkfetch_jobs_done"][account,] += 1
                case "failed":
                    self._counts["bulkfetch_jobs_failed"][account, str(data["code"])] += 1
                case "attempt_failed":
                    self._counts["bulkfetch_attempts_failed"][account, str(data["code"])] += 1
                    received = int(data["received_bytes"])
                    self._counts["bulkfetch_received_bytes"][account,] += received
                case "slot_settled":
                    self._counts["bulkfetch_requests"][account, str(data["end"])] += 1
                case "last_byte":
                    received = int(data["received_bytes"])
                    self._counts["bulkfetch_received_bytes"][account,] += received
                case "slot_taken":
                    waited_s = float(data["waited_s"])
                    self._counts["bulkfetch_slot_wait_seconds"][account,] += waited_s
                case "window_closed":
                    self._counts["bulkfetch_window_closed"][account,] += 1
                case "token_issued":
                    self._counts["bulkfetch_tokens_issued"][account,] += 1
                case "page_created":
                    self._counts["bulkfetch_pages_created"][account,] += 1
                case "export_published":
                    self._counts["bulkfetch_exports_published"][account,] += 1

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
            counts = {name: dict(values) for name, values in self._counts.items()}
            exit_status, windows = self._exit_status, self._windows
        for name, (about, label) in _COUNTERS.items():
            labels = ["account"] if label is None else ["account", label]
            family = CounterMetricFamily(name, about, labels=labels)
            for key, value in counts[name].items():
                family.add_metric(list(key), value)
            yield family
        for name, (about, figure) in _GAUGES.items():
            gauge = GaugeMetricFamily(name, about, labels=["account"])
            for account, state in windows.items():
                gauge.add_metric([account], figure(state))
            yield gauge
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

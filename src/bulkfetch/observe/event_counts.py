"""Events as Prometheus's counters. Imported only where metrics are asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric

from bulkfetch.events import Event

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


class EventCounts:
    """Counts events, of each account or of all together; safe for several threads."""

    def __init__(self, *, by_account: bool) -> None:
        """Count from 0 on."""
        self._by_account = by_account
        self._lock = threading.Lock()
        self._counts: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in _COUNTERS}
        if not by_account:  # what has no label at all is there from the start
            for name, (_, label) in _COUNTERS.items():
                if label is None:
                    self._counts[name][()] = 0.0

    def count(self, event: Event) -> None:
        """Take in an event."""
        account = (event.account or "",) if self._by_account else ()
        with self._lock:
            for name, figure, labels in _counted(event):
                values = self._counts[name]
                key = (*account, *labels)
                values[key] = values.get(key, 0.0) + figure

    def families(self) -> Iterator[Metric]:
        """Yield the counters as they are now."""
        with self._lock:
            counts = {name: dict(values) for name, values in self._counts.items()}
        for name, (about, label) in _COUNTERS.items():
            account = ["account"] if self._by_account else []
            labels = account if label is None else [*account, label]
            family = CounterMetricFamily(name, about, labels=labels)
            for key, value in counts[name].items():
                family.add_metric(list(key), value)
            yield family


def _counted(event: Event) -> Iterator[tuple[str, float, tuple[str, ...]]]:
    """Yield what an event adds to which counter, and that one's label, if it has one."""
    data = event.data
    match event.kind:
        case "done":
            yield "bulkfetch_jobs_done", 1, ()
        case "failed":
            yield "bulkfetch_jobs_failed", 1, (str(data["code"]),)
        case "attempt_failed":
            yield "bulkfetch_attempts_failed", 1, (str(data["code"]),)
            yield "bulkfetch_received_bytes", int(data["received_bytes"]), ()
        case "slot_settled":
            yield "bulkfetch_requests", 1, (str(data["end"]),)
        case "last_byte":
            yield "bulkfetch_received_bytes", int(data["received_bytes"]), ()
        case "slot_taken":
            yield "bulkfetch_slot_wait_seconds", float(data["waited_s"]), ()
        case "window_closed":
            yield "bulkfetch_window_closed", 1, ()
        case "token_issued":
            yield "bulkfetch_tokens_issued", 1, ()
        case "page_created":
            yield "bulkfetch_pages_created", 1, ()
        case "export_published":
            yield "bulkfetch_exports_published", 1, ()

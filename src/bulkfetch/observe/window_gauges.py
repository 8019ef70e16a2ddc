"""The windows of accounts as Prometheus's gauges. Imported only where metrics are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric

from bulkfetch.ratelimit import WindowState

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


def window_gauges(windows: Mapping[str, WindowState]) -> Iterator[Metric]:
    """Yield how the windows of accounts stand, each account as a label."""
    for name, (about, figure) in _GAUGES.items():
        gauge = GaugeMetricFamily(name, about, labels=["account"])
        for account, state in windows.items():
            gauge.add_metric([account], figure(state))
        yield gauge

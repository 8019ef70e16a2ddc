"""Progress values for tests of what is shown."""

from __future__ import annotations

from typing import Any

from bulkfetch.journal import Counts
from bulkfetch.pipeline.progress import Progress
from bulkfetch.ratelimit import WindowState

BUSY = WindowState(
    free=0, in_flight=3, waiting=1, next_free_s=43.0, closed_s=0.0, capacity=10, requests=10
)

_RUNNING = Progress(
    counts=Counts(done=12, failed=1, pending=12, skipped=0),
    list_read=True,
    stopping=False,
    requests=16,
    in_flight=3,
    waiting_retries=0,
    received_bytes=145_200_000,
    staged_bytes=0,
    file_bytes=900_000_000,
    elapsed_s=18.0,
    windows={"default": BUSY},
)


def progress(**changes: Any) -> Progress:
    """A run in its first minute: 12 of 25 done, three under way, no slot free."""
    return _RUNNING._replace(**changes)

"""Events as lines of JSON. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime

from bulkfetch.events import Event, EventKind
from bulkfetch.observe.event_shapes import VERSION, FileKind
from bulkfetch.text import escape

Data = Mapping[str, int | float | str]


def json_line(event: Event, wall_s: float, elapsed_s: float) -> str:
    """Return the line of an event, with its end; `wall_s` since 1970, `elapsed_s` in the run."""
    return file_line(
        event.kind, event.message, event.data, wall_s, elapsed_s, event.account, event.job_id
    )


def file_line(
    kind: EventKind | FileKind,
    message: str,
    data: Data,
    wall_s: float,
    elapsed_s: float,
    account: str | None = None,
    job_id: str | None = None,
) -> str:
    """Return a line with its end; one about the run or the file itself is of no account or job."""
    when = datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds")
    record: dict[str, object] = {
        "v": VERSION,
        "time": when.replace("+00:00", "Z"),
        "elapsed_s": round(max(0.0, elapsed_s), 3),
        "kind": kind,
    }
    if account is not None:
        record["account"] = escape(account)
    if job_id is not None:
        record["job_id"] = escape(job_id)
    record["message"] = escape(message)
    record["data"] = {key: _value(value) for key, value in data.items() if _is_sayable(value)}
    return f"{json.dumps(record, allow_nan=False)}\n"


def _value(value: int | float | str) -> int | float | str:
    if isinstance(value, str):
        return escape(value)
    return round(value, 3) if isinstance(value, float) else value


def _is_sayable(value: int | float | str) -> bool:
    """Return whether JSON can say it: a wait without an end has no number."""
    return not isinstance(value, float) or math.isfinite(value)

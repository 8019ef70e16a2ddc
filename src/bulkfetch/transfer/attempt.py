"""What goes into one attempt at a result, and what it came to. Values only, no HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from bulkfetch.secret import Secret

if TYPE_CHECKING:
    from bulkfetch.window import Permit


class Partial(NamedTuple):
    """A broken transfer that may go on: `bytes` are on disk, `total` is the whole size if known.

    `validator` is the strong ETag that the rest must still have.
    """

    bytes: int
    total: int | None
    validator: str


@dataclass(slots=True, eq=False)
class Attempt:
    """What goes into one attempt and what it came to: written by gate and door, read by the lane.

    `permit` is a slot taken beforehand, at `permit_at` on the machine's clock that runs on in
    suspend; it is spent on the first request. `partial` is what to resume,
    and after a failure what may be resumed next. `requests` counts what the server may have
    counted, `received` body bytes. `token` is what was sent, for redaction and renewal.
    `connected` says whether the last request got a connection: without one nothing was sent.
    """

    permit: Permit | None = None
    permit_at: float = 0.0
    partial: Partial | None = None
    requests: int = 0
    received: int = 0
    token: Secret | None = None
    connected: bool = False

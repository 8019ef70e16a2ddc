"""What goes into one attempt at a result, and what it came to. No HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from bulkfetch.secret import Secret

if TYPE_CHECKING:
    from bulkfetch.ratelimit import Permit


# A file's first bytes mostly come with the head. What is read within this time counts as read at
# once, since a slot's minute that starts in the past takes a bucket of its own.
AT_ONCE_S = 0.01


class Partial(NamedTuple):
    """A broken transfer that may go on: `bytes` are on disk, `total` is the whole size if known.

    `validator` is the strong ETag that the rest must still have.
    """

    bytes: int
    total: int | None
    validator: str


class Answer(NamedTuple):
    """An answer whose head came `at` a time of the loop, and whose slot is still to be settled."""

    permit: Permit
    at: float

    def taken(self) -> None:
        """Settle the slot: its minute started with the head. Does nothing the second time."""
        ago_s = asyncio.get_running_loop().time() - self.at
        self.permit.answered(ago_s if ago_s > AT_ONCE_S else 0.0)

    def refused(self, retry_after_s: float | None) -> None:
        """Settle the slot as a 429 would: the words of the answer are those of a limit."""
        self.permit.rejected(retry_after_s)


def _ignore() -> None:
    """Do nothing."""


@dataclass(slots=True, eq=False)
class Attempt:
    """What goes into one attempt and what it came to: written in this room, read by the pipeline.

    `permit` is a slot taken beforehand, at `permit_at` on the machine's clock that runs on in
    suspend; it is spent on the first request. `partial` is what to resume,
    and after a failure what may be resumed next. `requests` counts what the server may have
    counted, `received` body bytes. `token` is what was sent, for redaction and renewal.
    `connected` says whether the last request got a connection: without one nothing was sent.
    `answer` is what came, until its slot is settled. `retry_after_s` is what a refusal asked for,
    None where it did not. `begun` is called when the body has shown itself to be a file's.
    """

    permit: Permit | None = None
    permit_at: float = 0.0
    partial: Partial | None = None
    requests: int = 0
    received: int = 0
    token: Secret | None = None
    connected: bool = False
    answer: Answer | None = None
    retry_after_s: float | None = None
    begun: Callable[[], None] = field(default=_ignore, repr=False)

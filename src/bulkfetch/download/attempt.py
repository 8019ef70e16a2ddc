"""What goes into one attempt at a result, and what it came to. No HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from bulkfetch.events import EventKind
from bulkfetch.secret import Secret

if TYPE_CHECKING:
    from bulkfetch.ratelimit import Permit

# Takes news of an attempt: kind, words, figures.
Tell = Callable[[EventKind, str, Mapping[str, int | float | str]], None]


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
    `answer` is the slot of what came, and when its head did on the loop's clock. `retry_after_s` is
    what a refusal asked for, None where it did not. `begun` is called when the body has shown
    itself to be a file's, `tell` with each step, None where nobody listens. `waited_s` is how long
    the slot had to be waited for, `connection_waited_s` the connection before it. `offset` bytes of
    the file were here before, and it has `total` in all, None as long as that is not known. `held`
    while the body waits for the bandwidth of the run.
    """

    permit: Permit | None = None
    permit_at: float = 0.0
    partial: Partial | None = None
    requests: int = 0
    received: int = 0
    token: Secret | None = None
    connected: bool = False
    answer: tuple[Permit, float] | None = None
    retry_after_s: float | None = None
    begun: Callable[[], None] = field(default=_ignore, repr=False)
    tell: Tell | None = field(default=None, repr=False)
    offset: int = 0
    total: int | None = None
    waited_s: float = 0.0
    connection_waited_s: float = 0.0
    held: bool = False

    def took(self, permit: Permit, waited_s: float, connection_waited_s: float = 0.0) -> None:
        """Tell that a slot was taken, and have its end told."""
        if (tell := self.tell) is None:
            return

        def settled(end: str, back_in_s: float) -> None:
            figures: dict[str, float | str] = {"end": end, "back_in_s": round(back_in_s, 3)}
            tell("slot_settled", f"the slot is settled as {end}", figures)

        permit.on_end = settled
        data = {
            "waited_s": round(waited_s, 3),
            "connection_waited_s": round(connection_waited_s, 3),
        }
        tell("slot_taken", "took a slot of the window", data)

    def settle(self, *, refused: bool = False, retry_after_s: float | None = None) -> None:
        """Settle the slot of the answer, now that its words are known; only the first call counts.

        Its minute started with the head. `refused` as a 429: the words are those of a limit.
        """
        answer, self.answer = self.answer, None
        if answer is None:
            return
        permit, answered_at = answer
        if refused:
            permit.rejected(retry_after_s)
        else:
            ago_s = asyncio.get_running_loop().time() - answered_at
            permit.answered(ago_s if ago_s > AT_ONCE_S else 0.0)

"""What holds for all exports of an account in one command."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bulkfetch.errors import AccountError, BulkfetchError
from bulkfetch.events import Emit, Event
from bulkfetch.exporter.work import ExportWork
from bulkfetch.exports import chain

# Jobs of an account between their creation and the end of their download: so many are created in
# vain if the command is stopped for a day.
MOST_UNDER_WAY = 30


@dataclass(slots=True)
class AccountState:
    """An account's exports, and what stands in their way.

    `ended` is why no control call can be made for it any more in this command, `undownloading` why
    no result can be had, `uncreating` why no page is created; None as long as they can.
    `pause_until` is when the next create call may leave and `quiet_until` when the next job may be
    asked for, on the loop's clock.
    """

    name: str
    emit: Emit
    works: list[ExportWork] = field(default_factory=list)
    ended: BulkfetchError | None = None
    undownloading: BulkfetchError | None = None
    uncreating: BulkfetchError | None = None
    pause_until: float = float("-inf")
    quiet_until: float = float("-inf")

    def end(self, error: AccountError) -> None:
        """Make no more control calls, and tell why; the first reason counts."""
        if self.ended is None:
            self.ended = error
            data = {"code": error.code, "hint": error.hint}
            self.emit(Event("account_ended", error.message, self.name, data=data))

    @property
    def under_way(self) -> int:
        """How many jobs are between their creation and the end of their download."""
        return sum(chain.under_way(work.pages.values()) for work in self.live)

    @property
    def live(self) -> Iterable[ExportWork]:
        """Those of its exports that have begun and not ended."""
        return (work for work in self.works if work.begun and work.report is None)

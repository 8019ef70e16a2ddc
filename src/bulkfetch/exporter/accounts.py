"""What holds for all exports of an account in one command."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import anyio

from bulkfetch.errors import AccountError, BulkfetchError, ControlPaused, NotReadyInTime
from bulkfetch.events import Event
from bulkfetch.exporter.context import ExportContext
from bulkfetch.exporter.work import ExportWork
from bulkfetch.exports import chain

# Jobs of an account between their creation and the end of their download: so many are created in
# vain if the command is stopped for a day.
MOST_UNDER_WAY = 30


@dataclass(slots=True)
class AccountState:
    """An account's exports, and what stands in their way.

    `ended` is why no control call can be made for it any more in this command, `undownloading` why
    no result can be had, `uncreating` why no page is created, `unasking` why none is asked for;
    None as long as they can.
    `pause_until` is when the next create call may leave and `quiet_until` when the next job may be
    asked for, on the loop's clock; with `uncreating` and `unasking` too. `leaving` create calls
    wait for their turn.
    `window_refused`: a result got a 429, which the control calls are to know of.
    """

    name: str
    context: ExportContext
    works: list[ExportWork] = field(default_factory=list)
    ended: BulkfetchError | None = None
    undownloading: BulkfetchError | None = None
    uncreating: BulkfetchError | None = None
    unasking: BulkfetchError | None = None
    pause_until: float = float("-inf")
    quiet_until: float = float("-inf")
    leaving: int = 0
    window_refused: bool = False

    def end(self, error: AccountError) -> None:
        """Make no more control calls, and tell why; the first reason counts."""
        if self.ended is None:
            self.ended = error
            data = {"code": error.code, "hint": error.hint}
            self.context.emit(Event("account_ended", error.message, self.name, data=data))
            self.context.touch()

    @property
    def under_way(self) -> int:
        """How many jobs are between their creation and the end of their download, `leaving` too."""
        begun = (work for work in self.works if work.begun)
        return self.leaving + sum(chain.under_way(work.pages.values()) for work in begun)

    @property
    def is_full(self) -> bool:
        """Whether no more jobs may be created for now."""
        return self.under_way >= MOST_UNDER_WAY

    @property
    def live(self) -> Iterable[ExportWork]:
        """Those of its exports that have begun and not ended."""
        return (work for work in self.works if work.begun and work.report is None)

    def why_stuck(self, work: ExportWork) -> BulkfetchError:
        """Return why nothing more can be done for an export in this command."""
        if (error := self.undownloading or self.ended or work.refused) is not None:
            return error
        if chain.to_create(work.pages.values()) is not None and self.uncreating is not None:
            return self.uncreating
        if self.unasking is not None:
            return self.unasking
        waiting = sum(page.state == "PREPARING" for page in work.pages.values())
        pages = "a page is" if waiting == 1 else f"{waiting or self.under_way} pages are"
        return NotReadyInTime(f"{pages} still being prepared")

    def goes_on_at(self, work: ExportWork, asked_at: float | None) -> float | None:
        """Return when an export can go on, on the loop's clock; None where that is not known.

        `asked_at` is when the next of its pages is to be asked for, None: none is.
        """
        if self.undownloading or self.ended or work.refused:
            return None
        creates = chain.to_create(work.pages.values()) is not None and not self.is_full
        times = [self.pause_until] if creates else []
        if asked_at is not None:
            times.append(max(asked_at, self.quiet_until))
        return min(times, default=None)


def over_at(error: BulkfetchError) -> float | None:
    """Return when what an error says may be over, on the loop's clock; None where it is unknown."""
    return anyio.current_time() + error.retry_after_s if isinstance(error, ControlPaused) else None

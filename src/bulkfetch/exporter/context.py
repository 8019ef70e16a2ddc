"""What all exports of one call share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import anyio

from bulkfetch.events import Emit
from bulkfetch.pipeline.layout import OutputLayout
from bulkfetch.pipeline.outcomes import OutcomeSink


@dataclass(slots=True)
class ExportContext:
    """What all exports of a call share, and how they hear of one another.

    `report` takes the outcomes of pages. `full`: everything is exported, also where changes would
    do. `deadline`, on the loop's clock, is when results are waited for no longer; `wall` is this
    machine's clock, in seconds; `stopping` says whether nothing more is to be begun. `change` is
    set at the next change of a row, or of what an account can do.
    """

    layout: OutputLayout
    emit: Emit
    report: OutcomeSink
    full: bool
    deadline: float
    wall: Callable[[], float]
    stopping: Callable[[], bool]
    change: anyio.Event = field(default_factory=anyio.Event)

    def touch(self) -> None:
        """Have all look again who wait for a change."""
        self.change.set()
        self.change = anyio.Event()

    async def changed(self) -> None:
        """Wait for the next change."""
        await self.change.wait()

    def now(self) -> datetime:
        """Return the time of this machine's clock, in UTC."""
        return datetime.fromtimestamp(self.wall(), UTC)

"""What the limiter needs of where the rows are: to change one of them while nobody else does."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

from bulkfetch.ratelimit.interfaces import WindowEvent
from bulkfetch.ratelimit.postgres.row import WindowRow

T = TypeVar("T")


class Moment(NamedTuple):
    """When a row was had: `now` by the database's clock, read once nobody else could change it.

    `asked` by the client's own and `loop_asked` by the event loop's, both read before.
    """

    now: float
    asked: float
    loop_asked: float


Change = Callable[[WindowRow, Moment], T]


class WindowStore(Protocol):
    """The rows by account. What a change has written is kept for good before its result is told."""

    @property
    def away_s(self) -> float:
        """Return for how long the rows could not be had, 0 while they can."""
        ...

    async def run(self, account: str, change: Change[T]) -> T:
        """Do a change, perhaps several times until one is kept; wait while the rows cannot be had.

        If cancelled: it may have been done.
        """
        ...

    def listen(self, on_away: Callable[[WindowEvent], None]) -> Callable[[], None]:
        """Have it told when the rows cannot be had for long; return what ends that."""
        ...

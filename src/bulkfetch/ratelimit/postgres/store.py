"""What is needed of where the rows are: to change one of them while nobody else does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from bulkfetch.ratelimit.interfaces import WindowEvent

R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RowTable(Generic[R]):
    """A table with a row for each account, and what such a row is as a value that can be changed.

    `read` makes the value of the row's columns, `write` gives those of `columns`, in their order.
    Every table has the columns account, closed_until and hold_s, as `window.sql` says. `beside` is
    read with them: SQL of a column that is written elsewhere, of a row that is called locked.
    """

    name: str
    columns: tuple[str, ...]
    read: Callable[[Mapping[str, Any]], R]
    write: Callable[[R], tuple[Any, ...]]
    beside: str = ""


def as_arrays(rows: Iterable[Sequence[Any]], width: int) -> list[list[Any]]:
    """Return rows of `width` values as a table has them: an array for each place in a row."""
    return [list(array) for array in zip(*rows, strict=True)] or [[] for _ in range(width)]


def from_arrays(columns: Mapping[str, Any], names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Return the rows that these columns, all of them arrays, hold together."""
    return zip(*(columns[name] for name in names), strict=True)


class Moment(NamedTuple):
    """When a row was had: `now` by the database's clock, read once nobody else could change it.

    `asked` by the client's own and `loop_asked` by the event loop's, both read before.
    """

    now: float
    asked: float
    loop_asked: float


class WindowStore(Protocol):
    """The rows by account. What a change has written is kept for good before its result is told."""

    @property
    def away_s(self) -> float:
        """Return for how long the rows could not be had, 0 while they can."""
        ...

    async def run(self, table: RowTable[R], account: str, change: Callable[[R, Moment], T]) -> T:
        """Do a change of a row, perhaps several times until one is kept, in the order of calls.

        Waits while the rows cannot be had. If cancelled: it may have been done.
        """
        ...

    def listen(self, on_away: Callable[[WindowEvent], None]) -> Callable[[], None]:
        """Have it told when the rows cannot be had for long; return what ends that.

        Who listens several times is told once.
        """
        ...

"""Where the budget's rows are kept: with this process, where no file can be shared."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import Callable
from typing import Protocol, TypeVar
from weakref import WeakKeyDictionary, finalize

from bulkfetch.control.rows import SCHEMA, ControlRows

T = TypeVar("T")


class ControlLedger(Protocol):
    """The rows of one account and the clocks of their stamps, as `allowance` has them.

    Writings are done one after the other, in the order in which they were submitted.
    """

    @property
    def owner(self) -> int:
        """Return the number by which others know this one."""
        ...

    def now(self) -> float:
        """Return the seconds that nobody can set."""
        ...

    def wall(self) -> float:
        """Return the time of days, in seconds."""
        ...

    def submit(self, body: Callable[[ControlRows], T]) -> asyncio.Future[T]:
        """Do `body` in one transaction, sooner or later, whether or not its end is awaited.

        Awaited it raises Unusable where the rows cannot be kept any more; then nothing was done.
        """
        ...

    def close(self) -> None:
        """Let go of what is held open, after what was submitted."""
        ...

    async def aclose(self) -> None:
        """As `close`, and wait for it. If cancelled: as `close`."""
        ...


# By event loop, since times of two loops cannot be compared, and a test's are not the machine's.
_books: WeakKeyDictionary[asyncio.AbstractEventLoop, sqlite3.Connection] = WeakKeyDictionary()


class ProcessLedger:
    """Rows in memory, which all clients of the running loop share; a ControlLedger.

    Both clocks are the loop's: nothing of it outlasts the process. An account that `own` says
    nobody else asks shares with nobody. Its first call leaves in `quiet_s`.
    """

    def __init__(self, account_key: str, *, own: bool = False, quiet_s: float = 0.0) -> None:
        self._loop = asyncio.get_running_loop()
        self._db = _memory(self) if own else _shared(self._loop)
        self.owner = secrets.randbits(62)
        begins_at = self.now() + quiet_s if quiet_s else 0.0
        self._rows = ControlRows(self._db, account_key, self.owner, begins_at)

    def now(self) -> float:
        return self._loop.time()

    def wall(self) -> float:
        return self._loop.time()

    def submit(self, body: Callable[[ControlRows], T]) -> asyncio.Future[T]:
        done: asyncio.Future[T] = self._loop.create_future()
        with self._db:
            done.set_result(body(self._rows))
        return done

    def close(self) -> None:
        return None

    async def aclose(self) -> None:
        return None


def _shared(loop: asyncio.AbstractEventLoop) -> sqlite3.Connection:
    if loop not in _books:
        _books[loop] = _memory(loop)
    return _books[loop]


def _memory(owner: object) -> sqlite3.Connection:
    """Return new rows in memory, which are closed when their owner is collected, in any thread."""
    db = sqlite3.connect(":memory:", check_same_thread=False)
    finalize(owner, db.close)
    db.executescript(SCHEMA)
    return db

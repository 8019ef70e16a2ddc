"""Where the usage of an account is kept; in this process, where nothing can be shared."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar
from weakref import WeakKeyDictionary

from bulkfetch.control.usage import AccountUsage, ChangeTime

T = TypeVar("T")
Change = Callable[[AccountUsage, ChangeTime], T]


class ControlLedger(Protocol):
    """Keeps the usage of one account, which everybody who asks for it shares.

    Changes are made one after the other, in the order in which they were submitted.
    """

    def clock(self) -> float:
        """Return the seconds of the ledger's own clock, which nobody can set."""
        ...

    def submit(self, change: Change[T]) -> asyncio.Future[T]:
        """Make a change and keep it, sooner or later, whether or not its end is awaited.

        Awaited it raises Unusable where it cannot be kept any more; then nothing was done.
        """
        ...

    def close(self) -> None:
        """Let go of what is held open, after what was submitted."""
        ...

    async def aclose(self) -> None:
        """As `close`, and wait for it. If cancelled: as `close`."""
        ...


# By event loop, since times of two loops cannot be compared, and a test's are not the machine's.
_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, AccountUsage]] = WeakKeyDictionary()


class ProcessLedger(ControlLedger):
    """Usage in memory, which all clients of the running loop share.

    All clocks are the loop's: nothing of it outlasts the process. An account that `own` says
    nobody else asks shares with nobody. Its first call leaves in `quiet_s`.
    """

    def __init__(self, account_key: str, *, own: bool = False, quiet_s: float = 0.0) -> None:
        self._loop = asyncio.get_running_loop()
        accounts = {} if own else _shared.setdefault(self._loop, {})
        begins_at = self.clock() + quiet_s if quiet_s else 0.0
        self._usage = accounts.setdefault(account_key, AccountUsage(paused_until=begins_at))

    def clock(self) -> float:
        return self._loop.time()

    def submit(self, change: Change[T]) -> asyncio.Future[T]:
        done: asyncio.Future[T] = self._loop.create_future()
        now = self.clock()
        done.set_result(change(self._usage, ChangeTime(now, now, now)))
        return done

    def close(self) -> None:
        return None

    async def aclose(self) -> None:
        return None

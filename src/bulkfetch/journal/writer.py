"""One thread owns the writing connection; all who wait for durability share one sync.

A caller hands in a piece of work (a function of the connection) and awaits it. The thread takes
everything that is queued, does all of it in one transaction, commits once, and wakes all callers
with one call into the loop. While it waits for the disk the next group gathers: the more callers,
the larger the group, so that the cost of a sync is shared exactly when it matters.

A piece of work that fails must not fail its neighbours: the transaction is undone and each piece is
done again in one of its own, so every error reaches the one caller it belongs to. Work must
therefore change nothing but the database; what is to follow in memory goes into `after`, called in
the loop once it is committed, whether or not the caller still waits.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from bulkfetch.journal.errors import journal_error
from bulkfetch.journal.schema import checkpoint, open_to_write

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


@dataclass(slots=True, eq=False)
class _Call:
    """A piece of work on its way. `future` is None where nobody waits."""

    work: Work[Any]
    writes: bool
    after: Callable[[Any], None] | None = None
    future: asyncio.Future[Any] | None = None
    result: Any = None
    error: BaseException | None = None


class Writer:
    """The journal's writing thread. Belongs to the event loop in which it was started."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        """Use `start`."""
        self._path = path
        self._loop = loop
        self._queue: SimpleQueue[_Call | None] = SimpleQueue()  # None: close
        self._death: BaseException | None = None
        self._closing = False
        self._ended: asyncio.Future[None] = loop.create_future()
        # A daemon: a program that ends without closing must not hang; the file stands a kill.
        self._thread = threading.Thread(target=self._run, name="bulkfetch-journal", daemon=True)

    @classmethod
    async def start(cls, path: Path) -> Writer:
        """Open the journal at `path` in a new thread.

        Raises RunError as `open_to_write` and `journal_error` say. If cancelled: the thread closes
        what it opened and ends.
        """
        writer = cls(path, asyncio.get_running_loop())
        writer._thread.start()
        try:
            await writer.read(lambda _: None)
        except BaseException:
            writer._close()
            raise
        return writer

    async def write(self, work: Work[T], after: Callable[[T], None] | None = None) -> T:
        """Do `work` within a transaction; return when that is on the disk.

        `after` is called in the loop with the result before the caller is woken. Raises what
        `work` raised, RunError for what SQLite could not do: then nothing of it was written.
        If cancelled: it is done whole or not at all.
        """
        result: T = await self._submit(_Call(work, writes=True, after=after))
        return result

    async def read(self, work: Work[T]) -> T:
        """Do `work`, which only reads, after the writes that were asked for before it.

        If cancelled: it may still be done.
        """
        result: T = await self._submit(_Call(work, writes=False))
        return result

    def write_along(self, work: Work[object]) -> None:
        """Do `work` some time soon; nobody waits, and its failure is told to nobody."""
        self._check_open()
        self._queue.put(_Call(work, writes=True))

    async def aclose(self) -> None:
        """Finish what is queued, close the file, end the thread; a second call only waits.

        Raises RunError where the last of it could not be written. If cancelled: the thread goes on
        to its end by itself.
        """
        self._close()
        await asyncio.shield(self._ended)

    def _close(self) -> None:
        if not self._closing:
            self._closing = True
            self._queue.put(None)

    def _check_open(self) -> None:
        if self._death is not None:
            raise self._told(self._death)
        if self._closing:
            raise RuntimeError("the journal is closed")

    async def _submit(self, call: _Call) -> Any:
        self._check_open()
        call.future = self._loop.create_future()
        self._queue.put(call)
        if self._death is not None:  # it may have died before it could see the call
            self._settle([call], self._death)
        return await call.future

    # --- in the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        end: BaseException | None = None
        calls: list[_Call] = []
        try:
            connection = open_to_write(self._path)
            try:
                while not self._next(calls):
                    self._do(connection, calls)
                    with suppress(RuntimeError):  # the loop is gone, and with it who waited
                        self._loop.call_soon_threadsafe(self._settle, calls.copy(), None)
                self._do(connection, calls)
                checkpoint(connection)
            finally:
                connection.close()
        except BaseException as error:
            end = error
        self._death = end
        # From here on a new call sees that it is too late; those already queued are told so.
        with suppress(Empty):
            while True:
                call = self._queue.get_nowait()
                if call is not None:
                    calls.append(call)
        with suppress(RuntimeError):  # the loop is gone, and with it everyone who waited
            self._loop.call_soon_threadsafe(self._end, calls, end)

    def _next(self, calls: list[_Call]) -> bool:
        """Fill `calls` with all that is queued, waiting for the first; True when it is time to end.

        The list is filled in place, so that whatever happens nobody in it is forgotten.
        """
        calls.clear()
        call = self._queue.get()
        try:
            while call is not None:
                calls.append(call)
                call = self._queue.get_nowait()
        except Empty:
            return False
        return True

    def _do(self, connection: sqlite3.Connection, calls: list[_Call]) -> None:
        writes = [call for call in calls if call.writes]
        if writes and not _commit(connection, writes) and len(writes) > 1:
            for call in writes:
                _commit(connection, [call])
        for call in calls:
            if not call.writes:
                _attempt(connection, call)

    # --- in the loop -----------------------------------------------------------------------------

    def _settle(self, calls: Iterable[_Call], death: BaseException | None) -> None:
        for call in calls:
            error = call.error or death
            if error is None and call.after is not None:
                call.after(call.result)
            if call.future is None or call.future.done():
                continue
            if error is None:
                call.future.set_result(call.result)
            else:
                call.future.set_exception(self._told(error))

    def _end(self, calls: Iterable[_Call], death: BaseException | None) -> None:
        self._settle(calls, death)
        if death is None or not self._closing:
            self._ended.set_result(None)  # a death was, or will be, told to whoever asks
        else:
            self._ended.set_exception(self._told(death))
            self._ended.exception()  # told to aclose(), if anybody calls it

    def _told(self, error: BaseException) -> BaseException:
        """Make the error for one caller; an instance raised in two places mixes tracebacks."""
        if isinstance(error, sqlite3.Error):
            known = journal_error(error, self._path)
            if known is not None:
                known.__cause__ = error
                return known
        if isinstance(error, Exception):
            return error
        return RuntimeError(f"the journal's thread died of {error!r}")


def _attempt(connection: sqlite3.Connection, call: _Call) -> bool:
    try:
        call.error = None
        call.result = call.work(connection)
    except Exception as error:
        call.error = error
    return call.error is None


def _commit(connection: sqlite3.Connection, calls: list[_Call]) -> bool:
    """Do the work of all in one transaction, or of none; False leaves the cause in each call."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        if all(_attempt(connection, call) for call in calls):
            connection.execute("COMMIT")
            return True
    except sqlite3.Error as error:
        for call in calls:
            call.error = error
    if connection.in_transaction:  # some errors have already undone it
        connection.rollback()
    return False

"""How a window writes into its store: in short transactions, into another one where one fails."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from bulkfetch.ratelimit.database import Store, is_busy
from bulkfetch.ratelimit.interfaces import OnEvent, WindowEvent
from bulkfetch.ratelimit.patience import Patience
from bulkfetch.ratelimit.stores import Stores

T = TypeVar("T")


class Transactions:
    """The store of one window, and what is still to be written into it.

    Nobody waits for a lock: what finds the file busy is written with what comes next. When the file
    fails or disappears, another store takes its place, with all that this window has used.
    """

    def __init__(self, stores: Stores, store: Store, on_event: OnEvent) -> None:
        settings = stores.settings
        self._settings = settings
        self._stores = stores
        self._store = store
        self._ours = stores.ours
        self._now = stores.clock
        self._on_event = on_event
        self._pid = os.getpid()
        self._owner = random.SystemRandom().getrandbits(62)
        self._lease_s = settings.headers_timeout_s + settings.grace_s
        self._unwritten: list[Callable[[], None]] = []
        self._news: list[WindowEvent] = []  # of this transaction
        self._to_tell: list[WindowEvent] = []
        self._lost: Exception | None = None  # why the store is of no use any more
        self._patience = Patience(self._now)
        self._ended = False
        self._rows = stores.rows(store, self._owner, self._lease_s)

    @property
    def _db(self) -> sqlite3.Connection:
        return self._store.db

    def _first(self) -> None:
        """Write what comes before everything else; in a transaction."""

    def _last(self) -> None:
        """Write what follows from everything else; in a transaction."""

    def _written(self) -> None:
        """Forget what has been written."""
        self._unwritten.clear()

    def _moved(self, numbers: dict[int, int]) -> None:
        """Take in that uses have other numbers now."""

    def _do(
        self, body: Callable[[], T] | None, then: Callable[[T], None] | None = None
    ) -> T | None:
        """Write what is unwritten, then do `body`, in one transaction; and when it is done `then`.

        None when nothing was done: the file is busy, or no other one could be had yet.
        """
        if os.getpid() != self._pid:
            raise RuntimeError("a window belongs to the process it was opened in")
        if self._ended:
            return None
        result: T | None = None
        with self._ours.lock:
            try:
                result = self._in_one(body)
            except (sqlite3.Error, OSError) as error:
                if not is_busy(error):
                    if self._store.path is None:  # no file is to blame, and there is no way on
                        raise
                    self._lost = error
            if self._lost is not None and self._move(self._lost):
                with suppress(sqlite3.Error, OSError):  # the next one will find it too
                    result = self._in_one(body)
            if result is not None and then is not None:
                then(result)
        if (held := self._patience.news(self._store.path)) is not None:
            self._to_tell.append(held)
        # Without the lock: who is told may do as he likes.
        told, self._to_tell = self._to_tell, []
        for event in told:
            self._on_event(event)
        return result

    def _in_one(self, body: Callable[[], T] | None) -> T | None:
        """Do it. Raises sqlite3.Error and OSError; then nothing was done."""
        self._news = []
        self._patience.tried()
        with self._store.lock:
            self._store.check()
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._first()
                for write in self._unwritten:
                    write()
                result = None if body is None else body()
                self._last()
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._db.rollback()
                raise
        self._patience.succeeded()
        self._written()
        self._to_tell += self._news
        return result

    def _move(self, lost: Exception) -> bool:
        """Go over to another store; False where it is busy. Called with the lock."""
        old = self._store
        try:
            store, event = self._stores.another(old, lost)
            try:
                rows, numbers = self._stores.carry(old, store, self._owner, self._lease_s)
            except BaseException:
                store.close()
                raise
        except Exception as error:
            if is_busy(error):
                return False
            raise
        self._store, self._rows, self._lost = store, rows, None
        self._moved(numbers)
        self._to_tell.append(event)
        old.close()
        return True

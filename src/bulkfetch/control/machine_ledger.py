"""The usage of a budget that all processes of the machine share, in the state directory.

A thread of its own does the transactions, one after the other: each takes some 100 µs, but another
process may hold the file for longer. It is waited for, for as long as it takes, since every way
round it would be a second budget. A file that was removed or damaged is made anew; nothing leaves
for a minute then, since nobody knows what had left before.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from bulkfetch.clock import boot_id, boottime
from bulkfetch.control.ledger import Change, ControlLedger
from bulkfetch.control.rows import CONTROL_FILE, ControlRows
from bulkfetch.control.usage import QUIET_S, ChangeTime
from bulkfetch.ratelimit.interfaces import Unusable
from bulkfetch.ratelimit.patience import holder
from bulkfetch.ratelimit.state_file import Busy, Store, is_busy, is_damage, open_file, reason

T = TypeVar("T")

# How long SQLite waits for another process at a time, and from when on that is told; in seconds.
_BUSY_S = 0.25
_TOLD_AFTER_S = 5.0
# How often is looked for a file that somebody makes just now.
_MADE_S = 0.01


class MachineLedger(ControlLedger):
    """The usage of one account in the file.

    `clock` gives seconds since the boot that `boot` names; both are the same in all processes.
    """

    def __init__(
        self,
        account_key: str,
        state_dir: Path,
        note: Callable[[str], None],
        *,
        clock: Callable[[], float] = boottime,
        boot: Callable[[], str] = boot_id,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._key, self._state_dir, self._note = account_key, state_dir, note
        self._clock, self._boot, self._wall = clock, boot, wall
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "bulkfetch control")
        self._ended = False
        # All below are the thread's.
        self._store: Store | None = None
        self._rows: ControlRows
        self._lost, self._spent = "", -1  # why the last file was given up, and its inode

    @classmethod
    async def open(
        cls,
        account_key: str,
        state_dir: Path,
        note: Callable[[str], None],
        *,
        clock: Callable[[], float] = boottime,
        boot: Callable[[], str] = boot_id,
        wall: Callable[[], float] = time.time,
    ) -> MachineLedger:
        """Open the ledger of `account_key`, an opaque name that holds no secret.

        `note` gets, in one sentence, what a user should know. Raises Unusable. If cancelled:
        nothing is left open.
        """
        ledger = cls(account_key, state_dir, note, clock=clock, boot=boot, wall=wall)
        try:
            await asyncio.shield(ledger.submit(lambda usage, time: None))
        except BaseException:
            ledger.close()
            raise
        return ledger

    def clock(self) -> float:
        return self._clock()

    def submit(self, change: Change[T]) -> asyncio.Future[T]:
        done = self._loop.run_in_executor(self._thread, self._do, change)
        done.add_done_callback(_retrieved)
        return done

    def close(self) -> None:
        """Let go of the file after what was submitted; a write that waits for it is given up."""
        if not self._ended:
            self._ended = True
            self._thread.submit(self._close)
            self._thread.shutdown(wait=False)

    async def aclose(self) -> None:
        self.close()
        await self._loop.run_in_executor(None, self._thread.shutdown)

    # --- in the thread ----------------------------------------------------------------------------

    def _do(self, change: Change[T]) -> T:
        """Make a change in one transaction, as soon as the file is free. Raises Unusable."""
        since, renewed = time.monotonic(), False
        while True:
            try:
                return self._transact(change)
            except (sqlite3.Error, OSError, Busy) as error:
                if self._ended:
                    raise Unusable("the budget is closed") from error
                if is_busy(error):
                    since = self._waited(since)
                elif renewed or not (isinstance(error, FileNotFoundError) or is_damage(error)):
                    raise Unusable(f"{self._path}: {reason(error)}") from error
                else:
                    renewed = True
                    self._give_up(error)

    def _transact(self, change: Change[T]) -> T:
        store = self._store or self._open()
        store.check()
        db = store.db
        try:
            db.execute("BEGIN IMMEDIATE")
            before = self._rows.read()
            usage, now = before.copy(), self._clock()
            result = change(usage, ChangeTime(now, self._wall(), now))
            self._rows.write(before, usage)
            db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                db.rollback()
            raise
        return result

    def _open(self) -> Store:
        try:
            boot, now = self._boot(), self._clock()
        except OSError as error:
            raise Unusable(str(error)) from error
        store, damage = open_file(
            CONTROL_FILE, self._state_dir, boot, now, lost=self._lost, spent=self._spent
        )
        try:
            store.db.execute(f"PRAGMA busy_timeout = {_BUSY_S * 1000:.0f}")
            begins_at = 0.0 if store.renewed_at is None else min(store.renewed_at, now) + QUIET_S
            self._rows = ControlRows(store.db, self._key, begins_at)
        except BaseException:
            store.db.close()
            raise
        if damage and not self._lost:
            aside = self._path.with_name(CONTROL_FILE.aside_name)
            self._tell(f"{self._path} was damaged: {damage}; kept as {aside}")
        self._store = store
        return store

    def _waited(self, since: float) -> float:
        """Wait a little for a file that is being made; tell of one that is held for long."""
        time.sleep(_MADE_S)
        held_s = time.monotonic() - since
        if held_s < _TOLD_AFTER_S:
            return since
        who = holder(self._path)
        self._tell(f"{self._path} has been held by {who} for {held_s:.0f} s: no call can leave")
        return float("inf")  # once is enough

    def _give_up(self, error: Exception) -> None:
        store, self._store = self._store, None
        self._lost = reason(error)
        if store is not None:
            self._spent = store.inode if is_damage(error) else -1
            store.db.close()

    def _close(self) -> None:
        if self._store is not None:
            self._store.db.close()
            self._store = None

    def _tell(self, text: str) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._note, text)

    @property
    def _path(self) -> Path:
        return self._state_dir.absolute() / CONTROL_FILE.name


def _retrieved(done: asyncio.Future[T]) -> None:
    """Keep asyncio from telling of a failed write that nobody waits for any more."""
    if not done.cancelled():
        done.exception()

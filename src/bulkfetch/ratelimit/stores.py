"""Where an account's uses are kept: in the machine's file, else in this process's memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from bulkfetch.ratelimit.database import ASIDE_NAME, Store, Unusable, is_damage, open_file
from bulkfetch.ratelimit.interfaces import RateLimit, WindowEvent
from bulkfetch.ratelimit.ours import this_process
from bulkfetch.ratelimit.rows import Rows


class Stores:
    """The stores of one account, for one window. All times are the clock's, in seconds.

    `ours` is what this process has used of the account, `for_s` the time after which whatever
    others have used is over. `boot` names the boot of the clock.
    """

    def __init__(
        self,
        settings: RateLimit,
        account_key: str,
        clock: Callable[[], float],
        boot: str = "",
        state_dir: Path | None = None,
    ) -> None:
        self.settings = settings
        self.account_key = account_key
        self.clock = clock
        self.for_s = settings.refill_s + settings.grace_s
        self._boot = boot
        self._state_dir = state_dir
        self._process = this_process(clock)
        self.ours = self._process.ours(account_key)
        self.ours.keep(self.for_s)
        self._changed_at = -math.inf

    def file(self, *, lost: str = "", spent: int | None = None) -> tuple[Store, str]:
        """Open the machine's file; see `database.open_file`.

        One that has taken the place of another keeps the account closed: nobody knows what was
        used up to then.
        """
        if self._state_dir is None:
            raise Unusable("there is no state directory")
        now = self.clock()
        store, why = open_file(self._state_dir, self._boot, now, lost=lost, spent=spent)
        if store.renewed_at is not None:
            # Not further ahead than can be: the file may have been written by anybody.
            self._close_until(min(store.renewed_at, now) + self.for_s)
        return store, why

    def memory(self) -> Store:
        """Give the store of this process. The first time the account is closed for a period."""
        with self.ours.lock:
            if not self.ours.in_memory:
                self.ours.in_memory = True
                self._close_until(self.clock() + self.for_s)
        return self._process.memory()

    @property
    def closed_s(self) -> float:
        """For how long nothing may leave, from now."""
        return max(0.0, self.ours.closed_until - self.clock())

    def rows(self, store: Store, owner: int, lease_s: float) -> Rows:
        """Give the account's rows in a store. Raises sqlite3.Error."""
        with store.lock:
            return Rows(store.db, self.account_key, owner, self.settings, lease_s)

    def another(self, old: Store, error: Exception) -> tuple[Store, WindowEvent]:
        """Give a store for one that has failed, and the news: a new file, else memory.

        A file is not tried again within a period: then it is the disk that damages it. Raises what
        says that the file is busy.
        """
        removed = isinstance(error, FileNotFoundError)
        why = f"{old.path}: {'it was removed' if removed else _reason(error)}"
        now = self.clock()
        if (removed or is_damage(error)) and now >= self._changed_at + self.for_s:
            try:
                store, _ = self.file(lost=_reason(error), spent=old.inode)
            except Unusable as unusable:
                why = str(unusable)
            else:
                self._close_until(now + self.for_s)
                return store, renewed(why, self.for_s)
        store = self.memory()
        self._close_until(now + self.for_s)
        return store, fallback(why, self.for_s)

    def carry(
        self, old: Store, new: Store, owner: int, lease_s: float
    ) -> tuple[Rows, dict[int, int]]:
        """Copy a window's uses to another store; give its rows, and the new number of each use.

        Raises sqlite3.Error, having done nothing.
        """
        now = self.clock()
        numbers = {}
        with self.ours.lock, new.lock:
            uses = self.ours.of(old.place, owner)
            new.db.execute("BEGIN IMMEDIATE")
            try:
                rows = Rows(new.db, self.account_key, owner, self.settings, lease_s)
                for number, use in uses.items():
                    if use.at > now - self.settings.refill_s:
                        numbers[number] = rows.copy(use)
                new.db.execute("COMMIT")
            except BaseException:
                new.db.rollback()
                raise
            if new.path is not None:
                self._changed_at = now
            for number, use in uses.items():
                self.ours.drop(old.place, number)
                if number in numbers:
                    self.ours.put(new.place, numbers[number], use, now)
        return rows, numbers

    def _close_until(self, until: float) -> None:
        self.ours.closed_until = max(self.ours.closed_until, until)


def fallback(why: str, for_s: float) -> WindowEvent:
    """Say that the machine's window cannot be used."""
    wait = f", after waiting {for_s:.0f} s" if for_s else ""
    text = (
        f"the machine's window cannot be used ({why}); this process keeps the limit for itself"
        f"{wait}: run no other one for this account"
    )
    return WindowEvent("fallback", text, for_s=for_s)


def renewed(why: str, for_s: float) -> WindowEvent:
    """Say that the machine's window had to begin anew."""
    text = (
        f"the machine's window was lost ({why}); a new one takes its place, and nothing leaves for "
        f"{for_s:.0f} s, since what was used before is not known"
    )
    return WindowEvent("fallback", text, for_s=for_s)


def set_aside(state_dir: Path, why: str, for_s: float) -> WindowEvent:
    """Say that the machine's window was found damaged, and what has become of the file."""
    return renewed(f"it was damaged: {why}; kept as {state_dir / ASIDE_NAME}", for_s)


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__

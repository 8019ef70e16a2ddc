"""Which window it is: the machine's, or the process's own where that one cannot be had."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from bulkfetch.clock import boot_id, boottime
from bulkfetch.config.state_dir import state_dir as default_state_dir
from bulkfetch.ratelimit.database import FILE_NAME, Busy, Unusable, is_busy
from bulkfetch.ratelimit.holder import holder
from bulkfetch.ratelimit.interfaces import OnEvent, RateLimit, RateLimiter, ignore
from bulkfetch.ratelimit.limiter import Slot
from bulkfetch.ratelimit.shared import SharedLedger
from bulkfetch.ratelimit.stores import Stores, fallback, set_aside
from bulkfetch.ratelimit.turnstile import Turnstile

# How long to wait for other processes that make or check the file, in seconds, and how often.
_OPEN_S = 5.0
_OPEN_TRY_S = 0.01


class MachineLimiter(Turnstile[Slot]):
    """The window of all processes of this machine, bound to the running loop; see `ledger`."""

    @classmethod
    async def open(
        cls,
        settings: RateLimit,
        account_key: str,
        state_dir: Path,
        *,
        on_event: OnEvent = ignore,
        clock: Callable[[], float] = boottime,
        boot: Callable[[], str] = boot_id,
    ) -> MachineLimiter:
        """Open the window of `account_key`, an opaque name of the account that holds no secret.

        `clock` gives seconds since the boot that `boot` names; both are the same in all processes.
        A damaged file is set aside; the `fallback` event says so, and the new window is closed for
        a period first. Raises Unusable, with the reason. If cancelled: nothing is left open.
        """
        try:
            clock()
            this_boot = boot()
        except OSError as error:
            raise Unusable(str(error)) from error
        stores = Stores(settings, account_key, clock, this_boot, state_dir)
        for _ in range(int(_OPEN_S / _OPEN_TRY_S)):
            try:
                store, damage = stores.file()
                if damage:
                    on_event(set_aside(state_dir, damage, stores.closed_s))
                try:
                    return cls(SharedLedger(stores, store, on_event))
                except BaseException:
                    store.close()
                    raise
            except (sqlite3.Error, Busy) as error:
                if not is_busy(error):
                    raise Unusable(f"{state_dir / FILE_NAME}: {error}") from error
            await asyncio.sleep(_OPEN_TRY_S)
        path = state_dir.absolute() / FILE_NAME
        raise Unusable(f"{path} stays locked by {holder(path)}")


class ProcessLimiter(Turnstile[Slot]):
    """The window that all clients of this process share, bound to the running loop.

    For where the machine's cannot be had. It is the same book, in memory: clients that follow one
    another, or live in other loops and threads, do not begin anew.
    """

    @classmethod
    def open(
        cls,
        settings: RateLimit,
        account_key: str,
        *,
        on_event: OnEvent = ignore,
        clock: Callable[[], float] = boottime,
    ) -> tuple[ProcessLimiter, float]:
        """Open it; the second value is for how long it is closed, in seconds, since others may
        have run just before.
        """
        try:
            clock()
        except OSError:  # in one process any clock will do that nobody can set
            clock = time.monotonic
        stores = Stores(settings, account_key, clock)
        store = stores.memory()
        return cls(SharedLedger(stores, store, on_event)), stores.closed_s


async def open_limiter(
    settings: RateLimit,
    account_key: str,
    state_dir: Path | None,
    *,
    on_event: OnEvent = ignore,
    clock: Callable[[], float] = boottime,
    boot: Callable[[], str] = boot_id,
) -> RateLimiter:
    """Open the machine's window, or where it cannot be had the one of this process.

    `state_dir` is the user's state directory, made if missing; None where there is none. The window
    of the process is closed for a period at first, since others may have run just before; the
    `fallback` event says so and why. For a server that no other client asks, make a SlotLimiter.
    If cancelled: nothing is left open.
    """
    try:
        if state_dir is None:
            raise Unusable(_no_state_dir())
        return await MachineLimiter.open(
            settings, account_key, state_dir, on_event=on_event, clock=clock, boot=boot
        )
    except Unusable as why:
        window, for_s = ProcessLimiter.open(settings, account_key, on_event=on_event, clock=clock)
        on_event(fallback(str(why), for_s))
        return window


def _no_state_dir() -> str:
    if default_state_dir(os.environ) is None:
        return "this user has no state directory; BULKFETCH_STATE_DIR can name one"
    return "the settings say no state directory is to be used"

"""Which window it is: the machine's, or the process's own where that one cannot be had."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

from bulkfetch.clock import boot_id, boottime
from bulkfetch.window.database import Unusable, connect, is_busy, place
from bulkfetch.window.ledger import Ledger, fallback
from bulkfetch.window.slots import Slot, SlotWindow
from bulkfetch.window.terms import OnEvent, Window, WindowSettings, ignore
from bulkfetch.window.turnstile import Turnstile

# How long to wait for other processes that make or check the file, in seconds, and how often.
_OPEN_S = 5.0
_OPEN_TRY_S = 0.01


class MachineWindow(Turnstile[Slot]):
    """The window of all processes of this machine, bound to the running loop; see `ledger`."""

    @classmethod
    async def open(
        cls,
        settings: WindowSettings,
        account_key: str,
        state_dir: Path,
        *,
        on_event: OnEvent = ignore,
        clock: Callable[[], float] = boottime,
        boot: Callable[[], str] = boot_id,
    ) -> MachineWindow:
        """Open the window of `account_key`, an opaque name of the account that holds no secret.

        `clock` gives seconds since the boot that `boot` names; both are the same in all processes.
        Raises Unusable, with the reason. If cancelled: nothing is left open.
        """
        try:
            clock()
            this_boot = boot()
        except OSError as error:
            raise Unusable(str(error)) from error
        path = place(state_dir)
        for _ in range(int(_OPEN_S / _OPEN_TRY_S)):
            try:
                db = connect(path, this_boot)
                try:
                    return cls(Ledger(settings, account_key, path, db, clock, on_event))
                except BaseException:
                    db.close()
                    raise
            except sqlite3.Error as error:
                if not is_busy(error):
                    raise Unusable(f"{path}: {error}") from error
            except OSError as error:
                raise Unusable(f"{path}: {error}") from error
            await asyncio.sleep(_OPEN_TRY_S)
        raise Unusable(f"{path} stays locked by another process")


async def open_window(
    settings: WindowSettings,
    account_key: str,
    state_dir: Path | None,
    *,
    on_event: OnEvent = ignore,
    clock: Callable[[], float] = boottime,
    boot: Callable[[], str] = boot_id,
) -> Window:
    """Open the machine's window, or where it cannot be had the process's own.

    `state_dir` is the user's state directory, made if missing; None where there is none. A window
    of the process's own is closed for a period first, since others may have run just before; the
    `fallback` event says so and why. For a server that no other process asks, make a SlotWindow.
    If cancelled: nothing is left open.
    """
    try:
        if state_dir is None:
            raise Unusable("this user has no state directory")
        return await MachineWindow.open(
            settings, account_key, state_dir, on_event=on_event, clock=clock, boot=boot
        )
    except Unusable as why:
        for_s = settings.refill_s + settings.grace_s
        on_event(fallback(str(why), for_s))
        return SlotWindow(settings, on_event=on_event, closed_s=for_s)

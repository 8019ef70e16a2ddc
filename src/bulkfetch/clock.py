"""The clocks that are read beside the event loop's own, by which all waits go."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boottime() -> float:
    """Return the seconds since boot, including suspend. Raises OSError if there is no such clock.

    It never steps, unlike time.time(), and is the same in all processes, unlike a loop's clock.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    if clock is None:
        raise OSError("this system has no CLOCK_BOOTTIME")
    return time.clock_gettime(clock)


def boot_id() -> str:
    """Return the id of the boot that `boottime` counts from. Raises OSError if there is none."""
    return _BOOT_ID.read_text("ascii").strip()


class Clock(Protocol):
    """What time it is; for programs, mostly tests, whose event loop has a time of its own."""

    def boottime(self) -> float:
        """Return seconds since any moment; never set, and going on while the machine sleeps."""
        ...

    def time(self) -> float:
        """Return seconds since 1970: what dates of servers and the ends of tokens are held to."""
        ...


class MachineClock:
    """The machine's own."""

    boottime = staticmethod(boottime)
    time = staticmethod(time.time)


MACHINE_CLOCK = MachineClock()

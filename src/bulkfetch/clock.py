"""The one clock that all processes of a machine share and nobody can set."""

from __future__ import annotations

import time
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boottime() -> float:
    """Give the seconds since boot, suspend included. Raises OSError where there is no such clock.

    Never steps, unlike time.time(), and is the same in all processes, unlike what a loop may use.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    if clock is None:
        raise OSError("this system has no CLOCK_BOOTTIME")
    return time.clock_gettime(clock)


def boot_id() -> str:
    """Name the boot that `boottime` counts from. Raises OSError where it has no name."""
    return _BOOT_ID.read_text("ascii").strip()

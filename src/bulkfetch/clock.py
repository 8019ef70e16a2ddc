"""The clock that all processes of a machine share and nobody can set."""

from __future__ import annotations

import time
from pathlib import Path

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

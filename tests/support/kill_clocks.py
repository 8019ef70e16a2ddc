"""Clocks that do what clocks should not. Called in a forked program before it does anything."""

from __future__ import annotations

import os
import time
from pathlib import Path

from bulkfetch import clock

DAY_S = 86_400.0
# The program that is "rebooted" starts so many seconds after its boot.
UP_S = 0.2


def step_the_wall_clock() -> None:
    """Set the wall clock a day back and a day forward, by turns, every fifth of a second."""
    real, start = time.time, time.monotonic()

    def stepped() -> float:
        turns = int((time.monotonic() - start) / 0.2)
        return real() + DAY_S * (0, -1, 1, -1)[turns % 4]

    time.time = stepped


def reboot() -> None:
    """Have the machine booted a moment ago, under another boot id."""
    real = time.clock_gettime
    began = real(time.CLOCK_BOOTTIME) - UP_S

    def since_boot(which: int) -> float:
        return real(which) - (began if which == time.CLOCK_BOOTTIME else 0.0)

    time.clock_gettime = since_boot
    name = Path("boot_id")
    name.write_text(f"{os.getpid():08d}-another-boot\n")
    clock._BOOT_ID = name.absolute()

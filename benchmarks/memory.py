"""Holding on to memory that a virtual machine's host would take back.

A host with free page reporting takes what lies free in its guest in blocks of 2 MB, some seconds
after it came free, and gives it again page by page: 10 to 20 microseconds each, 4 s for each GB
that a case puts into the page cache, paid by whoever comes after a pause. What is used up to one
page in each megabyte is never such a block. So a process uses all that is free once, lets all of it
go but every 256th page, and stays until the measurements are over.

It is a program of its own, run as `memory.py BYTES`, for what it is about to let go would count as
the peak of every process started by it.
"""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

DEVICES = Path("/sys/bus/virtio/devices")
# The balloon's device number, and the feature bit of free page reporting (virtio 1.2, 5.5).
BALLOON, REPORTING = "0x0005", 5

# One page kept in as many: a megabyte of pages of 4 KiB, half of what is taken back at the least.
KEPT_ONE_IN = 256
# What is left alone of the free memory: 1/16, so that nobody is short of it meanwhile.
_LEFT_ALONE = 16
_STEP_PAGES = 1 << 16


def is_taken_back(devices: Path = DEVICES) -> bool:
    """Say whether this is a virtual machine whose host takes free memory back."""
    for device in devices.glob("*"):
        try:
            kind, features = (
                (device / name).read_text().strip() for name in ("device", "features")
            )
        except OSError:
            continue
        if kind == BALLOON and features[REPORTING : REPORTING + 1] == "1":
            return True
    return False


@contextmanager
def held(tell: Callable[[str], None]) -> Iterator[None]:
    """Hold on to the free memory of this machine where its host would take it back."""
    if not is_taken_back():
        yield
        return
    free = os.sysconf("SC_AVPHYS_PAGES") * mmap.PAGESIZE
    size = free - free // _LEFT_ALONE
    with subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, str(size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is the harness' to deal with
    ) as holder:
        tell(f"using {size / 1e9:.0f} GB once, so that the host does not take it back meanwhile")
        if not holder.stdout or not holder.stdout.readline():
            tell("that failed: figures will depend on what the host takes back")
        try:
            yield
        finally:
            # It waits for the end of its stdin, which a killed harness gives it too.
            holder.communicate()


def main() -> int:
    """Use so many bytes, let them go but for single pages, say "held", stay until stdin ends."""
    # Where memory is short after all, this process is the one to go.
    Path("/proc/self/oom_score_adj").write_text("1000")
    page = mmap.PAGESIZE
    pages = int(sys.argv[1]) // page
    with mmap.mmap(-1, pages * page, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        for first in range(0, pages, _STEP_PAGES):
            count = min(_STEP_PAGES, pages - first)
            memory[first * page : (first + count) * page : page] = bytes(count)
        for first in range(0, pages, KEPT_ONE_IN):
            if count := min(KEPT_ONE_IN, pages - first) - 1:
                memory.madvise(mmap.MADV_DONTNEED, (first + 1) * page, count * page)
        print("held", flush=True)
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())

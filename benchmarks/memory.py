"""Holding on to memory that a virtual machine's host would take back.

A host with free page reporting takes what lies free in its guest in blocks of 2 MB, some seconds
after it came free, and gives it again page by page: 10 to 20 microseconds each, 2 to 5 s for each
GB that a case puts into the page cache, paid by whoever comes after a pause. Memory with a page in
use in each such block has none that is free. So a process uses all that is free once, lets it go
but for single pages, and stays until the measurements are over. The pages it keeps are also in
pipes: the kernel would otherwise move them together within minutes, to make blocks free.

It is a program of its own, run as `memory.py BYTES`, for what it is about to let go would count as
the peak of every process started by it.
"""

from __future__ import annotations

import ctypes
import fcntl
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

# One page kept in as many: a block of 2 MB has 512 of them.
KEPT_ONE_IN = 384
# What a pipe holds at most, in pages; of one user 16,384 in all (pipe(7)), root more.
_PIPE_PAGES = 256
# What is left alone of the free memory: 1/16, so that nobody is short of it meanwhile.
_LEFT_ALONE = 16
_STEP_PAGES = 1 << 16
_NONBLOCK = 2  # SPLICE_F_NONBLOCK, splice(2)


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


class _Piece(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("address", ctypes.c_void_p), ("bytes", ctypes.c_size_t))


def main() -> int:
    """Use so many bytes, let them go but for single pages, say "held", stay until stdin ends."""
    # Where memory is short after all, this process is the one to go.
    Path("/proc/self/oom_score_adj").write_text("1000")
    page = mmap.PAGESIZE
    pages = int(sys.argv[1]) // page
    memory = mmap.mmap(-1, pages * page, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    for first in range(0, pages, _STEP_PAGES):
        count = min(_STEP_PAGES, pages - first)
        memory[first * page : (first + count) * page : page] = bytes(count)
    kept = range(0, pages, KEPT_ONE_IN)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    try:
        for first in range(0, len(kept), _PIPE_PAGES):
            _pin([address + number * page for number in kept[first : first + _PIPE_PAGES]])
    except OSError as error:
        print(f"only some of the pages are kept in place: {error}", file=sys.stderr)
    for number in kept:
        if count := min(KEPT_ONE_IN, pages - number) - 1:
            memory.madvise(mmap.MADV_DONTNEED, (number + 1) * page, count * page)
    print("held", flush=True)
    sys.stdin.read()
    return 0


def _pin(addresses: list[int]) -> None:
    """Have pages stay where they are, as what lies in a pipe does. Raises OSError."""
    _, end = os.pipe()  # never read, and open until this process ends
    fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, _PIPE_PAGES * mmap.PAGESIZE)
    pieces = (_Piece * len(addresses))(*(_Piece(each, mmap.PAGESIZE) for each in addresses))
    put = ctypes.CDLL(None, use_errno=True).vmsplice(end, pieces, len(pieces), _NONBLOCK)
    if put != len(pieces) * mmap.PAGESIZE:
        raise OSError(ctypes.get_errno(), "vmsplice")


if __name__ == "__main__":
    sys.exit(main())

"""How the C library of this process keeps memory: a matter of the program, not of the library."""

from __future__ import annotations

import sys

# glibc gives blocks of 128 KiB and more back to the system at once and maps them anew: with bodies
# read in such blocks a sixth of the time goes into page faults (21,000 against 3,200 for 500 MB,
# benchmarks/README.md). Blocks below the first bound are kept for the next one instead, as long as
# no more than the second lies idle.
_KEEP_BELOW_BYTES = 4 << 20
_KEEP_IDLE_BYTES = 32 << 20
# mallopt(3)
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def keep_big_blocks() -> None:
    """Have malloc keep big blocks for reuse. Does nothing where the C library is not glibc."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(_M_MMAP_THRESHOLD, _KEEP_BELOW_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEEP_IDLE_BYTES)

"""How this process keeps memory, and how it ends: matters of the program, not of the library."""

from __future__ import annotations

import gc
import os
import sys
from typing import NoReturn

# glibc gives blocks of 128 KiB and more back to the system at once and maps them anew: pieces of
# archives and bodies in such blocks cost a page fault for each 4 KiB (benchmarks/README.md). Blocks
# below the first bound are kept for the next one instead, as long as no more than the second lies
# idle.
_KEEP_BELOW_BYTES = 1 << 20
_KEEP_IDLE_BYTES = 4 << 20
# Threads have pools of their own, up to eight per core, that keep what they have freed; two do.
_POOLS = 2
# New objects between two looks for cycles. Python's own 700 has it look hundreds of times while
# modules are imported, which make no cycles: a tenth of the start.
_COLLECT_EVERY = 50_000
# mallopt(3)
_M_ARENA_MAX = -8
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def collect_rarely() -> None:
    """Have Python look for cycles of objects less often; of use from before the imports on."""
    gc.set_threshold(_COLLECT_EVERY, 20, 20)


def end_quickly() -> None:
    """Spare Python its last looks for cycles: an eighth of a short run. For a process that ends."""
    gc.freeze()


def end_now(status: int) -> NoReturn:
    """End the process without a look at its threads, which Python would wait for."""
    os._exit(status)


def keep_big_blocks() -> None:
    """Have malloc keep big blocks for reuse, in few pools.

    Does nothing where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(_M_MMAP_THRESHOLD, _KEEP_BELOW_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEEP_IDLE_BYTES)
        mallopt(_M_ARENA_MAX, _POOLS)

"""What a system may withhold from a process: sizes, descriptors, rights, and a disk with room."""

from __future__ import annotations

import ctypes
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# prctl(2) and capabilities(7).
_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
_PRCTL = ctypes.CDLL(None).prctl


def at_most(what: int, count: int) -> Callable[[], None]:
    """Give what Popen calls in the child to bound a resource (`resource.RLIMIT_…`)."""
    return lambda: resource.setrlimit(what, (count, count))


def bound_by_permissions() -> None:
    """Have permissions hold for the program about to be executed, even where it is root's."""
    for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
        # Fails for whoever is not root, and then needs not be done.
        _PRCTL(_PR_CAPBSET_DROP, capability, 0, 0, 0)


class Disk:
    """A file system in memory with an end; `folder` is where it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resize(self, mebibytes: int) -> None:
        """Make room, or take it."""
        options = f"remount,size={mebibytes}m"
        subprocess.run(["mount", "-o", options, str(self.folder)], check=True)


@contextmanager
def disk(folder: Path, mebibytes: int) -> Iterator[Disk | None]:
    """Mount a small disk on a new folder; None where this process may not."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "bulkfetch-test", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        yield None
        return
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)

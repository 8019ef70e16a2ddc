"""No orphans: a process that ends when the one that started it is gone, killed or not.

A shell waits at a pipe that only the owner can write to. When the owner is gone the kernel closes
it, and the shell sends the process a signal. A signal that the kernel sends for the death of a
parent (PR_SET_PDEATHSIG) would do less: it comes when the *thread* ends that started the process.
"""

from __future__ import annotations

import signal
import subprocess

# A line is the owner's word that the process has ended; without it the pipe's end is the owner's.
_SCRIPT = 'read -r ended || kill -s "$1" "$2"'


class OwnerWatch:
    """Sends `number` to the process `pid` when this process is gone; `end` it when that has ended.

    `user` is whose process it is, None where it is this one's user's. Blocking.
    """

    def __init__(self, pid: int, number: signal.Signals, *, user: str | None = None) -> None:
        """Watch from now on. Raises OSError where no shell can be started."""
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "sh", number.name.removeprefix("SIG"), str(pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=user,
            cwd="/",
            start_new_session=True,  # Ctrl-C is for the owner
        )

    def end(self) -> None:
        """Watch no more; the process has ended, and its number may be another's."""
        self._shell.communicate(b"\n")

"""A terminal of a test's own."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Callable
from typing import Any

from tests.support.programs import Program

COLUMNS = 120


class Terminal:
    """A pseudo-terminal with a program in it, which has it as stdin, stdout and stderr."""

    def __init__(
        self, program: Program, *arguments: str, columns: int = COLUMNS, **streams: Any
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        own = dict.fromkeys(("stdin", "stdout", "stderr"), slave)
        # A session of its own with the terminal as its controlling one: as from a login shell.
        self.process: subprocess.Popen[bytes] = program.start(
            *arguments,
            **(own | streams),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(2, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.text = ""

    def read_while(self, unready: Callable[[str], bool]) -> None:
        """Read as long as what has been shown is unready. Raises EOFError when it stays so."""
        while unready(self.text):
            if not self._read():
                raise EOFError(f"it ended before it was ready: {self.text!r}")

    def read_until(self, words: str) -> None:
        """Read until these words have been shown. Raises EOFError when they never are."""
        self.read_while(lambda text: words not in text)

    def read_all(self) -> int:
        """Read to the end, and give the exit status."""
        while self._read():
            pass
        return self.process.wait(timeout=60)

    def type(self, keys: str) -> None:
        """Type something; \\x03 is Ctrl-C."""
        os.write(self._master, keys.encode())

    def close(self) -> None:
        """Close the window: the programs in it get SIGHUP."""
        os.close(self._master)

    def _read(self) -> bool:
        try:
            got = os.read(self._master, 65536)
        except OSError:  # EIO: nobody has the other side open any more
            return False
        self.text += got.decode()
        return bool(got)

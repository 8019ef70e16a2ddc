"""A function in a process of its own, forked off this one, that is cut at a step."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.support.kill_steps import Cut, Steps, install


class Forked(NamedTuple):
    """How a child ended, negative for a signal's number, and the steps it took."""

    status: int
    steps: list[str]


def forked(act: Callable[[], object], root: Path, at: int = 0, cut: Cut = "die") -> Forked:
    """Call `act` in a child, cut at step `at` below `root`; status 1 if it raised."""
    with tempfile.TemporaryFile() as log:
        with warnings.catch_warnings():
            # The child calls no more than `act`, which takes no locks of other threads.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            try:
                install(Steps((str(root),), log.fileno(), at, cut))
                act()
                os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        log.seek(0)
        return Forked(os.waitstatus_to_exitcode(status), log.read().decode().splitlines())

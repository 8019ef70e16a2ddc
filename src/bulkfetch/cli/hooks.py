"""Commands of the user's that are started when a run has ended."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

# A command that takes longer is ended: a timer waits for this process.
HOOK_S = 60.0
_STDERR = 2


class Hooks(NamedTuple):
    """The words of each command, None without one."""

    on_done: tuple[str, ...] | None = None
    on_failure: tuple[str, ...] | None = None

    def due(self, exit_status: int) -> tuple[str, Sequence[str]] | None:
        """Return the option and the command that an exit status calls for, None without one."""
        if exit_status == 0:
            return None if self.on_done is None else ("--on-done", self.on_done)
        return None if self.on_failure is None else ("--on-failure", self.on_failure)


def run_hook(
    option: str, words: Sequence[str], record: Mapping[str, Any], warn: Callable[[str], None]
) -> None:
    """Start a command, give it a record as JSON on stdin, and wait until it ends; blocks.

    It gets the environment of this process as it is, and what it writes goes to stderr. Whatever
    goes wrong is only told with `warn`: a command that cannot be started, fails, takes longer than
    `HOOK_S`, or is interrupted; in the last two cases it is killed with its process group.
    """
    import subprocess  # late: most runs start nothing

    try:
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=_STDERR, stderr=_STDERR, process_group=0
        )
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        warn(f"{option} {words[0]}: {said}")
        return
    with process:
        try:
            process.communicate(json.dumps(record).encode("ascii") + b"\n", timeout=HOOK_S)
        except subprocess.TimeoutExpired:
            warn(f"{option} {words[0]}: ended after {HOOK_S:.0f} s")
        except KeyboardInterrupt:
            warn(f"{option} {words[0]}: interrupted")
        else:
            if process.returncode:
                warn(f"{option} {words[0]}: exit status {process.returncode}")
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

"""Many short-lived programs: a process that has imported everything forks one for each request.

Each child is a process of its own, with its own folder, streams and death; only the half second
that imports take is saved. A child may get its steps counted and cut, and its clocks moved.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
from tests.support.kill_steps import Cut, Steps, install
from tests.support.programs import Ended, Program

_PARTS = [
    "access",
    "cli.app",
    "cli.export",
    "cli.run",
    "cli.runner",
    "cli.verify",
    "client",
    "config.load",
    "exporter.exporter",
    "exporter.handle",
    "exports.metadata",
    "journal.reader",
    "observe.export_words",
    "observe.plain_renderer",
    "pipeline.accounts",
    "wiring",
]


@dataclass(frozen=True)
class Traced:
    """How a program ended, and the steps it took; `status` is negative for a signal's number."""

    ended: Ended
    steps: list[str]


class Zygote:
    """Runs programs one after the other, each forked off one warm process."""

    def __enter__(self) -> Self:
        root = Path(__file__).parents[2]
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{root}:{root / 'src'}"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.kill_zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def run(
        self,
        program: Program,
        arguments: list[str],
        *,
        roots: tuple[Path, ...] = (),
        at: int = 0,
        cut: Cut = "die",
        before: str = "",
        limit_s: int = 60,
    ) -> Traced:
        """Run a program to its end, cut at step `at` below `roots`.

        `before` names a function `module:name` that the child calls first.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {
            "folder": str(program.folder),
            "env": program.environment(),
            "arguments": arguments,
            "roots": [str(root) for root in roots],
            "at": at,
            "cut": cut,
            "before": before,
            "limit_s": limit_s,
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        read = [(program.folder / f"traced.{name}").read_text() for name in ("out", "err", "steps")]
        return Traced(Ended(status, read[0], read[1]), read[2].splitlines())


def _main() -> None:
    _warm_up()
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                _become(request)
            finally:
                os._exit(99)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _warm_up() -> None:
    """Import what programs need, and keep the collector from writing to what is shared."""
    for part in _PARTS:
        importlib.import_module(f"bulkfetch.{part}")
    anyio.run(anyio.sleep, 0)
    gc.collect()
    gc.freeze()


def _become(request: dict[str, object]) -> None:
    os.chdir(str(request["folder"]))
    for number, name in ((0, os.devnull), (1, "traced.out"), (2, "traced.err")):
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(fd, number)
    sys.stdin = os.fdopen(0, closefd=False)
    steps = os.open("traced.steps", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    os.environ.clear()
    env = request["env"]
    assert isinstance(env, dict)
    os.environ.update(env)
    # Who hangs is found dead by SIGALRM.
    signal.alarm(int(str(request["limit_s"])))
    if request["before"]:
        module, _, function = str(request["before"]).partition(":")
        getattr(importlib.import_module(module), function)()
    roots, arguments = request["roots"], request["arguments"]
    assert isinstance(roots, list)
    assert isinstance(arguments, list)
    if roots:
        install(Steps(tuple(roots), steps, int(str(request["at"])), request["cut"]))  # type: ignore[arg-type]
    from bulkfetch.cli import main

    status = main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _main()

"""The program as its users start it: a process with arguments, an environment and three streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

IDS = [f"5540230000005680{number:02}" for number in range(1, 100)]


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    status: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """The lines of stdout as JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Program:
    """bulkfetch in a folder of its own; nothing of the tester's environment reaches it."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    command: tuple[str, ...] = (sys.executable, "-m", "bulkfetch")

    def settings(self, text: str = "", *, account: str = "", sandbox: str = "") -> str:
        """Write jobs.toml for the built-in sandbox with a fast window, and give its name."""
        (self.folder / "jobs.toml").write_text(
            f"{text}\n"
            f'[account]\ndata_center = "sandbox"\n{account}\n'
            "[account.window]\nrequests = 1000\nperiod_s = 1\nmargin_s = 0\n"
            f"[sandbox]\nrecords = 20\nrequests = 100000\n{sandbox}\n"
        )
        return "jobs.toml"

    def start(self, *arguments: str, **streams: Any) -> subprocess.Popen[bytes]:
        """Start it; streams are pipes unless told otherwise."""
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen[bytes](
            [*self.command, *arguments],
            cwd=self.folder,
            env=self.environment(),
            **(pipes | streams),
        )
        self.started.append(process)
        return process

    def close(self) -> None:
        """End what was started and still runs, as a test that failed leaves it."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    with suppress(BrokenPipeError):  # what nobody has read
                        stream.close()

    def run(self, *arguments: str, stdin: str | None = "") -> Ended:
        """Run it to its end with `stdin` as its input."""
        process = self.start(*arguments)
        try:
            out, err = process.communicate((stdin or "").encode(), timeout=60)
        finally:
            process.kill()
        return Ended(process.returncode, out.decode(), err.decode())

    def environment(self) -> dict[str, str]:
        """The whole environment that it gets."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "BULKFETCH_STATE_DIR": str(self.folder / "state"),
            # Sources of this checkout, wherever the folder is.
            "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
            **self.env,
        }

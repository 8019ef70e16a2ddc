"""Every step of a small run cut, one run after the other, each followed by one that must end right.

`python -m tests.support.kill_cuts --cut EIO --jobs 2` prints how each cut ended.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from tests.support.kill_scene import IDS, Scene, Service, service
from tests.support.kill_steps import Cut
from tests.support.kill_zygote import Traced, Zygote

from bulkfetch.sandbox import SandboxOptions

# A window in which nobody waits: these runs are about the disk.
FREE = SandboxOptions(requests=100_000, period_s=1.0, records=20)
_WIDE = "requests = 1000\nperiod_s = 1\nmargin_s = 0\nconcurrency = 1\n"


@dataclass(frozen=True)
class CutRun:
    """A run that was cut at its step `number`, and what it and the next one came to."""

    number: int
    step: str
    first: Traced
    second: Traced
    requests: int


def small_scene(folder: Path, server: Service, jobs: int = 1, account: str = "") -> Scene:
    """Make a scene in which steps follow one another as evenly as can be."""
    state = folder / "state"
    return Scene(folder, server, IDS[:jobs], state, account, window=_WIDE, limits="threads = 1\n")


def steps_of(folder: Path, server: Service, zygote: Zygote, jobs: int = 1) -> list[str]:
    """Name the steps of a run that nothing cuts."""
    scene = small_scene(folder / "whole", server, jobs)
    return zygote.run(scene.program, scene.arguments, roots=(scene.out, scene.state)).steps


def cut_run(
    folder: Path, server: Service, zygote: Zygote, cut: Cut, number: int, jobs: int = 1
) -> CutRun | None:
    """Cut a run at step `number` and finish by another one; check all the rules after each.

    None where the run came to its end before that step.
    """
    scene = small_scene(folder / f"{cut}{number}", server, jobs)
    before = server.asked()
    first = zygote.run(
        scene.program, scene.arguments, roots=(scene.out, scene.state), at=number, cut=cut
    )
    if len(first.steps) < number:
        return None
    scene.check_after_death()
    second = zygote.run(scene.program, scene.arguments)
    scene.check_finished(second.ended)
    asked = (server.asked() - before).total()
    return CutRun(number, first.steps[number - 1], first, second, asked)


@contextmanager
def quick_folder() -> Iterator[Path]:
    """Give a folder in memory where there is one: what is shown is kills, not power cuts."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cut", choices=get_args(Cut), default="die")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    with quick_folder() as folder, service(folder, FREE) as server, Zygote() as zygote:
        for number, _ in enumerate(steps_of(folder, server, zygote, given.jobs), 1):
            run = cut_run(folder, server, zygote, given.cut, number, given.jobs)
            if run is not None:
                lines = run.first.ended.err.splitlines()
                error = next((line for line in lines if "error:" in line), "")
                print(number, run.step, run.first.ended.status, error, run.requests, flush=True)


if __name__ == "__main__":
    _main()

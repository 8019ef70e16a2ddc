"""Kills at random instants, over one list after the other, until so many have died.

Everything that is drawn comes from one seed; what the machine makes of it differs from run to run.
"""

from __future__ import annotations

import random
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.kill_scene import IDS, Scene, Service


@dataclass
class Figures:
    """What a campaign came to. `repeats` are requests for jobs that had been asked for before."""

    kills: int = 0
    survived: int = 0
    lists: int = 0
    jobs: int = 0
    requests: int = 0
    repeats: int = 0
    salvaged: int = 0
    worst: int = 0
    refused: int = 0
    elapsed_s: float = 0.0


def campaign(
    folder: Path, service: Service, *, kills: int, seed: int, jobs: tuple[int, int]
) -> Figures:
    """Kill runs over lists of `jobs` (least, most) until `kills` have died; finish each list.

    After each death everything that can be checked is; AssertionError tells what did not hold.
    """
    dice = random.Random(seed)
    figures = Figures()
    start = time.monotonic()
    while figures.kills < kills:
        ids = dice.sample(IDS, dice.randint(*jobs))
        # All lists share one state directory, and with it one window, as on one machine.
        scene = Scene(folder / f"list{figures.lists}", service, ids, folder / "state")
        figures.lists += 1
        figures.jobs += len(ids)
        before = service.asked()
        while figures.kills < kills and _killed(scene, dice, figures):
            remains = scene.check_after_death()
            figures.salvaged += len(remains.at_home - remains.published)
            _check_window(service)
        scene.check_finished(scene.run())
        asked = service.asked() - before
        assert set(asked) == set(ids)
        figures.repeats += asked.total() - len(ids)
        figures.requests += asked.total()
    _check_window(service)
    figures.worst, figures.refused = service.worst(), service.refused()
    figures.elapsed_s = time.monotonic() - start
    return figures


def _killed(scene: Scene, dice: random.Random, figures: Figures) -> bool:
    """Start a run and kill it after a while; False where it had come to its end before."""
    # A run takes half a second or more to start; the longest lists take half a minute.
    patience_s = dice.uniform(0.0, 1.0) if dice.random() < 0.2 else dice.uniform(0.5, 4.0)
    with scene.start() as process:
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            figures.kills += 1
            return True
    assert process.returncode == 0
    figures.survived += 1
    return False


def _check_window(service: Service) -> None:
    assert service.worst() <= service.options.requests, "more than ten in a window"
    assert service.refused() == 0

"""Three runs of one account, each with a folder of its own, killed and started again at random."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.kill_scene import IDS, Scene, Service

from bulkfetch.sandbox import Arrival

RUNS = 3
# After a kill the dead run's slots are on lease: time to headers (0.5 + 1.5 s) and grace (5 s).
LEASES_S = 7.5


@dataclass
class Quiet:
    """A stretch in which all were alive: seconds, requests, and each run's part of them.

    `throughput` is the share of what the window allows that was used, 0 to 1: its period, by the
    mean time from each request to the tenth after it. A count would depend on where in the window
    the stretch begins.
    """

    seconds: float
    requests: int
    parts: list[int]
    throughput: float


@dataclass
class FleetFigures:
    """What the fleet came to. `worst` is the most arrivals in any rolling period."""

    kills: int = 0
    requests: int = 0
    worst: int = 0
    refused: int = 0
    elapsed_s: float = 0.0
    quiet: list[Quiet] = field(default_factory=list)


class Fleet:
    """Three runs that share a state directory, and with it a window."""

    def __init__(self, folder: Path, service: Service, window: str, jobs: int, seed: int) -> None:
        self._service = service
        self._dice = random.Random(seed)
        self._scenes = [
            Scene(
                folder / f"run{number}",
                service,
                IDS[number * jobs : (number + 1) * jobs],
                folder / "state",
                window=window,
            )
            for number in range(RUNS)
        ]
        self._alive: dict[int, subprocess.Popen[bytes]] = {}
        self.figures = FleetFigures()

    def __enter__(self) -> Fleet:
        self.figures.elapsed_s = -time.monotonic()
        for number in range(RUNS):
            self._alive[number] = self._scenes[number].start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._alive.values():
            process.kill()
            process.wait()

    def kill(self, kills: int, pause_s: tuple[float, float]) -> None:
        """Kill one of them and start it again, so many times."""
        for _ in range(kills):
            time.sleep(self._dice.uniform(*pause_s))
            number = self._dice.randrange(RUNS)
            victim = self._alive[number]
            assert victim.poll() is None, "a list came to its end too early"
            victim.kill()
            victim.wait()
            self.figures.kills += 1
            self._scenes[number].check_after_death()
            self._alive[number] = self._scenes[number].start()

    def rest(self, seconds: float) -> Quiet:
        """Let all of them work, and count what arrives."""
        start = time.clock_gettime(time.CLOCK_BOOTTIME)
        time.sleep(seconds)
        assert all(process.poll() is None for process in self._alive.values())
        end = time.clock_gettime(time.CLOCK_BOOTTIME)
        seen = [each for each in self._service.arrivals() if start <= each.boot_s < end]
        options = self._service.options
        stamps = [each.boot_s for each in seen]
        spans = [b - a for a, b in zip(stamps, stamps[options.requests :], strict=False)]
        throughput = options.period_s * len(spans) / sum(spans)
        quiet = Quiet(end - start, len(seen), self._parts(seen), throughput)
        self.figures.quiet.append(quiet)
        return quiet

    def finish(self) -> FleetFigures:
        """Wait for the lists, run each once more, and check everything."""
        for process in self._alive.values():
            assert process.wait() == 0
        return self.check(finished=True)

    def check(self, *, finished: bool = False) -> FleetFigures:
        """Check what must hold when none of them is alive."""
        for scene in self._scenes:
            if finished:
                scene.check_finished(scene.run())
            else:
                scene.check_after_death()
        figures, service = self.figures, self._service
        figures.requests = len(service.arrivals())
        figures.worst, figures.refused = service.worst(service.options.period_s), service.refused()
        figures.elapsed_s += time.monotonic()
        assert figures.worst <= service.options.requests, "more than ten in a window"
        assert figures.refused == 0
        return figures

    def _parts(self, seen: list[Arrival]) -> list[int]:
        owner = {job: number for number, scene in enumerate(self._scenes) for job in scene.ids}
        counts = Counter(owner[str(each.job_id)] for each in seen)
        return [counts[number] for number in range(RUNS)]

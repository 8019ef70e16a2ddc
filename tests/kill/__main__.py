"""The long forms: `python -m tests.kill --kills 200`, `python -m tests.kill --fleet-s 300`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.kill_fleet import LEASES_S, Fleet, FleetFigures
from tests.support.kill_harness import Figures, campaign
from tests.support.kill_scene import OPTIONS, service


def _kills(folder: Path, kills: int, seed: int, jobs: tuple[int, int]) -> Figures:
    with service(folder) as server:
        return campaign(folder, server, kills=kills, seed=seed, jobs=jobs)


def _fleet(folder: Path, seconds: float, seed: int) -> FleetFigures:
    """Zoho's window at a twentieth: ten in three seconds, and a sixtieth of it as the margin."""
    window = "requests = 10\nperiod_s = 3\nmargin_s = 0.05\n"
    options = replace(OPTIONS, period_s=3.0, lockout_s=3.0, latency_s=(0.0, 0.005))
    with (
        service(folder, options) as server,
        Fleet(folder, server, window, jobs=900, seed=seed) as fleet,
    ):
        for _ in range(max(1, round(seconds / 60))):
            fleet.kill(10, (0.2, 4.5))
            fleet.rest(LEASES_S)
            fleet.figures.quiet.pop()  # the leases of the dead end only now
            fleet.rest(30.0)
    return fleet.check()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.kill", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--jobs", type=int, nargs=2, default=(50, 500), metavar=("LEAST", "MOST"))
    parser.add_argument("--fleet-s", type=float, help="three runs of one account instead")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        if given.fleet_s:
            print(json.dumps(asdict(_fleet(folder, given.fleet_s, given.seed)), indent=2))
        else:
            figures = _kills(folder, given.kills, given.seed, tuple(given.jobs))
            print(json.dumps(asdict(figures), indent=2))


if __name__ == "__main__":
    main()

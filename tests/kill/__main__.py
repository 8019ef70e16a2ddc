"""The long form of the kill harness: `python -m tests.kill --kills 200`. Prints its figures."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.kill_harness import campaign
from tests.support.kill_scene import service


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.kill", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, nargs=2, default=(50, 500), metavar=("LEAST", "MOST"))
    given = parser.parse_args()
    with TemporaryDirectory() as name, service(Path(name)) as server:
        figures = campaign(
            Path(name), server, kills=given.kills, seed=given.seed, jobs=tuple(given.jobs)
        )
    print(json.dumps(asdict(figures)))


if __name__ == "__main__":
    main()

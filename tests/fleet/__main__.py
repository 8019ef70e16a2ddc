"""Chaos by hand, at length: `python -m tests.fleet --seeds 4 --kills 12 --period 15`."""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import fields, replace
from pathlib import Path

from tests.support.fleet_chaos import Chaos, wreak
from tests.support.postgres import PostgresServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fleet", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="how often, each time differently")
    parser.add_argument("--first-seed", type=int, default=0)
    numbers = [each for each in fields(Chaos) if isinstance(each.default, int | float)]
    for each in numbers:
        option = f"--{each.name.replace('_', '-')}"
        parser.add_argument(option, type=type(each.default), default=each.default)
    given = parser.parse_args()
    chaos = replace(Chaos(), **{each.name: getattr(given, each.name) for each in numbers})
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        postgres = PostgresServer(Path(folder))
        try:
            for seed in range(given.first_seed, given.first_seed + given.seeds):
                postgres.sql(f"CREATE DATABASE seed{seed}")
                with tempfile.TemporaryDirectory(prefix="fleet-") as scene:
                    figures = wreak(chaos, Path(scene), postgres, f"seed{seed}", seed)
                print(f"seed {seed}: {figures}", flush=True)
        finally:
            postgres.stop("immediate")


if __name__ == "__main__":
    os.umask(0o022)
    main()

"""Chaos for a fleet: workers are killed at random, and the database crashes in the middle."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.fleet_scene import FleetFigures, fleet_scene, ids_of
from tests.support.postgres import PostgresServer


@dataclass(frozen=True)
class Chaos:
    """How much: times in seconds, `pause_s` between kills, `away_s` for which the database is."""

    accounts: int = 20
    jobs: int = 20
    workers: int = 3
    kills: int = 6
    period_s: float = 3.0
    pause_s: tuple[float, float] = (0.5, 2.0)
    away_s: tuple[float, float] = (0.5, 2.0)
    heartbeat_s: float = 3.0
    within_s: float = 60.0


def wreak(
    chaos: Chaos, folder: Path, postgres: PostgresServer, database: str, seed: int
) -> FleetFigures:
    """Have a fleet do its work in spite of it all; check that it has, and return the figures."""
    dice = random.Random(seed)
    with fleet_scene(
        folder,
        postgres,
        database,
        accounts=chaos.accounts,
        period_s=chaos.period_s,
        heartbeat_s=chaos.heartbeat_s,
        turn_s=3 * chaos.period_s,
        accounts_at_once=chaos.accounts,
        headers_s=3.0,
    ) as scene:
        scene.submit({name: ids_of(at, chaos.jobs) for at, name in enumerate(scene.accounts)})
        for host in range(chaos.workers):
            scene.start(host)
        scene.wait(chaos.within_s, until=1)
        for kill in range(chaos.kills):
            time.sleep(dice.uniform(*chaos.pause_s))
            victim = dice.randrange(chaos.workers)
            scene.kill(victim)
            if kill == chaos.kills // 2:
                postgres.stop("immediate")
                time.sleep(dice.uniform(*chaos.away_s))
                postgres.start()
            time.sleep(dice.uniform(0, chaos.pause_s[0]))
            scene.start(victim)
        scene.wait(chaos.within_s)
        figures = scene.check()
        for host in range(chaos.workers):
            scene.term(host)
        return figures

"""Chaos for a fleet: workers are killed at random, and the database crashes in the middle."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.fleet_exports import EXPORTS, NAMES, creates, ended, published, wait_for
from tests.support.fleet_scene import FleetFigures, fleet_scene, ids_of
from tests.support.postgres import PostgresServer


@dataclass(frozen=True)
class Chaos:
    """How much: times in seconds, `pause_s` between kills, `away_s` for which the database is.

    `exports`: so many of each account, beside its jobs, of the two that there are.
    """

    accounts: int = 20
    jobs: int = 20
    exports: int = 0
    workers: int = 3
    kills: int = 6
    period_s: float = 3.0
    pause_s: tuple[float, float] = (0.5, 2.0)
    away_s: tuple[float, float] = (0.5, 2.0)
    heartbeat_s: float = 3.0
    within_s: float = 300.0


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
        exports=EXPORTS,
        org={"per_page": 8, "prepare_s": 1.0},
    ) as scene:
        asked = [f"{name}/{each}" for each in NAMES[: chaos.exports] for name in scene.accounts]
        if asked:
            scene.submit_exports(*asked)
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
        wait_for(scene, lambda: set(ended(scene).values()) <= {"1"}, chaos.within_s)
        figures = scene.check()
        for place in asked:
            pages = len(published(scene.bucket.objects, place))
            assert pages <= creates(scene, *place.split("/")) <= pages + chaos.kills, place
        for host in range(chaos.workers):
            scene.term(host)
        return figures

"""Workers of a fleet whose database is out of reach, crashes, or has its clock set.

Each takes some ten seconds in which nothing else should be heavy, so they are run by hand.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from tests.support.cut_line import cut_line
from tests.support.fleet_scene import fleet_scene, ids_of
from tests.support.fleet_worker import WITHOUT_GENERATIONS, WITHOUT_GUARD
from tests.support.postgres import FAKETIME, PostgresServer, postgres_with_a_clock

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("BULKFETCH_LONG" not in os.environ, reason="BULKFETCH_LONG=1 is not set"),
]


@pytest.mark.parametrize("checked", [True, False])
def test_a_worker_that_is_cut_off_asks_for_nothing_more_when_it_is_back(
    tmp_path: Path, postgres: PostgresServer, database: str, *, checked: bool
) -> None:
    """Nor where the database crashes meanwhile. Without the generation it would go on."""
    with (
        cut_line(postgres.folder) as line,
        fleet_scene(tmp_path, postgres, database, accounts=4, period_s=2.0, heartbeat_s=2) as scene,
    ):
        scene.ways[0] = line.url(database)
        scene.submit({name: ids_of(at, 40) for at, name in enumerate(scene.accounts)})
        scene.start(0, *([] if checked else [WITHOUT_GENERATIONS]))
        scene.wait(30, until=40)
        line.cut()
        scene.start(1)
        while "host0" in scene.sql("SELECT DISTINCT worker FROM bulkfetch.fleet_account"):
            time.sleep(0.1)
        postgres.stop("immediate")
        postgres.start()
        time.sleep(1)
        line.mend()
        scene.wait(40)
        figures = scene.check()
        # What it had asked for when it was cut off is asked for again, ten of an account at most.
        assert (figures.repeats <= 10 * len(scene.accounts)) == checked, figures


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")
@pytest.mark.parametrize("guarded", [True, False])
def test_a_clock_that_is_set_forward_opens_no_window(tmp_path: Path, *, guarded: bool) -> None:
    """Of the database, while one worker takes over from another that has died.

    Without the guard all slots of the dead one would look free to it.
    """
    newest = "SELECT DISTINCT worker FROM bulkfetch.fleet_account"
    with (
        postgres_with_a_clock() as (postgres, set_ahead),
        fleet_scene(
            tmp_path, postgres, "postgres", accounts=4, heartbeat_s=4, headers_s=2.0
        ) as scene,
    ):
        for host in range(2):
            scene.start(host, *([] if guarded else [WITHOUT_GUARD]))
        for host in range(2):
            scene.wait_until_it_works(host)
        scene.submit({name: ids_of(at, 40) for at, name in enumerate(scene.accounts)})
        scene.wait(30, until=40)
        victim = int(scene.sql(f"{newest} LIMIT 1").removeprefix("host"))
        scene.kill(victim)
        set_ahead(scene.period_s + 2)
        while f"host{victim}" in scene.sql(newest):
            time.sleep(0.1)
        time.sleep(scene.period_s)
        figures = scene.figures()
        assert (figures.worst <= 10) == guarded, figures

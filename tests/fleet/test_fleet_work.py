"""Workers of a fleet, as processes: what they fetch, and what becomes of it when they die."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from tests.support.fleet_scene import fleet_scene, ids_of
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.slow


def test_two_workers_do_what_was_submitted_once(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    """Each job is asked for once, is in the store, and the journal says so; staging is empty."""
    with fleet_scene(
        tmp_path, postgres, database, accounts=6, heartbeat_s=4, accounts_at_once=4
    ) as scene:
        scene.submit({name: ids_of(at, 12) for at, name in enumerate(scene.accounts)})
        for host in (0, 1):
            scene.start(host)
        scene.wait(40)
        figures = scene.check()
        print(figures)
        assert figures.repeats == 0
        for host in (0, 1):
            assert scene.term(host) < 10
            assert [path.name for path in (tmp_path / f"host{host}").iterdir()] == [".bulkfetch"]


def test_workers_that_are_told_to_stop_leave_their_turns_to_the_others(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    """A rolling restart of all: each ends within ten seconds, and no result is asked for twice."""
    turns = "SELECT status, count(*) FROM bulkfetch.pgqueuer WHERE entrypoint = 'turn' GROUP BY 1"
    with fleet_scene(
        tmp_path, postgres, database, accounts=8, latency_s=(0.0, 0.4), heartbeat_s=60
    ) as scene:
        scene.submit({name: ids_of(at, 30) for at, name in enumerate(scene.accounts)})
        for host in range(3):
            scene.start(host)
        scene.wait(30, until=20)
        for host in range(3):
            assert scene.term(host) < 10, scene.log(host)
            if host < 2:
                scene.start(host)
        for host in range(2):
            assert scene.term(host) < 10, scene.log(host)
        assert scene.sql(turns) == f"queued|{len(scene.accounts)}"
        assert scene.figures().done == scene.figures().requests < scene.figures().jobs
        for host in range(3):
            scene.start(host)
        scene.wait(40)
        assert scene.check().repeats == 0
        held = "SELECT count(*) FROM bulkfetch.fleet_account WHERE crashes > 0 OR held IS NOT NULL"
        assert scene.sql(held) == "0"


@pytest.mark.parametrize("checked", [True, False])
def test_a_worker_that_wakes_up_asks_for_nothing_more(
    tmp_path: Path, postgres: PostgresServer, database: str, *, checked: bool
) -> None:
    """Others have its accounts by then. Without the generation it would go on beside them."""
    with fleet_scene(
        tmp_path, postgres, database, accounts=6, heartbeat_s=2, accounts_at_once=6
    ) as scene:
        scene.submit({name: ids_of(at, 40) for at, name in enumerate(scene.accounts)})
        scene.start(0, generations=checked)
        scene.wait(30, until=60)
        scene.hosts[0].send_signal(signal.SIGSTOP)
        scene.start(1)
        while "host0" in scene.sql("SELECT DISTINCT worker FROM bulkfetch.fleet_account"):
            time.sleep(0.1)
        time.sleep(1)
        scene.hosts[0].send_signal(signal.SIGCONT)
        scene.wait(40)
        figures = scene.check()
        print(checked, figures)
        in_flight = 10 * len(scene.accounts)
        assert (figures.repeats <= in_flight) == checked, figures

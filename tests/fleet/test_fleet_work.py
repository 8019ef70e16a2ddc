"""Workers of a fleet, as processes: what they fetch, and what becomes of it when they die."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.fleet_chaos import Chaos, wreak
from tests.support.fleet_scene import fleet_scene, ids_of
from tests.support.fleet_worker import WITHOUT_GENERATIONS
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.slow


def test_workers_that_are_told_to_stop_leave_their_turns_to_the_others(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    """A rolling restart of all: each ends within ten seconds, and no result is asked for twice.

    When all is done, nothing of an account is left on a host.
    """
    turns = "SELECT status, count(*) FROM bulkfetch.pgqueuer WHERE entrypoint = 'turn' GROUP BY 1"
    with fleet_scene(
        tmp_path, postgres, database, accounts=6, latency_s=(0.0, 0.3), heartbeat_s=60
    ) as scene:
        scene.submit({name: ids_of(at, 40) for at, name in enumerate(scene.accounts)})
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
        for host in range(3):
            scene.term(host)
            assert [path.name for path in (tmp_path / f"host{host}").iterdir()] == [".bulkfetch"]
        held = "SELECT count(*) FROM bulkfetch.fleet_account WHERE crashes > 0 OR held IS NOT NULL"
        assert scene.sql(held) == "0"


@pytest.mark.parametrize("checked", [True, False])
def test_a_worker_that_wakes_up_asks_for_nothing_more(
    tmp_path: Path, postgres: PostgresServer, database: str, *, checked: bool
) -> None:
    """Others have its accounts by then. Without the generation it would go on beside them."""
    with fleet_scene(
        tmp_path, postgres, database, accounts=4, period_s=2.0, heartbeat_s=2
    ) as scene:
        scene.submit({name: ids_of(at, 40) for at, name in enumerate(scene.accounts)})
        scene.start(0, *([] if checked else [WITHOUT_GENERATIONS]))
        scene.wait(30, until=40)
        scene.hosts[0].send_signal(signal.SIGSTOP)
        scene.start(1)
        while "host0" in scene.sql("SELECT DISTINCT worker FROM bulkfetch.fleet_account"):
            time.sleep(0.1)
        time.sleep(1)
        scene.hosts[0].send_signal(signal.SIGCONT)
        scene.wait(40)
        figures = scene.check()
        # What was on its way when it was frozen is asked for again, ten of an account at most.
        few = 5 * len(scene.accounts)
        assert (figures.repeats <= few) == checked, figures


@pytest.mark.timeout(600)  # a slow machine starts processes slowly
def test_chaos_loses_nothing(tmp_path: Path, postgres: PostgresServer, database: str) -> None:
    """Six workers killed and the database crashed: each result and each export is there.

    No window is overrun.
    """
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}: {wreak(Chaos(jobs=12, exports=1), tmp_path, postgres, database, seed)}")


def test_what_a_dead_worker_had_whole_is_published_without_a_request(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    """When it is started again; and who uses its staging folder beside it is turned away."""
    with fleet_scene(tmp_path, postgres, database, accounts=2, heartbeat_s=60) as scene:
        scene.submit({name: ids_of(at, 5) for at, name in enumerate(scene.accounts)})
        scene.kill_with_whole(0, 10, within_s=30)
        assert scene.done() == 0
        assert scene.figures().requests == 10
        scene.start(0)
        scene.wait(30)
        over = time.monotonic() + 60
        while "a000: 5 jobs of a worker before are done" not in scene.log(0):
            assert time.monotonic() < over, scene.log(0)
            time.sleep(0.05)
        assert scene.check().requests == 10
        second = scene.run(0)
        assert second.status == 3
        assert "error: LOCKED: " in second.err


def test_an_account_that_a_worker_does_not_know_is_left_to_others(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    """It is told once, and its jobs stay; bad credentials hold an account until a new submit."""
    held = "SELECT account, held->>'code' FROM bulkfetch.fleet_account WHERE held IS NOT NULL"
    with fleet_scene(tmp_path, postgres, database, accounts=3, heartbeat_s=5, auth=True) as scene:
        everybody = list(scene.accounts)
        scene.submit({name: ids_of(at, 3) for at, name in enumerate(everybody)})
        scene.accounts.remove("a001")
        scene.tokens["a002"] = "revoked"
        scene.start(0)
        scene.wait(30, until=3)
        while not scene.sql(held) or "a001" not in scene.log(0):
            time.sleep(0.05)
        assert scene.sql(held) == "a002|INVALID_TOKEN"
        assert scene.log(0).count("a001: the settings here do not know it") == 1
        assert "error: a002: held until it is submitted again: " in scene.log(0)
        scene.term(0)
        del scene.tokens["a002"]
        scene.accounts[:] = everybody
        scene.submit({name: ids_of(at, 3) for at, name in enumerate(everybody)})
        assert scene.sql(held) == ""
        scene.start(0)
        scene.wait(30)
        scene.check()


def test_a_worker_tells_how_it_stands(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    """Its probe is red while the database is away; it ends with the worker, and has no secret.

    A window is told of while the worker has a turn of its account.
    """
    with fleet_scene(tmp_path, postgres, database, accounts=2, period_s=60, auth=True) as scene:
        scene.submit({name: ids_of(at, 3) for at, name in enumerate(scene.accounts)})
        scene.start(0, "--listen", "0")
        scene.wait(30)
        found = re.search(r"listens at (http://127\.0\.0\.1:\d+)", scene.log(0))
        assert found is not None
        said: list[str] = []

        def healthz(until: int) -> dict[str, object]:
            over = time.monotonic() + 30
            while True:
                try:
                    with urlopen(f"{found[1]}/healthz", timeout=5) as answer:
                        status, text = answer.status, answer.read().decode()
                except HTTPError as error:
                    status, text = error.code, error.read().decode()
                if status == until:
                    said.append(text)
                    told: dict[str, object] = json.loads(text)
                    return told
                assert time.monotonic() < over, text
                time.sleep(0.05)

        def metrics() -> dict[str, float]:
            with urlopen(f"{found[1]}/metrics", timeout=5) as answer:
                said.append(answer.read().decode())
            families = text_string_to_metric_families(said[-1])
            return {
                one.labels.get("account", "") + one.name: one.value
                for each in families
                for one in each.samples
                if one.labels.keys() <= {"account"}
            }

        assert healthz(200)["worker"] == "host0"
        assert metrics()["bulkfetch_jobs_done_total"] == 6
        postgres.stop("immediate")
        try:
            told = healthz(503)
            assert told["status"] == "away"
            assert str(told["cause"]).startswith("the database has been away for ")
            assert metrics()["bulkfetch_worker_database_away_seconds"] > 0
        finally:
            postgres.start()
        healthz(200)
        assert metrics()["bulkfetch_worker_database_away_seconds"] == 0
        assert "a000bulkfetch_window_slots" not in metrics()
        scene.submit({"a000": ids_of(0, 12)})
        over = time.monotonic() + 30
        while metrics().get("a000bulkfetch_window_free_slots") != 0:
            assert time.monotonic() < over, said[-1]
            time.sleep(0.05)
        assert metrics()["a000bulkfetch_window_slots"] == 10
        assert "a001bulkfetch_window_slots" not in metrics()
        scene.term(0)
        with pytest.raises(URLError, match="refused"):
            urlopen(f"{found[1]}/healthz", timeout=5)
        assert not [each for each in said if "token-" in each or str(tmp_path) in each]


def test_a_worker_without_room_takes_no_turns_from_the_others(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    """It says so once, and its probe is red."""
    turns = "SELECT DISTINCT status FROM bulkfetch.pgqueuer WHERE entrypoint = 'turn'"
    with fleet_scene(tmp_path, postgres, database, accounts=4, heartbeat_s=2) as scene:
        scene.reserves[0] = 10**15
        scene.start(0, "--listen", "0")
        over = time.monotonic() + 30
        while "takes no turns" not in scene.log(0):
            assert time.monotonic() < over, scene.log(0)
            time.sleep(0.05)
        found = re.search(r"listens at (http://127\.0\.0\.1:\d+)", scene.log(0))
        assert found is not None
        with pytest.raises(HTTPError, match="503") as refused:
            urlopen(f"{found[1]}/healthz", timeout=5)
        told = json.loads(refused.value.read())
        assert told["status"] == "full"
        assert f"too little fits into {tmp_path}/host0: " in told["cause"]
        scene.submit({name: ids_of(at, 3) for at, name in enumerate(scene.accounts)})
        time.sleep(1)
        assert scene.sql(turns) == "queued"
        scene.start(1)
        scene.wait(30)
        scene.check()
        assert scene.sql("SELECT DISTINCT worker FROM bulkfetch.fleet_account") == "host1"
        assert scene.log(0).count("error: takes no turns until there is room: too little") == 1
        for host in range(2):
            scene.term(host)


_BREAKING = """
from bulkfetch.fleet.turn import Turn
run = Turn.run
async def breaking(self, only=None):
    if self.account == "a000":
        raise KeyError("what nobody has thought of")
    return await run(self, only)
Turn.run = breaking
"""


def test_a_turn_that_breaks_off_is_told_and_goes_on_later(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    """The other accounts are served meanwhile."""
    turn = "SELECT status, execute_after > now() FROM bulkfetch.pgqueuer WHERE dedupe_key = 'a000'"
    with fleet_scene(tmp_path, postgres, database, accounts=2) as scene:
        (tmp_path / "sitecustomize.py").write_text(_BREAKING)
        scene.submit({name: ids_of(at, 3) for at, name in enumerate(scene.accounts)})
        scene.start(0)
        scene.wait(30, until=3)
        over = time.monotonic() + 30
        while scene.sql(turn) != "queued|t":
            assert time.monotonic() < over, scene.log(0)
            time.sleep(0.05)
        assert "error: a000: its turn has broken off: unexpected KeyError: " in scene.log(0)
        scene.term(0)


# What Python imports at its start: here, in every worker and in the processes that it starts.
_DEADLY = """
import os, signal
from bulkfetch.pipeline.publish import Publisher
stage = Publisher.stage
async def deadly(self, job):
    if job.id == os.environ["DEADLY"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return await stage(self, job)
Publisher.stage = deadly
"""


def test_a_result_at_which_workers_die_fails_alone(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    """After two deaths its account's jobs are done one by one, in a process of their own."""
    outcomes = (
        "SELECT id, outcome->'error'->>'code' FROM bulkfetch.fleet_job WHERE state = 2;"
        "SELECT crashes, suspect IS NULL FROM bulkfetch.fleet_account WHERE account = 'a000'"
    )
    with fleet_scene(tmp_path, postgres, database, accounts=2, heartbeat_s=2) as scene:
        (tmp_path / "sitecustomize.py").write_text(_DEADLY)
        deadly = ids_of(0, 4)[1]
        scene.env["DEADLY"] = deadly
        scene.submit({name: ids_of(at, 4) for at, name in enumerate(scene.accounts)})
        worker, deaths = scene.start(0), 0
        over = time.monotonic() + 90
        while scene.done() < 7:
            assert time.monotonic() < over, scene.log(0)
            if worker.poll() is not None:
                worker, deaths = scene.start(0), deaths + 1
            time.sleep(0.1)
        scene.term(0)
        assert scene.sql(outcomes) == f"{deadly}|POISONED\n0|t"
        # Two turns', and one where the ZIP was whole and was to be published at the next start.
        assert deaths in (2, 3)
        assert "a000: 2 workers in a row have died at it" in scene.log(0)


def test_what_only_waits_for_a_process_is_not_blamed_for_a_death(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    """Of many accounts that are done one by one, a death is laid to the jobs under way alone."""
    under_way = os.cpu_count() or 1
    accounts = under_way + 3
    with fleet_scene(
        tmp_path, postgres, database, accounts=accounts, latency_s=(4.0, 4.0), heartbeat_s=2
    ) as scene:
        scene.submit({name: ids_of(at, 1) for at, name in enumerate(scene.accounts)})
        scene.sql("UPDATE bulkfetch.fleet_account SET crashes = 2")
        scene.start(0)
        over = time.monotonic() + 90
        begun = "SELECT count(*) FROM bulkfetch.fleet_account WHERE crashes = 3"
        while scene.sql(begun) != str(accounts) or len(scene.service.asked()) < under_way:
            assert time.monotonic() < over, scene.log(0)
            time.sleep(0.05)
        scene.kill(0)
        blamed = "SELECT count(*) FROM bulkfetch.fleet_account WHERE suspect IS NOT NULL"
        assert scene.sql(blamed) == str(under_way)

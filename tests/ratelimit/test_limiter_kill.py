"""The shared window in real processes that are killed at random."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.support.postgres import PostgresServer
from tests.support.window_process import SCALED

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def start(store: str, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.window_process", store, folder / "log"], cwd=ROOT
    )


def arrivals(folder: Path) -> list[tuple[float, int]]:
    log = folder / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    return sorted((float(at), int(pid)) for pid, at in map(str.split, lines))


def wait_for(folder: Path, count: int) -> None:
    """Wait until the log holds `count` requests; the test's own time limit ends a hang."""
    while len(arrivals(folder)) < count:
        time.sleep(0.02)


def crowded(counted: list[tuple[float, int]]) -> list[tuple[float, float]]:
    times = [at for at, _ in counted]
    pairs = zip(times, times[10:], strict=False)
    return [(a, b) for a, b in pairs if b - a < SCALED.period_s]


def test_killed_and_restarted_processes_keep_the_promise_together(
    tmp_path: Path, shared_store: str
) -> None:
    """Three processes, one killed and replaced again and again: never an eleventh in a period."""
    dice = random.Random(7)
    running = [start(shared_store, tmp_path) for _ in range(3)]
    try:
        for round_ in range(8):
            wait_for(tmp_path, 5 + 5 * round_)
            victim = running.pop(dice.randrange(3))
            victim.kill()
            victim.wait()
            running.append(start(shared_store, tmp_path))
        wait_for(tmp_path, len(arrivals(tmp_path)) + 10)
    finally:
        for process in running:
            process.kill()
            process.wait()
    counted = arrivals(tmp_path)
    assert len({pid for _, pid in counted}) >= 3
    assert crowded(counted) == []


def test_two_processes_share_about_equally(tmp_path: Path, shared_store: str) -> None:
    """Neither of two equal runs gets much less than half, once both are at work."""
    running = [start(shared_store, tmp_path) for _ in range(2)]
    try:
        while len({pid for _, pid in arrivals(tmp_path)}) < 2:
            time.sleep(0.02)
        begun = len(arrivals(tmp_path))
        wait_for(tmp_path, begun + 50)
    finally:
        for process in running:
            process.kill()
            process.wait()
    counted = arrivals(tmp_path)
    parts = Counter(pid for _, pid in counted[begun : begun + 50])
    assert min(parts.values()) >= 15
    assert crowded(counted) == []


@pytest.mark.timeout(300)  # the server starts four times
def test_killed_hosts_and_a_database_that_crashes_keep_the_promise(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    """Three hosts, one killed each time that the database crashes: never an eleventh."""
    store = postgres.url(database)
    running = [start(store, tmp_path) for _ in range(3)]
    try:
        for _ in range(3):
            wait_for(tmp_path, len(arrivals(tmp_path)) + 15)
            postgres.stop("immediate")
            victim = running.pop(0)
            victim.kill()
            victim.wait()
            postgres.start()
            running.append(start(store, tmp_path))
        wait_for(tmp_path, len(arrivals(tmp_path)) + 15)
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert crowded(arrivals(tmp_path)) == []

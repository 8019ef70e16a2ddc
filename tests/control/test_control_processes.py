"""One budget under real processes, of which some are killed."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.support.control_process import LIMITS, MINUTE_S

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


class Line(NamedTuple):
    at: float
    what: str
    kind: str
    pid: str


def start(store: str, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.control_process", store, folder / "log"], cwd=ROOT
    )


def lines(folder: Path) -> list[Line]:
    log = folder / "log"
    found = [each.split() for each in log.read_text().splitlines()] if log.exists() else []
    return sorted(Line(float(at), what, kind, pid) for what, kind, pid, at in found)


def begins(folder: Path, kind: str | None = None) -> list[Line]:
    return [line for line in lines(folder) if line.what == "begin" and kind in (None, line.kind)]


def wait_for(folder: Path, count: int) -> None:
    """Wait until so many calls began; the test's own time limit ends a hang."""
    while len(begins(folder)) < count:
        time.sleep(0.02)


def most_under_way(found: list[Line], dead: set[str]) -> int:
    """Count the most calls at once; those of a dead process are over with its last line."""
    last = {line.pid: line.at for line in found}
    most = 0
    for now in found:
        open_ = Counter(
            line.pid
            for line in found
            if line.at <= now.at and (line.pid not in dead or last[line.pid] >= now.at)
            for _ in range(line.what == "begin")
        )
        closed = Counter(line.pid for line in found if line.at <= now.at and line.what == "end")
        most = max(most, sum(max(0, open_[pid] - closed[pid]) for pid in open_))
    return most


def test_killed_and_restarted_processes_keep_every_figure_together(
    tmp_path: Path, shared_store: str
) -> None:
    """Creates, polls and places are never more than allowed, and the dead hold up nobody."""
    dice = random.Random(7)
    running, dead = [start(shared_store, tmp_path) for _ in range(3)], set()
    try:
        for round_ in range(6):
            wait_for(tmp_path, 10 + 12 * round_)
            victim = running.pop(dice.randrange(3))
            victim.kill()
            victim.wait()
            dead.add(str(victim.pid))
            running.append(start(shared_store, tmp_path))
        wait_for(tmp_path, len(begins(tmp_path)) + 20)
        while len({line.pid for line in lines(tmp_path)}) < 4:  # some may be slow to start
            time.sleep(0.02)
    finally:
        for process in running:
            process.kill()
            process.wait()
            dead.add(str(process.pid))
    for kind, limit in (
        ("create", LIMITS.creates_per_minute),
        ("status", LIMITS.polls_per_minute),
    ):
        times = [line.at for line in begins(tmp_path, kind)]
        gaps = zip(times, times[limit:], strict=False)
        assert min(later - earlier for earlier, later in gaps) >= MINUTE_S
    assert most_under_way(lines(tmp_path), dead) <= LIMITS.concurrency


def test_two_processes_share_about_equally(tmp_path: Path, shared_store: str) -> None:
    """Neither of two equal ones gets much less than half of the creates."""
    running = [start(shared_store, tmp_path) for _ in range(2)]
    try:
        while len({line.pid for line in begins(tmp_path, "create")}) < 2:
            time.sleep(0.02)
        begun = len(begins(tmp_path, "create"))
        while len(begins(tmp_path, "create")) < begun + 24:
            time.sleep(0.02)
    finally:
        for process in running:
            process.kill()
            process.wait()
    parts = Counter(line.pid for line in begins(tmp_path, "create")[begun : begun + 24])
    assert min(parts.values()) >= 6

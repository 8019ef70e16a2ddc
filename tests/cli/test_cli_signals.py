import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.support.programs import IDS, Program
from tests.support.signals import STOPPING

from bulkfetch.cli.app import _answered_for
from bulkfetch.cli.printer import Printer

# A body that never ends: only a signal ends a run that waits for it.
STALLED = 'faults = { "%s" = ["stall_in_body"] }'


def starts_and_waits(program: Program, *arguments: str, **streams: Any) -> subprocess.Popen[bytes]:
    """Start a run of a list that does not end, and wait for its first result."""
    process = program.start("run", program.settings(), "--ids", "-", *arguments, **streams)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{IDS[0]}\n".encode())
    process.stdin.flush()
    assert process.stdout.readline()
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_first_signal_stops(program: Program, number: signal.Signals) -> None:
    """A signal ends a run that waits for more ids: 130, said, and safe to run again."""
    process = starts_and_waits(program, "--json")
    process.send_signal(number)
    # stdin stays open: the reader of the list is blocked in it, and must not hold up the end.
    assert process.wait(timeout=30) == 130
    assert process.stdout is not None
    assert process.stderr is not None
    summary = json.loads(process.stdout.read().splitlines()[-1])
    assert (summary["interrupted"], summary["list_read"], summary["done"]) == (True, False, 1)
    err = process.stderr.read().decode()
    assert (
        f"{number.name}: finishing transfers in flight; press Ctrl-C again to stop immediately"
        in err
    )
    assert "to continue: " in err
    assert "Traceback" not in err
    assert "Fatal" not in err
    for stream in (process.stdin, process.stdout, process.stderr):
        assert stream is not None
        stream.close()


@pytest.mark.slow
def test_second_signal_stops_at_once(program: Program) -> None:
    """The second Ctrl-C does not wait for a body under way; every job is answered for."""
    settings = program.settings(sandbox=STALLED % IDS[1])
    process = program.start("run", settings, IDS[1], IDS[0], "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    first = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    while b"SIGINT" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)  # timeout(1) sends both at once: still the first stop
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=5)
    assert process.returncode == 130
    assert first["id"] == IDS[0]
    summary = json.loads(out.splitlines()[-1])
    assert (summary["done"], summary["pending"], summary["exit_status"]) == (1, 1, 130)
    assert b"Traceback" not in err
    again = program.run("run", program.settings(), *IDS[:2], "--json")
    assert again.status == 0
    assert (again.records[-1]["done"], again.records[-1]["skipped"]) == (1, 1)


@pytest.mark.slow
def test_ignored_hangup_stays_ignored(program: Program) -> None:
    """Under nohup a run outlives its terminal."""
    process = starts_and_waits(
        program, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    )
    process.send_signal(signal.SIGHUP)
    out, _ = process.communicate(f"{IDS[1]}\n".encode(), timeout=30)
    assert process.returncode == 0
    assert out.decode() == f"exports/{IDS[1]}.csv\n"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_before_the_first_id(program: Program, number: signal.Signals) -> None:
    """A run that waits for its first id has begun nothing, and ends at once."""
    settings = program.settings()
    read, write = os.pipe()
    process = program.start("run", settings, "--ids", "-", "-vv", stdin=read)
    os.close(read)
    # Nothing is printed that early; the handlers are there when the list is opened.
    while not _is_blocked_on_a_lock(process.pid):
        assert process.poll() is None
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    os.close(write)
    assert process.returncode == 130
    assert (out, err) == (b"", b"interrupted\n")
    assert not (program.folder / "exports").exists()


def test_a_signal_between_two_steps_of_a_lock(capfd: pytest.CaptureFixture[str]) -> None:
    """An interrupt that breaks a lock on its way out is an interrupt, not a mistake of ours."""
    lock = threading.Lock()

    def wait() -> None:
        with lock:
            lock.release()  # as threading.Condition does, to wait
            raise KeyboardInterrupt

    def fail() -> None:
        with lock:
            lock.release()

    assert _answered_for(Printer(), wait) == 130
    assert capfd.readouterr().err == "interrupted\n"
    assert _answered_for(Printer(), fail) == 3


def _is_blocked_on_a_lock(pid: int) -> bool:
    """Say whether the process has its second thread, which reads the list."""
    return len(os.listdir(f"/proc/{pid}/task")) > 1


@pytest.mark.slow
def test_a_suite_that_was_started_deaf(tmp_path: Path) -> None:
    """Tests that send signals pass under nohup and in the background, and leave no process."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["tests/cli/test_cli_signals.py", "-k", "first_signal or second_signal"]
    suite = subprocess.Popen(
        [*command, f"--basetemp={tmp_path / 'tests'}"],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=lambda: [signal.signal(number, signal.SIG_IGN) for number in STOPPING],
    )
    with suite:
        try:
            out, _ = suite.communicate(timeout=100)
        finally:
            suite.kill()
    assert suite.returncode == 0, out.decode()
    assert not _alive_in_session(suite.pid)


def _alive_in_session(session: int) -> list[str]:
    """Name the processes of a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append((stat.parent / "cmdline").read_text())
    return found

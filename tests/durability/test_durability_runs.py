"""One run at a time in a folder, and runs that are told to stop in the middle of a large body."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.kill_scene import IDS, Scene, Service, service

from bulkfetch.sandbox import JobSpec, SandboxOptions

pytestmark = pytest.mark.slow

SMALL, LARGE = IDS[:3], IDS[3:5]
# A body of a mebibyte takes half a minute.
SLOW = SandboxOptions(
    requests=100_000,
    period_s=1.0,
    records=20,
    bandwidth_bytes_per_s=30_000,
    jobs=dict.fromkeys(LARGE, JobSpec(payload_bytes=1_000_000, payload_method="deflated")),
)
FREE = "requests = 1000\nperiod_s = 0.5\nmargin_s = 0\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Service]:
    """A sandbox whose large results take half a minute."""
    with service(tmp_path, SLOW) as server:
        yield server


@contextmanager
def under_way(scene: Scene) -> Iterator[subprocess.Popen[bytes]]:
    """Start a run and wait until the small results are published and the large ones come in."""
    with scene.start(stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            for _ in SMALL:
                assert process.stdout.readline()
            while set(scene.service.asked()) != set(scene.ids):
                time.sleep(0.01)
            yield process
        finally:
            process.kill()


def tree(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Say what is in a folder, and when each file was changed last."""
    # Readers leave their marks in SQLite's shared memory; it is not even a file to be kept.
    files = [path for path in folder.rglob("*") if not path.name.endswith("-shm")]
    stats = {str(path.relative_to(folder)): path.stat() for path in files}
    return {name: (stat.st_ino, stat.st_mtime_ns, stat.st_size) for name, stat in stats.items()}


def test_second_run_is_told_who_holds_the_folder(tmp_path: Path, server: Service) -> None:
    """Exit 3 with pid and time, nothing touched, nothing asked; status is not held up."""
    scene = Scene(tmp_path / "a", server, SMALL + LARGE, tmp_path / "state", window=FREE)
    with under_way(scene) as process:
        # Stopped, so that whatever changes was changed by somebody else.
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        before, asked = tree(scene.out), server.asked()
        second = scene.run()
        assert tree(scene.out) == before
        status = scene.program.run("status", "out")
        plan = scene.program.run("plan", "jobs.toml", "--ids", "ids.txt")
        assert tree(scene.out) == before
        assert server.asked() == asked
        process.send_signal(signal.SIGCONT)
    assert second.status == 3
    assert f"error: LOCKED: out is held by pid {process.pid} since 2" in second.err.replace(
        f"{scene.folder}/", ""
    )
    assert "hint: " in second.err
    assert status.status == 0, status.err
    assert plan.status == 0, plan.err
    assert "3 done" in status.out + status.err


def test_large_body_does_not_hold_up_the_end(tmp_path: Path, server: Service) -> None:
    """A run told to stop drops a body that cannot come whole in time; its job stays pending."""
    scene = Scene(tmp_path / "a", server, SMALL + LARGE, tmp_path / "state", window=FREE)
    with under_way(scene) as process:
        process.send_signal(signal.SIGTERM)
        # Ten seconds are promised; a machine that has others to serve may take longer.
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    assert b'"pending": 2' in out.splitlines()[-1]
    assert scene.check_after_death().published == set(SMALL)


def test_second_signal_in_a_large_body_ends_at_once(tmp_path: Path, server: Service) -> None:
    """The second signal waits for nothing, and the journal is right all the same."""
    scene = Scene(tmp_path / "a", server, SMALL + LARGE, tmp_path / "state", window=FREE)
    with under_way(scene) as process:
        assert process.stderr is not None
        process.send_signal(signal.SIGINT)
        while b"SIGINT" not in process.stderr.readline():
            pass
        time.sleep(0.5)  # sooner it would be the same stop
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert b'"pending": 2' in out.splitlines()[-1]
    assert scene.check_after_death().published == set(SMALL)

"""Clocks that step, machines that reboot, programs that are stopped and go on."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support import kill_clocks
from tests.support.kill_scene import IDS, OPTIONS, Scene, service
from tests.support.kill_zygote import Zygote

pytestmark = pytest.mark.slow

WINDOW = "requests = 10\nperiod_s = {0}\nmargin_s = 0.05\n"
# The lease is these and five seconds of grace.
QUICK = "connect_s = 0.2\nheaders_s = 0.3\n"
LEASE_S = 5.5


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """A warm program."""
    with Zygote() as zygote:
        yield zygote


def test_wall_clock_may_step_by_days(tmp_path: Path, zygote: Zygote) -> None:
    """Set back and forward a day while it runs: no more than ten in a window, and no hang."""
    with service(tmp_path) as server:
        scene = Scene(tmp_path / "a", server, IDS[:45], tmp_path / "state")
        before = f"{kill_clocks.__name__}:{kill_clocks.step_the_wall_clock.__name__}"
        traced = zygote.run(scene.program, scene.arguments, before=before, limit_s=30)
        scene.check_finished(traced.ended)
        assert server.worst() <= 10
        assert server.refused() == 0


def test_reboot_between_two_runs_keeps_the_window(tmp_path: Path, zygote: Zygote) -> None:
    """Under another boot id and a clock that began anew, the uses of the last boot still count."""
    options = replace(OPTIONS, period_s=2.0, lockout_s=2.0)
    with service(tmp_path, options) as server:
        scenes = [
            Scene(
                tmp_path / name,
                server,
                ids,
                tmp_path / "state",
                window=WINDOW.format(2),
                patience=QUICK,
            )
            for name, ids in (("first", IDS[:10]), ("second", IDS[10:20]))
        ]
        scenes[0].check_finished(zygote.run(scenes[0].program, scenes[0].arguments).ended)
        before = f"{kill_clocks.__name__}:{kill_clocks.reboot.__name__}"
        traced = zygote.run(scenes[1].program, scenes[1].arguments, before=before, limit_s=40)
        scenes[1].check_finished(traced.ended)
        assert server.worst(2.0) <= 10
        assert server.refused() == 0


def test_stopped_for_longer_than_a_lease_keeps_the_window(tmp_path: Path) -> None:
    """A run that sleeps with a slot in hand does not send with it once its lease is over."""
    options = replace(OPTIONS, latency_s=(0.0, 0.05))
    with service(tmp_path, options) as server:
        scenes = [
            Scene(tmp_path / str(number), server, ids, tmp_path / "state", patience=QUICK)
            for number, ids in enumerate((IDS[:30], IDS[40:150]))
        ]
        sleeper, other = (scene.start() for scene in scenes)
        try:
            while not server.asked().keys() & set(scenes[0].ids):
                assert sleeper.poll() is None
                time.sleep(0.01)
            # In the middle of things, now and again; then for longer than any lease.
            for asleep_s in (0.03, 0.6, 0.03, LEASE_S + 1.5):
                sleeper.send_signal(signal.SIGSTOP)
                time.sleep(asleep_s)
                sleeper.send_signal(signal.SIGCONT)
                time.sleep(0.11)
            assert sleeper.wait(60) == other.wait(60) == 0
        finally:
            for process in (sleeper, other):
                process.kill()
                process.wait()
        for scene in scenes:
            scene.check_finished(scene.run())
        assert server.worst() <= 10
        assert server.refused() == 0

"""What the system withholds: room, rights, descriptors. Nothing published is harmed, and a run
with room goes on without asking again."""

from __future__ import annotations

import json
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.kill_limits import at_most, bound_by_permissions, disk
from tests.support.kill_scene import IDS, TOKEN, Scene, Service, service
from tests.support.programs import Ended

from bulkfetch.sandbox import JobSpec, SandboxOptions

pytestmark = pytest.mark.slow

FREE = "requests = 1000\nperiod_s = 0.5\nmargin_s = 0\n"
# ZIPs of half a mebibyte that unpack to one.
BIG = JobSpec(payload_bytes=600_000, payload_method="deflated")
SMALL, LARGE = IDS[:5], IDS[5:10]
OPTIONS = SandboxOptions(requests=100_000, period_s=1.0, records=20, jobs=dict.fromkeys(LARGE, BIG))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A sandbox with small and large results."""
    with service(tmp_path_factory.mktemp("sandbox"), OPTIONS) as server:
        yield server


def scene_in(folder: Path, server: Service, ids: list[str], limits: str = "") -> Scene:
    """Make a scene in which nobody waits for the window."""
    return Scene(folder, server, ids, folder / "state", window=FREE, limits=limits)


def end_of(scene: Scene, preexec_fn: object = None) -> Ended:
    """Run to the end under what `preexec_fn` withholds."""
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    process = scene.start(preexec_fn=preexec_fn, **pipes)
    out, err = process.communicate(timeout=60)
    ended = Ended(process.returncode, out.decode(), err.decode())
    assert "Traceback" not in ended.err
    assert TOKEN not in ended.out + ended.err
    return ended


def test_full_disk_stops_the_run_and_room_lets_it_go_on(tmp_path: Path, server: Service) -> None:
    """Exit 3 with DISK_FULL when no room is left; with room, only what is missing is asked for."""
    with disk(tmp_path / "disk", mebibytes=2) as small:
        if small is None:
            pytest.skip("mounting a small disk takes root")
        scene = scene_in(small.folder / "a", server, LARGE, "free_bytes = 0\n")
        ended = end_of(scene)
        assert ended.status == 3
        assert "error: DISK_FULL: " in ended.err
        assert "hint: Free some space" in ended.err
        scene.check_after_death()
        again = end_of(scene)  # still full: still clear, still nothing harmed
        assert again.status == 3
        assert "error: DISK_FULL: " in again.err
        scene.check_after_death()
        small.resize(100)
        scene.check_finished(scene.run())


def test_file_size_limit_stops_the_run_with_what_came_kept(tmp_path: Path, server: Service) -> None:
    """ulimit -f: ZIPs that fit are kept, what they unpack to does not fit: exit 3, then 0."""
    scene = scene_in(tmp_path, server, SMALL + LARGE)
    ended = end_of(scene, at_most(resource.RLIMIT_FSIZE, 800_000))
    assert ended.status == 3
    assert "error: NOT_WRITABLE: File too large" in ended.err
    before = server.asked()
    at_home = scene.check_after_death().at_home
    assert at_home & set(LARGE)
    scene.check_finished(scene.run())
    asked = server.asked() - before
    assert set(asked) == set(scene.ids) - at_home


def test_32_descriptors_are_enough_or_it_is_said(tmp_path: Path, server: Service) -> None:
    """With 32 descriptors a run ends well or with exit 3; with more, the rest comes home."""
    scene = scene_in(tmp_path, server, SMALL + LARGE)
    ended = end_of(scene, at_most(resource.RLIMIT_NOFILE, 32))
    assert ended.status in (0, 3)
    assert ended.status == 0 or "error: NOT_WRITABLE: Too many open files" in ended.err
    scene.check_after_death()
    scene.check_finished(scene.run())


@pytest.mark.parametrize("count", [10, 20])
def test_too_few_descriptors_are_said(tmp_path: Path, server: Service, count: int) -> None:
    """With hardly any descriptors a run ends with words and a status, and harms nothing."""
    scene = scene_in(tmp_path, server, SMALL)
    ended = end_of(scene, at_most(resource.RLIMIT_NOFILE, count))
    assert ended.status in (0, 3)
    assert ended.status == 0 or "error: " in ended.err
    scene.check_after_death()
    scene.check_finished(scene.run())


def test_read_only_folder_is_said_before_anything_is_asked(tmp_path: Path, server: Service) -> None:
    """Exit 3 naming the folder; nothing is asked; with the right to write, all comes."""
    scene = scene_in(tmp_path, server, SMALL)
    scene.out.mkdir(mode=0o555)
    before = server.asked()
    ended = end_of(scene, bound_by_permissions)
    assert ended.status == 3
    assert "error: NOT_WRITABLE: Permission denied: " in ended.err
    assert server.asked() == before
    scene.out.chmod(0o755)
    scene.check_finished(scene.run())


def test_folder_that_becomes_read_only_keeps_what_it_has(tmp_path: Path, server: Service) -> None:
    """What is published stays as it is, and a ZIP that cannot be published waits in staging."""
    first = scene_in(tmp_path, server, SMALL[:2])
    first.check_finished(first.run())
    scene = scene_in(tmp_path, server, SMALL)
    # In mid-run: when the token is wanted, before the first request.
    command = ["sh", "-c", f"chmod 555 out; echo {TOKEN}"]
    toml = (scene.folder / "jobs.toml").read_text()
    text = toml.replace("[account]\n", f"[account]\ntoken_command = {json.dumps(command)}\n")
    (scene.folder / "jobs.toml").write_text(text)
    scene.check_after_death()
    ended = end_of(scene, bound_by_permissions)
    assert ended.status == 3
    assert "error: NOT_WRITABLE: Permission denied: out\n" in ended.err
    (scene.folder / "jobs.toml").write_text(toml)
    scene.out.chmod(0o755)
    remains = scene.check_after_death()
    assert remains.published == set(SMALL[:2])
    assert len(remains.at_home) > 2
    scene.check_finished(scene.run())


def test_state_folder_is_made_with_its_parents(tmp_path: Path, server: Service) -> None:
    """A missing state directory is made, for this user alone."""
    scene = Scene(tmp_path, server, SMALL, tmp_path / "not" / "yet" / "there", window=FREE)
    scene.check_finished(end_of(scene))
    assert scene.state.stat().st_mode & 0o777 == 0o700
    assert (scene.state / "window.db").stat().st_mode & 0o777 == 0o600


def test_unwritable_state_folder_is_said_and_the_run_keeps_its_own_window(
    tmp_path: Path, server: Service
) -> None:
    """Where the machine's window cannot be had, it is said; the list comes home all the same."""
    scene = scene_in(tmp_path, server, SMALL)
    scene.state.mkdir(mode=0o500)
    ended = end_of(scene, bound_by_permissions)
    assert "the machine's window cannot be used" in ended.err
    assert str(scene.state) in ended.err
    scene.check_finished(ended)
    assert list(scene.state.iterdir()) == []

"""File systems with habits: SMB, FUSE, 9P, small volumes. What they cannot do is no error, what
they lack is told before anything is asked."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.file_systems import built
from tests.support.kill_limits import disk
from tests.support.kill_scene import IDS, Scene, Service, service

from bulkfetch.sandbox import JobSpec, SandboxOptions

pytestmark = pytest.mark.slow

FREE = "requests = 1000\nperiod_s = 0.5\nmargin_s = 0\n"
SMALL, LARGE, SLOW = IDS[:5], IDS[5:8], IDS[8:10]
OPTIONS = SandboxOptions(
    requests=100_000,
    period_s=1.0,
    records=20,
    jobs={
        # More than is held in memory: by way of staging.
        **dict.fromkeys(LARGE, JobSpec(payload_bytes=600_000, payload_method="stored")),
        **dict.fromkeys(SLOW, JobSpec(records=20, faults=("stall_before_head",) * 9)),
    },
)
RESERVE = 64 << 20
# More than a small ZIP, less than its file.
ROOM = 3000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A sandbox with small, large and slow results."""
    with service(tmp_path_factory.mktemp("sandbox"), OPTIONS) as server:
        yield server


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that plays file systems."""
    return built(tmp_path_factory.mktemp("library"))


def scene_on(
    folder: Path, server: Service, library: Path, ids: list[str], limits: str = "", **habits: object
) -> Scene:
    """Make a scene on a file system with these habits."""
    env = {"LD_PRELOAD": str(library), **{name: str(value) for name, value in habits.items()}}
    return Scene(folder, server, ids, folder / "state", window=FREE, limits=limits, env=env)


# tests/archive/test_disk_publish.py has every error that a file system may give; one of each here.
def test_folders_that_cannot_be_synced_are_no_error(
    tmp_path: Path, server: Service, library: Path
) -> None:
    """A run comes home whole where a folder's fsync says that there is no such thing."""
    scene = scene_on(tmp_path, server, library, SMALL + LARGE, FS_FOLDER_FSYNC=errno.EINVAL)
    scene.check_finished(scene.run())
    status = scene.program.run("status", "out")
    assert status.out.startswith(f"account default: {len(SMALL + LARGE)} done, 0 failed")


def test_folders_that_cannot_be_opened_to_sync_are_no_error(
    tmp_path: Path, server: Service, library: Path
) -> None:
    """A folder may be written without being readable: a drop box."""
    scene = scene_on(tmp_path, server, library, SMALL + LARGE, FS_FOLDER_OPEN=errno.EACCES)
    scene.check_finished(scene.run())


@pytest.mark.parametrize(("name", "code"), [("EIO", "NOT_WRITABLE"), ("ENOSPC", "DISK_FULL")])
def test_a_device_that_fails_to_sync_a_folder_is_an_error(
    tmp_path: Path, server: Service, library: Path, name: str, code: str
) -> None:
    """What a folder's fsync says of the device itself ends the run before anything is asked."""
    scene = scene_on(tmp_path, server, library, SMALL, FS_FOLDER_FSYNC=getattr(errno, name))
    before = server.asked()
    ended = scene.run()
    assert ended.status == 3
    assert f"error: {code}: " in ended.err
    assert server.asked() == before


def test_a_file_that_cannot_be_synced_is_an_error(
    tmp_path: Path, server: Service, library: Path
) -> None:
    """Only folders are let off: a file that is not on the device is not published."""
    scene = scene_on(tmp_path, server, library, LARGE, FS_FILE_FSYNC=errno.EINVAL)
    ended = scene.run()
    assert ended.status == 3
    assert "error: NOT_WRITABLE: " in ended.err
    assert scene.check_after_death().published == set()


@pytest.mark.parametrize("habit", ["zero", "fail"])
def test_a_free_space_that_is_none_is_not_believed(
    tmp_path: Path, server: Service, library: Path, habit: str
) -> None:
    """0 of 0, or no answer: what is free is not known, `check` says so, and the run goes on."""
    scene = scene_on(tmp_path, server, library, SMALL + LARGE, FS_STATVFS=habit)
    check = scene.program.run("check", "jobs.toml")
    assert check.status == 0, check.out
    assert "out: out, free space unknown" in check.out
    scene.check_finished(scene.run())


def test_nothing_is_asked_on_a_disk_that_cannot_pass(
    tmp_path: Path, server: Service, library: Path
) -> None:
    """With less free than is kept free: exit 3 with both numbers and the setting, no request."""
    scene = scene_on(tmp_path, server, library, SMALL, FS_STATVFS=RESERVE)
    before = server.asked()
    ended = scene.run()
    assert ended.status == 3
    assert (
        f"error: DISK_FULL: nothing fits into out: {RESERVE} bytes are free, of which {RESERVE} "
        "are kept free (limits.free_bytes)\n"
    ) in ended.err
    assert "hint: Free some space, or lower free_bytes in [limits]" in ended.err
    assert server.asked() == before
    *jobs, summary = ended.records
    assert {job["error"]["code"] for job in jobs} == {"DISK_FULL"}
    assert summary["pending"] == len(SMALL)


def test_check_finds_a_disk_that_cannot_pass(
    tmp_path: Path, server: Service, library: Path
) -> None:
    """`check` says the same, also of a folder that is not made yet, and makes none."""
    scene = scene_on(tmp_path, server, library, SMALL, FS_STATVFS=1000)
    ended = scene.program.run("check", "jobs.toml", "--json")
    assert ended.status == 3
    found = {each["name"]: each for each in ended.records}
    assert found["out"]["verdict"] == "bad"
    assert "1000 bytes are free, of which 67108864 are kept free" in found["out"]["value"]
    assert "free_bytes" in found["out"]["hint"]
    assert found["limits.free_bytes"]["value"] == "64 MiB"
    assert not scene.out.exists()


def test_a_reserve_of_nothing_is_allowed(tmp_path: Path, server: Service, library: Path) -> None:
    """free_bytes = 0 uses the disk to its end; with nothing free at all it is said."""
    ids = SMALL + LARGE
    scene = scene_on(tmp_path, server, library, ids, "free_bytes = 0\n", FS_STATVFS=0)
    before = server.asked()
    ended = scene.run()
    assert ended.status == 3
    assert "error: DISK_FULL: nothing fits into out: 0 bytes are free\n" in ended.err
    assert server.asked() == before
    scene.program.env["FS_STATVFS"] = "5000000"
    scene.check_finished(scene.run())


def test_what_is_done_needs_no_room(tmp_path: Path, server: Service, library: Path) -> None:
    """A list that is done already ends with 0 on a full disk: nothing is to be fetched."""
    scene = scene_on(tmp_path, server, library, SMALL)
    scene.check_finished(scene.run())
    scene.program.env["FS_STATVFS"] = "1000"
    scene.check_finished(scene.run())


def test_a_body_that_does_not_fit_is_not_begun(
    tmp_path: Path, server: Service, library: Path
) -> None:
    """Where an announced body would eat what is kept free it is left, with all numbers."""
    scene = scene_on(tmp_path, server, library, LARGE, FS_STATVFS=RESERVE + 500_000)
    ended = scene.run()
    assert ended.status == 3
    assert f" bytes are to be downloaded in {scene.staging}, " in ended.err
    assert f", {RESERVE + 500_000} are free, of which " in ended.err
    assert list(scene.staging.iterdir()) == []
    scene.program.env["FS_STATVFS"] = str(RESERVE + 2_000_000)
    scene.check_finished(scene.run())


def test_what_does_not_fit_unpacked_is_said_with_the_reserve(
    tmp_path: Path, server: Service, library: Path
) -> None:
    """The message names the size, what is free, what of it is kept free, and the setting."""
    scene = scene_on(tmp_path, server, library, SMALL[1:2], FS_STATVFS=RESERVE + ROOM)
    ended = scene.run()
    assert ended.status == 3
    assert (
        f" bytes are to be unpacked in {scene.staging}, {RESERVE + ROOM} are free, "
        f"of which {RESERVE} are " in ended.err
    )
    assert "(limits.free_bytes)" in ended.err
    assert "hint: Free some space, or lower free_bytes in [limits]" in ended.err
    scene.check_after_death()  # its ZIP is kept
    scene.program.env["FS_STATVFS"] = str(RESERVE + 1_000_000)
    scene.check_finished(scene.run())


def test_a_small_volume(tmp_path: Path, server: Service) -> None:
    """40 MiB: refused with the default before anything is asked, fine with less kept free."""
    with disk(tmp_path / "disk", mebibytes=40) as small:
        if small is None:
            pytest.skip("mounting a small disk takes root")
        ids = SMALL + LARGE
        scene = Scene(small.folder / "a", server, ids, tmp_path / "state", window=FREE)
        before = server.asked()
        ended = scene.run()
        assert ended.status == 3
        assert "of which 67108864 are kept free (limits.free_bytes)" in ended.err
        assert server.asked() == before
        assert scene.program.run("check", "jobs.toml").status == 3
        toml = scene.folder / "jobs.toml"
        toml.write_text(toml.read_text() + 'free_bytes = "1 MiB"\n')
        assert scene.program.run("check", "jobs.toml").status == 0
        scene.check_finished(scene.run())


def test_an_end_that_no_statvfs_tells_is_met(
    tmp_path: Path, server: Service, library: Path
) -> None:
    """A full disk that says 0 of 0 is told when it comes, and harms nothing."""
    with disk(tmp_path / "disk", mebibytes=1) as small:
        if small is None:
            pytest.skip("mounting a small disk takes root")
        scene = scene_on(small.folder / "a", server, library, LARGE, FS_STATVFS="zero")
        ended = scene.run()
        assert ended.status == 3
        assert "error: DISK_FULL: " in ended.err
        scene.check_after_death()
        small.resize(100)
        scene.check_finished(scene.run())


def test_an_error_of_the_journal_is_not_called_a_full_disk_there(
    tmp_path: Path, server: Service, library: Path
) -> None:
    """Where 0 of 0 is free, an I/O error of the journal's stays one."""
    scene = scene_on(tmp_path, server, library, SMALL, FS_STATVFS="zero", FS_FILE_FSYNC=errno.EIO)
    ended = scene.run()
    assert ended.status == 3
    assert "error: NOT_WRITABLE: " in ended.err
    assert "DISK_FULL" not in ended.err


def test_without_shared_memory_a_run_has_its_journal_to_itself(
    tmp_path: Path, server: Service, library: Path
) -> None:
    """No mmap for the log's index (9P): a run works, and goes on after a kill; at rest all read."""
    scene = scene_on(tmp_path, server, library, SMALL + SLOW, FS_NO_SHARED_MMAP=1)
    process = scene.start(stdout=subprocess.PIPE)
    assert process.stdout is not None
    for _ in SMALL:
        assert json.loads(process.stdout.readline())["status"] == "done"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert scene.check_after_death().published == set(SMALL)
    status = scene.program.run("status", "out")
    assert status.status == 3
    assert "cannot share memory" in status.err
    (scene.folder / "ids.txt").write_text("".join(f"{each}\n" for each in SMALL))
    ended = scene.run()
    assert (ended.status, len(ended.records)) == (0, len(SMALL) + 1)
    assert all(record["skipped"] for record in ended.records[:-1])
    status = scene.program.run("status", "out")
    assert (status.status, status.err) == (0, "")
    assert f"{len(SMALL)} done" in status.out

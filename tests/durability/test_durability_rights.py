"""Folders and files that may not be written: said of the folder that the user gave, in his words,
before anything is asked."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.kill_limits import bound_by_permissions, disk
from tests.support.kill_scene import IDS, Scene, Service, service
from tests.support.programs import Ended

from bulkfetch.sandbox import SandboxOptions

pytestmark = pytest.mark.slow

FREE = "requests = 1000\nperiod_s = 0.5\nmargin_s = 0\n"
OPTIONS = SandboxOptions(requests=100_000, period_s=1.0, records=20)
# Of whom nothing is known.
USER = 54_321


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A sandbox with small results."""
    with service(tmp_path_factory.mktemp("sandbox"), OPTIONS) as server:
        yield server


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, server: Service) -> Path:
    """The folders of `scene`, to be copied for each test."""
    folder = tmp_path_factory.mktemp("begun")
    first = Scene(folder / "a", server, IDS[:2], folder / "state", window=FREE)
    first.check_finished(first.run())
    return folder


@pytest.fixture
def scene(tmp_path: Path, server: Service, begun: Path) -> Scene:
    """A list of which two are done, in `out` beside jobs.toml."""
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    return Scene(tmp_path / "a", server, IDS[:4], tmp_path / "state", window=FREE)


def end_of(scene: Scene, command: str = "run") -> Ended:
    """Run to the end, bound by permissions."""
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    arguments = scene.arguments if command == "run" else [command, "jobs.toml"]
    process = scene.program.start(*arguments, preexec_fn=bound_by_permissions, **pipes)
    out, err = process.communicate(timeout=60)
    ended = Ended(process.returncode, out.decode(), err.decode())
    assert "Traceback" not in ended.err
    return ended


def check_said(scene: Scene, said: str) -> None:
    """Check that a run ends with 3 and these words, that it asked for nothing, and that `check`
    says the same."""
    before = scene.service.asked()
    ended = end_of(scene)
    assert ended.status == 3
    assert f"error: NOT_WRITABLE: {said}\n" in ended.err
    assert str(scene.folder) not in ended.err.replace("to continue: ", "").splitlines()[0]
    assert "staging/default." not in ended.err
    assert "\nhint: " in f"\n{ended.err}"
    assert scene.service.asked() == before
    check = end_of(scene, "check")
    assert check.status == 3
    assert said in check.out


def out_read_only(scene: Scene) -> str:
    scene.out.chmod(0o555)
    return "Permission denied: out"


def out_not_to_be_searched(scene: Scene) -> str:
    scene.out.chmod(0o600)
    return "Permission denied: out"


def state_read_only(scene: Scene) -> str:
    scene.staging.parent.chmod(0o555)
    return "Permission denied: out/.bulkfetch"


def staging_read_only(scene: Scene) -> str:
    scene.staging.chmod(0o555)
    return "Permission denied: out/.bulkfetch/staging"


def staging_unread(scene: Scene) -> str:
    scene.staging.chmod(0o333)
    return "Permission denied: out/.bulkfetch/staging"


def journal_read_only(scene: Scene) -> str:
    (scene.staging.parent / "journal.db").chmod(0o444)
    return "Permission denied: out/.bulkfetch/journal.db"


def log_read_only(scene: Scene) -> str:
    (scene.staging.parent / "journal.db-wal").touch(mode=0o444)
    return "Permission denied: out/.bulkfetch/journal.db-wal"


def lock_unread(scene: Scene) -> str:
    (scene.staging.parent / "lock").chmod(0)
    return "Permission denied: out/.bulkfetch/lock"


def out_a_file(scene: Scene) -> str:
    shutil.rmtree(scene.out)
    scene.out.touch()
    return "out is not a folder"


def out_leads_nowhere(scene: Scene) -> str:
    shutil.rmtree(scene.out)
    scene.out.symlink_to("nowhere")
    return "out is a link that leads nowhere"


def state_a_file(scene: Scene) -> str:
    shutil.rmtree(scene.staging.parent)
    scene.staging.parent.touch()
    return "out/.bulkfetch is not a folder"


def staging_a_file(scene: Scene) -> str:
    shutil.rmtree(scene.staging)
    scene.staging.touch()
    return "out/.bulkfetch/staging is not a folder"


FORBIDDEN = [
    out_read_only,
    out_not_to_be_searched,
    state_read_only,
    staging_read_only,
    staging_unread,
    journal_read_only,
    log_read_only,
    lock_unread,
    out_a_file,
    out_leads_nowhere,
    state_a_file,
    staging_a_file,
]


@pytest.mark.parametrize("forbid", FORBIDDEN)
def test_what_may_not_be_written_is_said_before_anything_is_asked(
    scene: Scene, forbid: Callable[[Scene], str]
) -> None:
    """Exit 3 naming the folder or file as the user gave it, relative; `check` says the same."""
    check_said(scene, forbid(scene))


def test_a_drop_box_is_good_enough(scene: Scene) -> None:
    """A folder that may be written and not read takes a run: nothing there is listed."""
    scene.out.chmod(0o333)
    ended = end_of(scene)
    scene.out.chmod(0o755)
    scene.check_finished(ended)


def test_a_missing_folder_below_a_forbidden_one(tmp_path: Path, server: Service) -> None:
    """The folder that cannot be made is named, and the one that forbids it."""
    scene = Scene(tmp_path / "a", server, IDS[:2], tmp_path / "state", window=FREE)
    (scene.folder / "shut").mkdir(mode=0o555)
    toml = scene.folder / "jobs.toml"
    toml.write_text(toml.read_text().replace('"out"', '"shut/new/out"'))
    check_said(scene, "Permission denied: shut: shut/new/out cannot be made there")
    assert list((scene.folder / "shut").iterdir()) == []


def test_a_missing_folder_below_a_file(tmp_path: Path, server: Service) -> None:
    """A file stands where a folder is due: it is the one that is named."""
    scene = Scene(tmp_path / "a", server, IDS[:2], tmp_path / "state", window=FREE)
    toml = scene.folder / "jobs.toml"
    toml.write_text(toml.read_text().replace('"out"', '"ids.txt/new/out"'))
    check_said(scene, "ids.txt is not a folder")


@pytest.mark.parametrize("what", ["out", "out/.bulkfetch", "out/.bulkfetch/journal.db"])
def test_what_another_user_left_is_said_with_his_name(scene: Scene, what: str) -> None:
    """A run of another user's before: what it left, whose it is, what to do."""
    if os.geteuid():
        pytest.skip("to give a file to another user takes root")
    os.chown(scene.folder / what, USER, USER)
    check_said(scene, f"Permission denied: {what}")
    assert (
        f"hint: It belongs to user {USER}, perhaps from a run of that user; " in end_of(scene).err
    )


def test_a_read_only_file_system(tmp_path: Path, server: Service) -> None:
    """EROFS is called what it is, with a hint of its own, to root too."""
    with disk(tmp_path / "disk", mebibytes=100) as small:
        if small is None:
            pytest.skip("mounting a small disk takes root")
        scene = Scene(tmp_path / "a", server, IDS[:4], tmp_path / "state", window=FREE)
        toml = scene.folder / "jobs.toml"
        toml.write_text(toml.read_text().replace('"out"', '"../disk/out"'))
        (small.folder / "out").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", str(small.folder)], check=True)
        check_said(scene, "Read-only file system: ../disk/out")
        assert "mounted read-only" in end_of(scene).err
        toml.write_text(toml.read_text().replace('"../disk/out"', '"../disk/new"'))
        check_said(scene, "Read-only file system: ../disk: ../disk/new cannot be made there")


def test_staging_on_another_file_system(scene: Scene) -> None:
    """What cannot be renamed into place is said before it is fetched."""
    shutil.rmtree(scene.staging)
    with disk(scene.staging, mebibytes=100) as small:
        if small is None:
            pytest.skip("mounting a small disk takes root")
        check_said(scene, "out/.bulkfetch/staging and out are not on one file system")


def test_what_turns_up_in_mid_run_is_named_as_given_too(tmp_path: Path, server: Service) -> None:
    """A staging folder that is shut when the token is wanted: its name, relative, and no file's."""
    scene = Scene(tmp_path / "a", server, IDS[:2], tmp_path / "state", window=FREE)
    toml = scene.folder / "jobs.toml"
    command = '["sh", "-c", "chmod 555 out/.bulkfetch/staging; echo token"]'
    toml.write_text(
        toml.read_text().replace("[account]\n", f"[account]\ntoken_command = {command}\n")
    )
    ended = end_of(scene)
    assert ended.status == 3
    assert "error: NOT_WRITABLE: Permission denied: out/.bulkfetch/staging\n" in ended.err

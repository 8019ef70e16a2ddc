"""The program for users without a home, a passwd entry or a state directory: it works."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from tests.support.programs import Ended, Program

COMMANDS = [
    ("run", "jobs.toml"),
    ("plan", "jobs.toml"),
    ("check", "jobs.toml"),
    ("status", "exports"),
]
UNKNOWN_UID = 1_000_730_000
# A user that the system does not know, who may all the same do what this one may.
AS_UNKNOWN = ("unshare", "--user", f"--map-user={UNKNOWN_UID}", "--map-group=0")


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """Have this process be a user of whom nothing is known; the argument is HOME."""

    def unknown(uid: int) -> NoReturn:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    def be(home: str | None) -> None:
        for name in ("HOME", "XDG_STATE_HOME", "BULKFETCH_STATE_DIR"):
            monkeypatch.delenv(name, raising=False)
        if home is not None:
            monkeypatch.setenv("HOME", home)
        monkeypatch.setattr("pwd.getpwuid", unknown)

    return be


@pytest.mark.parametrize("home", [None, "", "relative"])
def test_every_command_works_without_a_home(
    program: Program,
    call: Callable[..., Ended],
    nobody: Callable[[str | None], None],
    home: str | None,
) -> None:
    """No passwd entry, HOME unset, empty or relative: as with a home, and no folder appears."""
    program.settings('[[jobs]]\nid = "1"')
    nobody(home)
    for command in COMMANDS:
        ended = call(*command)
        assert ended.status == 0, (command, ended)
        assert "Traceback" not in ended.err
        assert "home" not in ended.err
    assert sorted(path.name for path in program.folder.iterdir()) == ["exports", "jobs.toml"]


def test_check_says_what_is_missing_and_what_to_set(
    program: Program, call: Callable[..., Ended], nobody: Callable[[str | None], None]
) -> None:
    """Without a state directory a run works for itself alone."""
    program.settings('[[jobs]]\nid = "1"')
    nobody(None)
    records = [json.loads(line) for line in call("check", "jobs.toml", "--json").out.splitlines()]
    (state,) = [record for record in records if record.get("name") == "state"]
    assert state["verdict"] == "warning"
    assert "BULKFETCH_STATE_DIR" in state["hint"]


def test_a_tilde_without_a_home_is_a_configuration_error(
    program: Program, call: Callable[..., Ended], nobody: Callable[[str | None], None]
) -> None:
    """Exit 2 with a hint, before anything is made."""
    program.settings('out = "~/exports"\n[[jobs]]\nid = "1"')
    nobody("")
    for command in COMMANDS[:3]:
        ended = call(*command)
        assert ended.status == 2
        assert "no such home" in ended.err
        assert "HOME" in ended.err
    assert not Path("/exports").exists()


def test_a_state_directory_that_cannot_be_used_is_said(
    program: Program, call: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """check warns; nothing raises, whatever stands in the way."""
    program.settings('[[jobs]]\nid = "1"')
    (program.folder / "file").touch()
    monkeypatch.setenv("BULKFETCH_STATE_DIR", str(program.folder / "file" / "state"))
    ended = call("check", "jobs.toml")
    assert ended.status == 0
    assert "warning" in ended.out
    assert "BULKFETCH_STATE_DIR" in ended.out
    assert call("run", "jobs.toml").status == 0


def test_a_home_that_may_not_be_searched_is_said(
    program: Program, call: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that is run with another user's id and keeps HOME=/root."""
    program.settings('[[jobs]]\nid = "1"')
    monkeypatch.setenv("BULKFETCH_STATE_DIR", "/root/somebody/state")
    real = os.stat

    def stat(path: Any, *more: Any, **options: Any) -> os.stat_result:
        if str(path).startswith("/root/"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *more, **options)

    with monkeypatch.context() as outside:
        outside.setattr(os, "stat", stat)
        outside.setattr(os, "access", lambda path, mode, **_: not str(path).startswith("/root"))
        ended = call("check", "jobs.toml")
    assert "Traceback" not in ended.err
    assert ended.status == 0
    assert "/root cannot be written" in ended.out


def unshared() -> tuple[str, ...]:
    """How to start a program as a user without a passwd entry; skips where that cannot be done."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    probe = [*AS_UNKNOWN, sys.executable, "-c", "import os; print(os.getuid())"]
    found = subprocess.run(probe, capture_output=True, text=True, check=False)
    if found.stdout.strip() != str(UNKNOWN_UID):
        pytest.skip(f"user namespaces cannot be used here: {found.stderr.strip()[:100]}")
    return AS_UNKNOWN


@pytest.mark.slow
@pytest.mark.parametrize("home", [None, ""])
def test_a_user_whom_the_system_does_not_know(program: Program, home: str | None) -> None:
    """In a process of its own, with nothing patched: the commands, and the library."""
    before = unshared()
    program.settings('[[jobs]]\nid = "1"')
    env = {name: program.environment()[name] for name in ("PATH", "PYTHONPATH")}
    if home is not None:
        env["HOME"] = home
    library = (
        "import asyncio, bulkfetch\n"
        "settings = bulkfetch.load_settings('jobs.toml', out='other')\n"
        "assert settings.state_dir is None and bulkfetch.Settings().state_dir is None\n"
        "assert asyncio.run(bulkfetch.fetch(['2'], settings)).ok\n"
    )
    bulkfetch = [[sys.executable, "-m", "bulkfetch", *command] for command in COMMANDS]
    for command in (*bulkfetch, [sys.executable, "-c", library]):
        ended = subprocess.run(
            [*before, *command],
            cwd=program.folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (ended.returncode, ended.stderr.count("Traceback")) == (0, 0), ended


def test_the_home_of_the_user_database_is_found(
    program: Program,
    call: Callable[..., Ended],
    nobody: Callable[[str | None], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """HOME unset, as under some service managers, but a passwd entry."""
    program.settings('[[jobs]]\nid = "1"')
    nobody(None)
    home = program.folder / "home"
    monkeypatch.setattr("pwd.getpwuid", lambda uid: SimpleNamespace(pw_dir=str(home)))
    records = [json.loads(line) for line in call("check", "jobs.toml", "--json").out.splitlines()]
    (state,) = [record for record in records if record.get("name") == "state"]
    assert state["value"].startswith(str(home))
    assert state["verdict"] == "ok"

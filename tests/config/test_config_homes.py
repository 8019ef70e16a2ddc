"""Users without a home, a passwd entry or a state directory, as containers have them."""

from __future__ import annotations

import os
import pickle
import pwd
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import platformdirs
import pytest

from bulkfetch.config import Settings, load_settings
from bulkfetch.errors import ConfigError

DIRS = ("HOME", "XDG_STATE_HOME", "BULKFETCH_STATE_DIR")


@pytest.fixture(autouse=True)
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this user own nothing: no variable names a home, and the user database knows him not."""

    def unknown(uid: int) -> NoReturn:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in DIRS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def known(home: str) -> Any:
    return lambda uid: SimpleNamespace(pw_dir=home)


@pytest.mark.parametrize("home", [None, "", " ", ".", "relative/home", "~"])
def test_without_a_home_there_is_no_state_directory(
    home: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading settings and making them in code both say None, and raise nothing."""
    if home is not None:
        monkeypatch.setenv("HOME", home)
    assert load_settings(None, {}).state_dir is None
    assert Settings().state_dir is None


def test_the_user_database_stands_in_for_a_home_that_is_not_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """HOME unset, empty or relative: the home of the passwd entry counts, never the root."""
    monkeypatch.setattr(pwd, "getpwuid", known(str(tmp_path)))
    for home in (None, "", "x"):
        if home is not None:
            monkeypatch.setenv("HOME", home)
        found = load_settings(None, {}).state_dir
        assert found is not None
        assert found.is_relative_to(tmp_path)
    monkeypatch.setattr(pwd, "getpwuid", known("nowhere"))
    assert load_settings(None, {}).state_dir is None


def test_a_tilde_in_the_variable_is_the_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As systemd and Docker hand it on; without a home it names no folder, least of all `./~`."""
    told = {"BULKFETCH_STATE_DIR": "~/state"}
    assert load_settings(None, told).state_dir is None
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_settings(None, told).state_dir == tmp_path / "state"
    assert load_settings(None, {"BULKFETCH_STATE_DIR": "~"}).state_dir == tmp_path


def test_whatever_names_a_folder_is_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """BULKFETCH_STATE_DIR, XDG_STATE_HOME or HOME: each alone gives a state directory."""
    assert load_settings(None, {"BULKFETCH_STATE_DIR": str(tmp_path)}).state_dir == tmp_path
    with monkeypatch.context() as one:
        one.setenv("BULKFETCH_STATE_DIR", str(tmp_path))
        assert Settings().state_dir == tmp_path
    for name in ("XDG_STATE_HOME", "HOME"):
        with monkeypatch.context() as one:
            one.setenv(name, str(tmp_path))
            found = Settings().state_dir
            assert found is not None
            assert found.is_relative_to(tmp_path)
    monkeypatch.setenv("HOME", "/")
    found = Settings().state_dir
    assert found is not None
    assert found.is_absolute()


def test_every_version_of_platformdirs_will_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Some raise RuntimeError where there is no home, others give a relative path."""
    monkeypatch.setenv("HOME", str(tmp_path))

    def fails(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr(platformdirs, "user_state_path", fails)
    assert load_settings(None, {}).state_dir is None
    monkeypatch.setattr(platformdirs, "user_state_path", lambda *_, **__: Path("~/.local/state/b"))
    assert load_settings(None, {}).state_dir is None


def test_settings_in_code_share_the_default_state_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """None only where it is said, and what was said stays, replaced or pickled."""
    monkeypatch.setenv("BULKFETCH_STATE_DIR", str(tmp_path / "s"))
    made = Settings(out=tmp_path)
    assert made.state_dir == tmp_path / "s" == load_settings(None).state_dir
    assert Settings(state_dir=None).state_dir is None
    assert replace(Settings(state_dir=None), out=tmp_path).state_dir is None
    monkeypatch.delenv("BULKFETCH_STATE_DIR")
    assert pickle.loads(pickle.dumps(made)) == made
    assert replace(made, out=tmp_path / "x").state_dir == tmp_path / "s"


def test_a_tilde_without_a_home_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is neither a traceback nor a folder at the root of the file system."""
    toml = tmp_path / "jobs.toml"
    for key in ("out", "ids_file"):
        toml.write_text(f'{key} = "~/x"\n')
        for home in (None, "", "here"):
            if home is not None:
                monkeypatch.setenv("HOME", home)
            with pytest.raises(ConfigError, match="no such home") as told:
                load_settings(toml, {})
            assert "HOME" in told.value.hint
    toml.write_text('out = "~"\n')
    monkeypatch.setattr(pwd, "getpwuid", known(str(tmp_path)))
    monkeypatch.setenv("HOME", "")
    assert load_settings(toml, {}).out == tmp_path
    assert os.environ["HOME"] == ""

"""A settings file to start from: it loads, is checked as well, and replaces nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.programs import IDS, Ended, Program

from bulkfetch import load_settings
from bulkfetch.cli.init import settings_text

Call = Callable[..., Ended]


def test_the_file_is_ready_once_the_credentials_are_there(
    program: Program, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written passes `check` with the variables that the last line names."""
    ended = call("init", "--data-center", "eu")
    assert (ended.status, ended.out) == (0, "jobs.toml\n")
    names = ("ZOHO_CLIENT_ID", "ZOHO_CLIENT_SECRET", "ZOHO_REFRESH_TOKEN")
    assert ended.err == (
        f"next: set {', '.join(names)} in the environment, then bulkfetch check jobs.toml\n"
    )
    assert call("check", "jobs.toml").status == 3
    for name in names:
        monkeypatch.setenv(name, "1000.x")
    checked = call("check", "jobs.toml")
    assert checked.status == 0
    assert "account.data_center: eu  (jobs.toml:12)" in checked.out
    assert not [line for line in checked.out.splitlines() if not line.startswith(("ok", " "))]


def test_without_a_data_centre_nothing_leaves_the_machine(program: Program, call: Call) -> None:
    """The sandbox is what a file is for until its owner says where the org is, as is told."""
    ended = call("init", "my jobs.toml")
    assert (ended.status, ended.out) == (0, "my jobs.toml\n")
    assert ended.err == (
        "next: bulkfetch check 'my jobs.toml'; data_center is \"sandbox\" until you change it to "
        "yours\n"
    )
    assert load_settings(program.folder / "my jobs.toml", {}).accounts[0].is_sandbox
    assert call("check", "my jobs.toml").status == 0


def test_several_accounts_have_credentials_of_their_own(program: Program, call: Call) -> None:
    """Each --account has a table, and variables that begin with its name."""
    ended = call("init", "--data-center", "eu", "--account", "emea", "--account", "a.b-c")
    assert ended.status == 0
    assert "EMEA_ZOHO_REFRESH_TOKEN, A_B_C_ZOHO_CLIENT_ID" in ended.err
    env = {"EMEA_ZOHO_ACCESS_TOKEN": "1000.e", "A_B_C_ZOHO_ACCESS_TOKEN": "1000.a"}
    settings = load_settings(program.folder / "jobs.toml", env)
    assert {each.name: each.env_prefix for each in settings.accounts} == {
        "emea": "EMEA_",
        "a.b-c": "A_B_C_",
    }
    assert all(each.data_center == "eu" for each in settings.accounts)
    assert all(each.credentials.access_token for each in settings.accounts)


@pytest.mark.parametrize("names", [(), ("emea", "apac.2")])
def test_every_setting_that_is_commented_out_is_valid(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    """What is explained loads when its '#' is taken away."""
    (tmp_path / "zoho.env").touch(mode=0o600)
    lines = settings_text("jp", names).splitlines()
    given = [
        line[2:] if line.startswith("# [") or (line.startswith("# ") and " = " in line) else line
        for line in lines
        # Two with the same command would be the same account.
        if not (names and "token_command" in line)
    ]
    (tmp_path / "jobs.toml").write_text("\n".join(given))
    settings = load_settings(tmp_path / "jobs.toml", {})
    assert [each.window.requests for each in settings.accounts] == [7] * max(len(names), 1)
    assert (len(settings.jobs), len(settings.exports)) == (1, 1)
    assert max(map(len, lines)) <= 100


def test_a_file_that_exists_stays(program: Program, call: Call) -> None:
    """Neither a file nor what a link leads to is written, and that is 2."""
    (program.folder / "jobs.toml").write_text("mine")
    (program.folder / "link.toml").symlink_to("new.toml")
    for name in ("jobs.toml", "link.toml"):
        ended = call("init", name)
        assert (ended.status, ended.out) == (2, "")
        assert ended.err.startswith(f"error: {name} exists, and is left as it is\nhint: Give")
    assert (program.folder / "jobs.toml").read_text() == "mine"
    assert not (program.folder / "new.toml").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--data-center", "germany"], "data_center must be one of 'us'"),
        (["--account", "a/b"], "name must be 1 to 64 letters"),
        (["--account", "a.b", "--account", "A-b"], "two accounts would have the same variables"),
        (["nowhere/jobs.toml"], "nowhere/jobs.toml: No such file or directory"),
        ([""], "error: "),
    ],
)
def test_slips(program: Program, call: Call, words: list[str], told: str) -> None:
    """What cannot be is 2, told before anything is written."""
    ended = call("init", *words)
    assert (ended.status, ended.out) == (2, "")
    assert told in ended.err
    assert list(program.folder.iterdir()) == []


def test_a_file_that_is_not_there_leads_to_init(program: Program, call: Call) -> None:
    """Where no settings file is found, the hint says what writes one."""
    ended = call("run", "jobs.toml", IDS[0])
    assert ended.status == 2
    assert ended.err.endswith("hint: To write one: bulkfetch init jobs.toml\n")

"""Two accounts with the same credentials are refused: they would be one at Zoho."""

from __future__ import annotations

from pathlib import Path

import pytest

from bulkfetch import ConfigError, Settings, load_settings
from bulkfetch.config import AccountSettings, Credentials
from bulkfetch.secret import Secret

TOKEN = {"ZOHO_ACCESS_TOKEN": "1000.hush-hush"}
TRIO = {
    "ZOHO_CLIENT_ID": "1000.client",
    "ZOHO_CLIENT_SECRET": "hushhush",
    "ZOHO_REFRESH_TOKEN": "1000.hush-refresh",
}


def load(folder: Path, text: str, env: dict[str, str]) -> Settings:
    path = folder / "jobs.toml"
    path.write_text(text)
    return load_settings(path, env)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("", ""),
        ('data_center = "us"', 'api_domain = "HTTPS://www.zohoapis.com.:443/"'),
        ('data_center = "us"', 'data_center = "eu"'),
        ('data_center = "us"', 'api_domain = "https://sandbox.zohoapis.com"'),
        ('api_domain = "http://127.0.0.1:8080"', 'api_domain = "http://localhost:8080"'),
        ('env_prefix = "A_"', 'env_prefix = "A_"'),
    ],
)
@pytest.mark.parametrize("env", [TOKEN, TRIO, TOKEN | TRIO], ids=["token", "refresh", "both"])
def test_a_forgotten_prefix_is_a_configuration_error(
    tmp_path: Path, a: str, b: str, env: dict[str, str]
) -> None:
    """However the server is spelt; both accounts are named, the hint helps, no secret is told."""
    env = env | {f"A_{name}": value for name, value in env.items()}
    with pytest.raises(ConfigError) as told:
        load(tmp_path, f"[accounts.a]\n{a}\n[accounts.b]\n{b}\n", env)
    assert "accounts a and b have the same credentials" in told.value.message
    assert "jobs.toml" in told.value.message
    assert "env_prefix" in told.value.hint
    assert "hush" not in f"{told.value!r} {told.value.message} {told.value.hint}"


def test_one_secrets_file_for_two_is_the_same_slip(tmp_path: Path) -> None:
    """Two accounts that read one file by the same names have the same credentials."""
    (tmp_path / "zoho.env").write_text("".join(f"{k}={v}\n" for k, v in TRIO.items()))
    (tmp_path / "zoho.env").chmod(0o600)
    text = '[accounts.a]\nsecrets_file = "zoho.env"\n[accounts.b]\nsecrets_file = "./zoho.env"\n'
    with pytest.raises(ConfigError, match="same credentials"):
        load(tmp_path, text, {})


def test_one_token_command_for_two_is_refused(tmp_path: Path) -> None:
    """It would print one token; other arguments, or another command, are another account."""
    one = 'token_command = ["pass", "show", "zoho"]'
    other = 'token_command = ["pass", "show", "other"]'
    with pytest.raises(ConfigError, match="same credentials") as told:
        load(tmp_path, f"[accounts.a]\n{one}\n[accounts.b]\n{one}\n", {})
    assert "token_command" in told.value.hint
    # What the environment holds for neither of them does not count.
    load(tmp_path, f"[accounts.a]\n{one}\n[accounts.b]\n{other}\n", TOKEN | TRIO)
    load(tmp_path, f"[accounts.a]\n{one}\n[accounts.b]\n", TOKEN)


def test_a_token_that_another_account_could_use_counts_too(tmp_path: Path) -> None:
    """The access token of one that refreshes is of its account all the same."""
    env = {f"A_{name}": value for name, value in (TOKEN | TRIO).items()} | TOKEN
    with pytest.raises(ConfigError, match="same credentials"):
        load(tmp_path, '[accounts.a]\nenv_prefix = "A_"\n[accounts.b]\n', env)


@pytest.mark.parametrize(
    ("text", "env"),
    [
        ('[accounts.a]\nenv_prefix = "A_"\n[accounts.b]\n', {"A_ZOHO_ACCESS_TOKEN": "x"} | TOKEN),
        ("[accounts.a]\n[accounts.b]\n", {}),
        ('[accounts.a]\ndata_center = "sandbox"\n[accounts.b]\ndata_center = "sandbox"\n', TOKEN),
        ('[accounts.a]\ndata_center = "sandbox"\n[accounts.b]\n', TOKEN),
        # One registered client may serve several accounts.
        (
            '[accounts.a]\nenv_prefix = "A_"\n[accounts.b]\n',
            {f"A_{name}": value for name, value in TRIO.items()}
            | {"A_ZOHO_REFRESH_TOKEN": "1000.other"}
            | TRIO,
        ),
        # Stand-ins on this machine take any token.
        (
            '[accounts.a]\napi_domain = "http://127.0.0.1:8080"\n'
            '[accounts.b]\napi_domain = "http://127.0.0.1:8081"\n[accounts.c]\n',
            TOKEN,
        ),
    ],
)
def test_what_is_not_the_same_account_is_left_alone(
    tmp_path: Path, text: str, env: dict[str, str]
) -> None:
    """Sandboxes, accounts without credentials, and different tokens are no slip."""
    assert len(load(tmp_path, text, env).accounts) > 1


def test_settings_made_in_code_are_refused_too(tmp_path: Path) -> None:
    """As they are made; no secret is told."""
    same = {"access_token": Secret("1000.hush-hush")}
    accounts = [AccountSettings(name=name, credentials=Credentials(**same)) for name in "ab"]
    with pytest.raises(ConfigError, match="accounts a and b have the same credentials") as told:
        Settings(out=tmp_path / "out", accounts=tuple(accounts))
    assert "hush" not in repr(told.value)

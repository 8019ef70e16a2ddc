"""What cannot be sent is found when settings are made, and no character of it is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bulkfetch.config import AccountSettings, Credentials, load_settings
from bulkfetch.config.proxies import Proxies
from bulkfetch.errors import ConfigError
from bulkfetch.secret import Secret

# Addresses of proxies that no request can be sent through, as they stand or once decoded.
UNUSABLE = [
    "http://qq:5%E2%82%ACzz@127.0.0.1:3128",  # a euro sign
    "http://q%E2%82%ACq:zz@127.0.0.1:3128",  # in the user name
    "http://qq:%F0%9F%94%91zz@proxy:3128",
    "http://qq:zz%0D%0AX-Evil:%201@proxy:3128",
    "http://qq:zz%0Azz@proxy:3128",
    "http://qq:zz%00@proxy:3128",
    "http://qq:zz%7F@proxy:3128",
    "http://qq:zz%C2%85@proxy:3128",
    "http://qq:zz%FCzz@proxy:3128",  # Latin-1 in place of UTF-8: another password would be sent
    "http://q%3Aq:zz@proxy:3128",  # the user name would end at its colon
    "http://qq:5€zz@proxy:3128",
    "http://qq:zz\nzz@proxy:3128",
    "http://qq:zz zz@proxy:3128",
    "http://qq:zz#zz@proxy:3128",
    "http://qq:zz/zz@proxy:3128",
    "http://qq:3128/zz@proxy:3128",
    "http://qq:1?zz@proxy:3128",
    "http://proxy:3128/zz",
    "http://zz..qq:3128",
    "http://[::zz]:3128",
    "http://[fe80::1%25zz]:3128",
    f"http://{'z' * 64}:3128",
    "http://proxy:zz",
    "http://proxy:99999",
    "https://:3128",
]
USABLE = [
    "http://proxy:3128",
    "HTTP://Proxy.Example:3128/",
    "https://my_proxy:3128",
    "http://user:hunter2@10.0.0.1:3128",
    "http://user:f%C3%BCr%20alle%3A%40@[::1]:3128",
    "http://user@proxy",
    "http://user:p@ss@proxy:3128",
]


def assert_hidden(error: ConfigError, *names: str) -> None:
    told = f"{error.message} {error.hint} {error!r}"
    assert all(name in told for name in names)
    assert not any(part in told for part in ("zz", "qq", "€", "20ac", "%", "🔑"))


@pytest.mark.parametrize("address", UNUSABLE, ids=ascii)
def test_a_proxy_that_nothing_can_be_sent_through_is_refused(tmp_path: Path, address: str) -> None:
    """In jobs.toml, in each variable and in code, before anything is asked or counted."""
    path = tmp_path / "jobs.toml"
    escaped = address.replace("\n", "\\n")
    path.write_text(f'[account]\nproxy = "{escaped}"\n', encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_settings(path, {})
    assert_hidden(caught.value, "account.proxy", "(line 2)")
    for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        with pytest.raises(ConfigError) as caught:
            load_settings(None, {name: address})
        assert_hidden(caught.value, name)
    with pytest.raises(ConfigError) as caught:
        AccountSettings(proxies=Proxies(https=Secret(address)))
    assert_hidden(caught.value, "proxies")


@pytest.mark.parametrize("address", USABLE)
def test_a_proxy_that_can_be_used_is_taken_as_it_is(address: str) -> None:
    """What is percent-encoded well, and Latin-1 once it is decoded, is nobody's slip."""
    (account,) = load_settings(None, {"HTTPS_PROXY": address}).accounts
    assert account.proxies.url_for("https://www.zohoapis.com") == address


@pytest.mark.parametrize(
    "bypass",
    [
        "a.example b.example",
        "a.example, b.example",
        " a.example,b.example ",
        "a.example\tb.example",
    ],
)
def test_no_proxy_is_divided_by_commas_and_blanks(bypass: str) -> None:
    """Both ways of writing it are in use; a host with a blank in it there is none."""
    env = {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": bypass}
    proxies = load_settings(None, env).accounts[0].proxies
    assert proxies.url_for("https://www.a.example") is None
    assert proxies.url_for("https://b.example") is None
    assert proxies.url_for("https://c.example") == "http://proxy:1"


@pytest.mark.parametrize("value", ["zz zz", "zz\r\nX: y", "zz\x00", "zz€", "zzü", "", "z" * 5000])
@pytest.mark.parametrize("part", ["access_token", "client_id", "client_secret", "refresh_token"])
def test_credentials_that_cannot_be_sent_are_refused_in_code_too(part: str, value: str) -> None:
    """A token made in code passes the same check as one from the environment."""
    given: dict[str, Any] = {part: value}
    with pytest.raises(ConfigError, match="holds spaces or unprintable") as caught:
        Credentials(**given)
    assert not value or value not in f"{caught.value.message} {caught.value.hint}"


def test_credentials_in_quotes_are_refused_in_code_too() -> None:
    """Quotes that came along from a file are no part of a token; the message has no value."""
    with pytest.raises(ConfigError, match="access_token is in quotes") as caught:
        Credentials(access_token=Secret('"zzz"'))
    assert "zzz" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("value", ["zz zz", "zz\\r\\nX: y", "zz€", "zzü", "zz\x7f"])
def test_a_secrets_file_with_what_cannot_be_sent(tmp_path: Path, value: str) -> None:
    """It is refused by the variable's name, without its value."""
    secrets = tmp_path / "zoho.env"
    secrets.write_text(f"ZOHO_ACCESS_TOKEN={value}\n", encoding="utf-8")
    secrets.chmod(0o600)
    (tmp_path / "jobs.toml").write_text("[account]\nsecrets_file = 'zoho.env'\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path / "jobs.toml", {})
    assert_hidden(caught.value, "ZOHO_ACCESS_TOKEN")

"""What the accounts server's bytes mean, and where the servers of an account are."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkfetch.config import AccountSettings, DataCenter
from bulkfetch.config.regions import REGIONS, Servers, servers
from bulkfetch.errors import AccountError, ConfigError, TokenRefused
from bulkfetch.secret import Secret
from bulkfetch.zoho.token_response import Grant, read_token_response


def reply(**fields: object) -> bytes:
    return json.dumps({"access_token": "1000.tok", **fields}).encode()


@pytest.mark.parametrize(
    ("fields", "lifetime_s"),
    [
        ({"expires_in": 3600}, 3600),
        ({"expires_in": 3600000, "expires_in_sec": 3600}, 3600),
        ({"expires_in": 3600000}, 3600),
        ({}, 3600),
        ({"expires_in": -5}, 3600),
        ({"expires_in": "3600"}, 3600),
        ({"expires_in": True}, 3600),
        ({"expires_in": 10**400}, 86_400),
        ({"expires_in": 7}, 7),
    ],
)
def test_lifetimes_are_seconds_whatever_the_reply_s_age(
    fields: dict[str, object], lifetime_s: float
) -> None:
    """Old replies tell milliseconds, broken ones nothing: the answer is a sane time in seconds."""
    grant = read_token_response(200, reply(**fields))
    assert isinstance(grant, Grant)
    assert grant.lifetime_s == lifetime_s


@pytest.mark.parametrize(
    ("named", "domain"),
    [
        ("https://www.zohoapis.eu", "https://www.zohoapis.eu"),
        ("http://127.0.0.1:80", "http://127.0.0.1:80"),
        ("http://www.zohoapis.eu", None),
        ("https://u@evil.example/", None),
        (7, None),
        (None, None),
    ],
)
def test_an_api_domain_is_taken_only_if_it_could_be_one(named: object, domain: str | None) -> None:
    """Plain http elsewhere and addresses with more than a server are as good as none."""
    grant = read_token_response(200, reply(api_domain=named))
    assert isinstance(grant, Grant)
    assert grant.api_domain == domain


def test_an_error_that_repeats_what_was_sent_is_struck_out() -> None:
    """A secret in the server's words does not get into the message."""
    body = json.dumps({"error": "bad", "error_description": "no such: s3cret\x1b[2J"}).encode()
    error = read_token_response(200, body, [Secret("s3cret"), None])
    assert isinstance(error, TokenRefused)
    assert "s3cret" not in error.message
    assert error.message.isprintable()


@given(st.integers(100, 599), st.binary(max_size=200))
def test_any_bytes_have_a_meaning(status: int, body: bytes) -> None:
    """No reply raises, and none without a token is a grant."""
    assert isinstance(read_token_response(status, body), AccountError)


NUMBERS = [0, -1, 3600, 10**400, 1.5, float("nan"), float("inf")]
TEXTS = ["", "Access Denied", "x\n", "1000.tok", "é", "Too Many Requests"]
VALUES: list[object] = [None, True, [], {}, [1], *NUMBERS, *TEXTS]
JSON = st.sampled_from(VALUES)


@given(
    st.sampled_from([200, 400, 401, 429, 500]),
    st.dictionaries(
        st.sampled_from(
            ["access_token", "expires_in", "expires_in_sec", "error", "error_description"]
        ),
        JSON,
    ),
)
def test_any_fields_have_a_meaning(status: int, fields: dict[str, object]) -> None:
    """Fields of wrong types are an error or a grant with a usable token and lifetime."""
    answer = read_token_response(status, json.dumps(fields).encode())
    if isinstance(answer, Grant):
        assert status == 200
        assert 0 < answer.lifetime_s <= 86_400
        assert answer.secret.reveal().isascii()
    else:
        assert isinstance(answer, AccountError)


def test_every_data_center_that_can_be_set_has_servers() -> None:
    """The settings know the same data centres as the table, and the stand-in."""
    assert {*REGIONS, "sandbox"} == set(get_args(DataCenter))
    for where in REGIONS.values():
        assert where.api_domain.startswith("https://www.zohoapis.")
        assert where.accounts_url is not None
        assert where.accounts_url.startswith("https://accounts.zoho")


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        (AccountSettings(), REGIONS["us"]),
        (AccountSettings(data_center="ca"), REGIONS["ca"]),
        (
            AccountSettings(data_center="eu", api_domain="https://crm.example"),
            Servers("https://crm.example", "https://accounts.zoho.eu"),
        ),
        (
            AccountSettings(api_domain="https://sandbox.zohoapis.com.au"),
            Servers("https://sandbox.zohoapis.com.au", "https://accounts.zoho.com.au"),
        ),
        (
            AccountSettings(api_domain="https://www.zohoapis.com.evil.example"),
            Servers("https://www.zohoapis.com.evil.example", None),
        ),
        (
            AccountSettings(api_domain="https://evil.zohoapis.com"),
            Servers("https://evil.zohoapis.com", None),
        ),
        (
            AccountSettings(api_domain="http://127.0.0.1:5"),
            Servers("http://127.0.0.1:5", "http://127.0.0.1:5"),
        ),
        (
            AccountSettings(accounts_url="https://accounts.example"),
            Servers("https://www.zohoapis.com", "https://accounts.example"),
        ),
    ],
)
def test_servers_follow_from_the_settings(account: AccountSettings, expected: Servers) -> None:
    """What is set wins, the data centre fills in, and for strangers no server is guessed."""
    assert servers(account) == expected


def test_the_stand_in_has_no_servers_before_it_runs() -> None:
    """Nothing is asked of a sandbox that is not started."""
    with pytest.raises(ConfigError, match="not running"):
        servers(AccountSettings(data_center="sandbox"))

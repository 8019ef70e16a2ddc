"""Secrets are in nothing that a run leaves behind, whatever the server says."""

from __future__ import annotations

import asyncio
import base64
import json
import stat
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from tests.support.programs import Ended, Program
from tests.support.reflecting_server import ACCESS_TOKEN, WAYS, reflecting_server
from tests.support.whole_runs import account, fetch, run_whole, settings

import bulkfetch
from bulkfetch.config import Credentials, WindowSettings
from bulkfetch.config.proxies import explicit
from bulkfetch.pipeline.account import AccountWorker
from bulkfetch.secret import Secret

pytestmark = pytest.mark.slow

CLIENT_ID = "1000.CLIENTclient77777777777777"
CLIENT_SECRET = "c11e47c11e47c11e47secretSECRETsecret"
REFRESH_TOKEN = "1000.refresh0refresh1refresh2.REFRESH3REFRESH4"
PLAIN_TOKEN = "1000.plain0plain1plain2plain3.PLAIN4PLAIN5PLAIN6"
PROXY_PASSWORD = "pr0xy-passw0rd-pr0xy-passw0rd"
SECRETS = (ACCESS_TOKEN, CLIENT_SECRET, REFRESH_TOKEN, PLAIN_TOKEN, PROXY_PASSWORD)
PIECE = 12  # so much of a secret is a secret

IDS = [f"5540230000077777{way}" for way in WAYS]
TOML = """
[account]
api_domain = "{url}"
accounts_url = "{url}"
[account.window]
requests = 1000
period_s = 0.1
margin_s = 0
[limits]
tries = 2
"""
REFRESHING = {
    "ZOHO_CLIENT_ID": CLIENT_ID,
    "ZOHO_CLIENT_SECRET": CLIENT_SECRET,
    "ZOHO_REFRESH_TOKEN": REFRESH_TOKEN,
    "HTTPS_PROXY": f"http://user:{PROXY_PASSWORD}@127.0.0.1:9",
}


def leaks(blob: bytes) -> list[str]:
    """Name the secrets of which a piece is in `blob`, in any case or in base64."""
    text = blob.lower()
    found = []
    for secret in SECRETS:
        raw = secret.encode()
        forms = [raw.lower()[at : at + PIECE] for at in range(len(raw) - PIECE + 1)]
        forms += [base64.b64encode(raw[at:])[:16].lower() for at in range(3)]
        if any(form in text for form in forms):
            found.append(secret)
    return found


def files_below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def check(folder: Path, ended: Ended) -> None:
    """See that neither the streams nor any file hold a secret, but for the token cache."""
    assert leaks(ended.out.encode()) == []
    assert leaks(ended.err.encode()) == []
    for path in files_below(folder):
        if path.parent == folder / "state" / "tokens":
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            assert leaks(path.read_bytes()) in ([ACCESS_TOKEN], [])
        else:
            assert leaks(path.read_bytes()) == [], path
            assert leaks(path.name.encode()) == []


def test_the_search_finds_what_it_looks_for() -> None:
    """The search for leaks sees a secret whole, in part, in capitals and in base64."""
    for text in (
        f"x{REFRESH_TOKEN}x",
        REFRESH_TOKEN[5:25],
        REFRESH_TOKEN.upper(),
        base64.b64encode(f"a{REFRESH_TOKEN}".encode()).decode(),
    ):
        assert leaks(text.encode()) == [REFRESH_TOKEN]
    assert leaks(b"1000. and nothing else") == []


@pytest.mark.parametrize("flags", [("-vv", "--json"), ("-vv",)])
def test_a_run_leaves_no_secret_when_the_server_sends_them_back(
    tmp_path: Path, flags: tuple[str, ...]
) -> None:
    """stdout, stderr at its loudest, journal, state and staging hold no piece of a secret."""
    with reflecting_server() as server:
        (tmp_path / "jobs.toml").write_text(TOML.format(url=server.url))
        ids = [*IDS[:15], *IDS[16:]]  # the account ends with a refused token, which is for below
        program = Program(tmp_path, dict(REFRESHING))
        ended = program.run("run", "jobs.toml", *flags, *ids)
    assert ended.status == 1
    assert any(ACCESS_TOKEN in head for head in server.heads)
    assert "NO_PERMISSION" in ended.out + ended.err
    check(tmp_path, ended)
    assert not leaks((tmp_path / "jobs.toml").read_bytes())


def test_a_refused_token_leaves_none_of_it(tmp_path: Path) -> None:
    """A 401 that quotes the token, from the environment, ends the run with no trace of it."""
    with reflecting_server() as server:
        (tmp_path / "jobs.toml").write_text(TOML.format(url=server.url))
        program = Program(tmp_path, {"ZOHO_ACCESS_TOKEN": PLAIN_TOKEN})
        ended = program.run("run", "jobs.toml", "-vv", "--json", IDS[15])
    assert ended.status == 3
    assert any(PLAIN_TOKEN in head for head in server.heads)
    assert "INVALID_TOKEN" in ended.err
    check(tmp_path, ended)


@pytest.mark.parametrize(
    "reply",
    [
        lambda form: json.dumps({"error": form}),
        lambda form: json.dumps({"error": "invalid", "error_description": "x" * 150 + form}),
        lambda form: json.dumps({"error": REFRESH_TOKEN.upper()}),
    ],
)
def test_an_accounts_server_that_quotes_the_form_leaves_none_of_it(
    tmp_path: Path, reply: Any
) -> None:
    """Whatever the accounts server says about what it was sent, nothing of it is told on."""
    with reflecting_server(reply) as server:
        (tmp_path / "jobs.toml").write_text(TOML.format(url=server.url))
        ended = Program(tmp_path, dict(REFRESHING)).run("run", "jobs.toml", "-vv", "--json", IDS[0])
    assert ended.status == 3
    check(tmp_path, ended)


def test_no_public_object_shows_a_secret(tmp_path: Path) -> None:
    """repr and str of settings, client, run, events, outcomes, report; errors with their frames."""
    errors: list[BaseException] = []
    real = AccountWorker._handle_failed_attempt

    async def failed(worker: AccountWorker, job: Any, attempt: Any, error: Any) -> None:
        errors.append(error)
        shown.extend((repr(job), repr(attempt), repr(worker._access), repr(worker)))
        await real(worker, job, attempt, error)

    shown: list[str] = []
    with reflecting_server() as server:
        fast = WindowSettings(requests=1000, period_s=0.1, margin_s=0)
        secrets = Credentials(
            client_id=Secret(CLIENT_ID),
            client_secret=Secret(CLIENT_SECRET),
            refresh_token=Secret(REFRESH_TOKEN),
        )
        one = account(
            server.url,
            credentials=secrets,
            window=fast,
            proxies=explicit(f"http://user:{PROXY_PASSWORD}@127.0.0.1:9"),
        )
        told = settings(tmp_path, one, tries=1)
        with patch.object(AccountWorker, "_handle_failed_attempt", failed):
            ran = asyncio.run(fetch(told, IDS))
        client = bulkfetch.Client(told)
    shown += map(repr, (told, one, secrets, client, ran.report, *ran.events, *ran.outcomes))
    shown += map(repr, (asdict(told), *ran.outcomes.values()))
    shown.append(json.dumps(asdict(told), default=str))
    shown += [str(each) for each in (told, secrets, ran.report, *errors)]
    assert len(errors) >= len(IDS)
    for error in errors:
        # As tools do that report errors with the variables of each frame.
        lines = traceback.TracebackException.from_exception(error, capture_locals=True).format()
        shown.append("".join(lines))
    for text in shown:
        assert leaks(text.encode()) == [], text


def test_a_proxy_that_cannot_be_used_keeps_its_password(tmp_path: Path) -> None:
    """Errors of a proxy name its host at most: nobody there, an unknown host, an odd address."""
    odd = ("[::1", "127.0.0.1:99999", "127.0.0.1:x", "127.0.0.1:0", "a b")
    for place in (*odd, "proxy..invalid:1", "%zz:1", "-:1"):
        with pytest.raises(ValueError) as refused:  # noqa: PT011
            explicit(f"http://user:{PROXY_PASSWORD}@{place}")
        assert leaks("".join(traceback.format_exception(refused.value)).encode()) == []
    places = ("127.0.0.1:9", "proxy.invalid:3128")

    async def main() -> str:
        texts = []
        for number, place in enumerate(places):
            proxies = explicit(f"http://user:{PROXY_PASSWORD}@{place}")
            one = account("https://api.invalid", proxies=proxies)
            ran = await fetch(settings(tmp_path / str(number), one), [IDS[0]])
            assert ran.report.done == 0
            texts.append(repr((ran.report, ran.events, ran.outcomes)))
        return "\n".join(texts)

    assert leaks(run_whole(main()).encode()) == []

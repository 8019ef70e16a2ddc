"""Servers that cannot be reached: what may heal is tried again, what cannot ends at once."""

from __future__ import annotations

import datetime
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.support.fault_table import tls_server
from tests.support.whole_runs import (
    Ran,
    account,
    fetch,
    refresh_token_of,
    run_whole,
    settings,
)

from bulkfetch.config.proxies import explicit
from bulkfetch.sandbox import Sandbox, SandboxOptions

JOBS = [f"55402300{number:010}" for number in range(12)]
PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
FUTURE = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)


def aborted(ran: Ran) -> tuple[str, str, str]:
    assert ran.report.aborted is not None
    assert ran.report.pending == len(ran.outcomes)
    assert ran.report.requests == 0
    cause = ran.report.aborted
    return cause.code, cause.message, cause.hint


@pytest.mark.parametrize(
    ("name", "more", "known", "words", "hint"),
    [
        ("127.0.0.1", {}, False, "is not trusted", "ca_file"),
        ("other.example", {}, True, "for another host", "api_domain"),
        ("127.0.0.1", {"not_after": PAST}, True, "has expired", "clock"),
        ("127.0.0.1", {"not_before": FUTURE, "not_after": FUTURE}, True, "not yet valid", "clock"),
    ],
)
@pytest.mark.parametrize("place", ["api", "accounts"])
def test_a_certificate_that_does_not_verify_ends_the_account_at_once(
    tmp_path: Path, name: str, more: dict[str, Any], known: bool, words: str, hint: str, place: str
) -> None:
    """No second look in vain, no slot spent, and words that say what to look at."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")

    async def main() -> Ran:
        async with AsyncExitStack() as stack:
            server = tls_server(authority, name, **more)
            bad = (await stack.enter_async_context(server)).url
            plain = await stack.enter_async_context(Sandbox(SandboxOptions(records=5, columns=3)))
            told = account(
                bad if place == "api" else plain.url,
                credentials=refresh_token_of("it") if place == "accounts" else None,
                ca_file=tmp_path / "ca.pem" if known else None,
                accounts_url=bad,
            )
            return await fetch(settings(tmp_path, told), JOBS)

    ran = run_whole(main())
    code, message, said = aborted(ran)
    assert code == "CERTIFICATE_REFUSED"
    assert words in message
    assert "127.0.0.1:" in message
    assert hint in said
    assert ran.report.elapsed_s < 1
    assert not ran.told("unconnected")


def unreachable(folder: Path, url: str, **more: Any) -> str:
    """Give the words of the account's end."""
    ran = run_whole(fetch(settings(folder, account(url, **more)), JOBS[:2]))
    code, message, _ = aborted(ran)
    assert code == "UNREACHABLE"
    assert ran.report.elapsed_s > 10  # it may heal, and was tried again
    assert not any(word in message for word in ("ssl:", "Cannot connect", "Connect call", "Errno"))
    return message


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_port_at_which_nobody_listens_is_said_so(tmp_path: Path, scheme: str) -> None:
    """Host and port, for plain http without a word of TLS; and the proxy's as the proxy's."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        assert f"{where} refused the connection" in unreachable(
            tmp_path / "a", f"{scheme}://{where}"
        )
        message = unreachable(
            tmp_path / "b", "https://api.invalid", proxies=explicit(f"http://u:hush-hush@{where}")
        )
        assert f"the proxy {where} refused the connection" in message
        assert "hush" not in message


def test_an_unknown_host_is_named(tmp_path: Path) -> None:
    """The name and the system's reason."""
    message = unreachable(tmp_path, "https://nothing.invalid")
    assert "nothing.invalid" in message


def test_plain_http_where_tls_is_due_is_said_so(tmp_path: Path) -> None:
    """Not with OpenSSL's words, which nobody reads."""

    async def main() -> Ran:
        async with Sandbox(SandboxOptions(records=5, columns=3)) as sandbox:
            told = account(sandbox.url.replace("http:", "https:"))
            return await fetch(settings(tmp_path, told), JOBS[:2])

    code, message, hint = aborted(run_whole(main()))
    assert code == "UNREACHABLE"
    assert "does not speak TLS" in message
    assert "http://" in hint

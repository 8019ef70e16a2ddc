"""Where a control call goes, and where it never does: proxies, authorities, hosts, messages."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from tests.support.control_server import (
    TOKEN,
    Answered,
    Tokens,
    control_client,
    control_server,
    status,
)
from tests.support.flow_clock import run_flow
from tests.support.recording_proxy import recording_proxy
from tests.support.reflecting_server import WAYS

from bulkfetch.control.allowance import ControlLimits
from bulkfetch.control.budget import ControlBudget
from bulkfetch.control.client import ControlClient
from bulkfetch.control.ledger import ProcessLedger
from bulkfetch.control.sender import ControlEndpoint
from bulkfetch.download.session import open_session
from bulkfetch.errors import (
    BulkfetchError,
    CertificateRefused,
    ConnectFailed,
    JobError,
    Redirected,
)

JOB = "5725767000000859031"
PASSWORD = "pr0xy-passw0rd-pr0xy"
PAGE_TOKEN = "bca6fb00112233445566778899"
PIECE = 12  # so much of a secret is a secret
BODY = {"query": {"page_token": PAGE_TOKEN}}


def leaked(failure: BaseException, *secrets: str) -> list[str]:
    """Name the secrets of which a piece is in an error, or in the frames that it came through."""
    told = traceback.TracebackException.from_exception(failure, capture_locals=True)
    ours = [frame for frame in told.stack if "bulkfetch/control" in frame.filename]
    assert ours
    assert told.__context__ is None or told.__suppress_context__
    kept = [str(frame.locals) for frame in ours if frame.name != "create"]  # has its argument
    text = "".join([*kept, str(vars(failure)), repr(failure)]).lower()
    return [
        secret
        for secret in secrets
        if any(secret.lower()[at : at + PIECE] in text for at in range(len(secret) - PIECE + 1))
    ]


async def failed(client: ControlClient, *, create: bool) -> BulkfetchError:
    """Make a call that must fail."""
    with pytest.raises(BulkfetchError) as caught:
        await (client.create(BODY) if create else client.status(JOB))
    return caught.value


@asynccontextmanager
async def reflecting(answer: bytes) -> AsyncIterator[str]:
    """Serve one answer to whoever comes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.sleep(0.01)  # closed transports say goodbye in the next rounds of the loop


@pytest.mark.parametrize("create", [True, False], ids=["create", "status"])
@pytest.mark.parametrize("way", WAYS)
def test_whatever_a_server_sends_back_no_secret_is_told(way: str, create: bool) -> None:
    """The access token and the page token, in every place of an answer."""

    async def main() -> list[str]:
        found = []
        for secret in (TOKEN, PAGE_TOKEN) if create else (TOKEN,):
            async with reflecting(WAYS[way](secret)) as url, control_client(url) as client:
                found += leaked(await failed(client, create=create), secret)
        return found

    assert run_flow(main()) == []


@pytest.mark.parametrize("http", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(http: int) -> None:
    """Neither to another host, which never sees the token, nor to the same one."""

    async def main() -> None:
        async with control_server(Answered(200, status())) as foreign:
            for target in (f"{foreign.url}/crm/bulk/v8/read/{JOB}", "/elsewhere"):
                answer = Answered(http, b"", {"Location": target})
                async with (
                    control_server(answer) as server,
                    control_client(server.url) as client,
                ):
                    for create in (True, False):
                        assert type(await failed(client, create=create)) is Redirected
                    assert len(server.asked) == 2
            assert not foreign.asked

    run_flow(main())


def test_a_proxy_is_asked_and_its_password_never_told() -> None:
    """The call goes through it; what goes wrong with it is told without what it was sent."""

    async def main() -> None:
        async with (
            control_server(Answered(200, status())) as server,
            recording_proxy() as proxy,
            control_client(server.url, proxy=f"http://user:{PASSWORD}@{proxy.address}") as client,
        ):
            for create in (True, False):
                failure = await failed(client, create=create)
                assert leaked(failure, PASSWORD, TOKEN) == []
            assert not server.asked
            assert proxy.asked[0].startswith(f"POST {server.url}/crm/bulk/v8/read")
        for wrong in (f"http://user:{PASSWORD}@127.0.0.1:9", f"http://user:{PASSWORD}@["):
            async with control_client("http://127.0.0.1:9", proxy=wrong) as client:
                failure = await failed(client, create=True)
                assert isinstance(failure, ConnectFailed)
                assert leaked(failure, PASSWORD, TOKEN) == []

    run_flow(main())


def test_a_servers_certificate_must_be_trusted(tmp_path: Path) -> None:
    """As for downloads: with ca_file, else not at all, and then nothing was created."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def main() -> None:
        async with control_server(Answered(200, status()), tls=context) as server:
            for known in (None, tmp_path / "ca.pem"):
                budget = ControlBudget(ControlLimits(), "k", ProcessLedger("k", own=True), 300)
                async with open_session(known) as session:
                    client = ControlClient(
                        "default", session, ControlEndpoint(server.url, "v8"), Tokens(), budget
                    )
                    if known:
                        assert (await client.status(JOB)).state == "ADDED"
                    else:
                        for create in (True, False):
                            failure = await failed(client, create=create)
                            assert isinstance(failure, CertificateRefused)
                        assert not server.asked
                        assert client.credits == 0

    asyncio.run(main())


def test_a_session_that_cannot_tell_what_was_sent_is_refused() -> None:
    """Else a create whose answer was lost would pass for one that never left."""

    async def main() -> None:
        import aiohttp

        async with aiohttp.ClientSession() as session:
            budget = ControlBudget(ControlLimits(), "k", ProcessLedger("k", own=True), 300)
            with pytest.raises(ValueError, match="open_session"):
                ControlClient(
                    "default", session, ControlEndpoint("http://x", "v8"), Tokens(), budget
                )

    run_flow(main())


def test_a_server_that_takes_a_create_and_says_nothing_is_given_up() -> None:
    """After its time is over; the export may exist."""

    async def main() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            async with control_client(f"http://127.0.0.1:{port}") as client:
                failure = await failed(client, create=True)
                assert isinstance(failure, JobError)
                assert failure.code == "CREATE_UNKNOWN"
                assert client.credits == 50
            await asyncio.sleep(0.01)

    run_flow(main())

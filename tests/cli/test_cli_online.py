"""`bulkfetch check --online`: one token and one connection, on real sockets, and no request."""

import asyncio
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.support.accounts_server import AccountsServer, accounts_server
from tests.support.fault_table import tls_server
from tests.support.hung_system import built
from tests.support.programs import Ended, Program
from tests.support.recording_proxy import recording_proxy

from bulkfetch.sandbox import AccountSpec, Sandbox, SandboxOptions

pytestmark = pytest.mark.slow

SECRET = "1000.hushhushhush"
CREDENTIALS = {f"ZOHO_{name}": SECRET for name in ("CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN")}


async def online(program: Program, text: str, *options: str, **env: str) -> Ended:
    """Check these settings in a process of its own, while this loop serves."""
    (program.folder / "jobs.toml").write_text(f"[account]\n{text}\n")
    program.env |= env
    arguments = ("check", "jobs.toml", "--online", "--json", *options)
    ended = await asyncio.to_thread(program.run, *arguments)
    assert SECRET not in ended.out + ended.err
    return ended


def seen(ended: Ended, name: str) -> dict[str, Any]:
    """The one finding of a name."""
    [record] = [record for record in ended.records if record["name"] == f"account.{name}"]
    return record


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_a_token_and_a_connection(program: Program) -> None:
    """It tells that both came about; the server saw one refresh, no other request, and no run did.

    The token is kept for the next run: it was one of ten.
    """

    async def main() -> None:
        spec = AccountSpec(refresh_tokens=(SECRET,))
        async with Sandbox(SandboxOptions(auth=True, accounts={"a": spec})) as sandbox:
            ended = await online(program, f'api_domain = "{sandbox.url}"', **CREDENTIALS)
            assert ended.status == 0
            assert seen(ended, "connection")["value"] == "connected to 127.0.0.1, without TLS"
            assert seen(ended, "token")["value"] == "got one from 127.0.0.1"
            assert [arrival.kind for arrival in sandbox.log] == ["token"]
            # Got anew each time, or a token of an hour ago would hide what has changed since.
            await online(program, f'api_domain = "{sandbox.url}"')
            assert [arrival.kind for arrival in sandbox.log] == ["token"] * 2
            ran = await asyncio.to_thread(program.run, "run", "jobs.toml", "1", "--json")
            assert ran.status == 0
            assert [arrival.kind for arrival in sandbox.log] == ["token", "token", "result"]

    run(main())


def test_nothing_is_counted(program: Program) -> None:
    """No window is opened and no folder made: ten more are free for who comes next."""

    async def main() -> None:
        async with Sandbox(SandboxOptions()) as sandbox:
            ended = await online(program, f'api_domain = "{sandbox.url}"', ZOHO_ACCESS_TOKEN=SECRET)
            assert ended.status == 0
            assert "only a request can show" in seen(ended, "token")["value"]
            assert sandbox.log == []

    run(main())
    assert sorted(path.name for path in program.folder.iterdir()) == ["jobs.toml"]


def test_through_a_proxy_over_tls(program: Program) -> None:
    """The proxy of the environment is used as in a run, and the certificate is verified."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(program.folder / "ca.pem")

    async def main() -> None:
        async with (
            tls_server(authority, "crm.example") as sandbox,
            recording_proxy(int(sandbox.url.rpartition(":")[2])) as proxy,
        ):
            ended = await online(
                program,
                'api_domain = "https://crm.example"\nca_file = "ca.pem"',
                ZOHO_ACCESS_TOKEN=SECRET,
                HTTPS_PROXY=f"http://user:{SECRET}@{proxy.address}",
            )
            assert ended.status == 0
            assert seen(ended, "connection")["value"] == (
                f"connected to crm.example through {proxy.address}, TLSv1.3, verified"
            )
            assert proxy.asked == ["CONNECT crm.example:443 HTTP/1.1"]
            assert b"Proxy-Authorization: Basic " in proxy.sent
            assert sandbox.log == []

    run(main())


def test_an_account_that_lives_elsewhere(program: Program) -> None:
    """The accounts server names another API domain than the settings: a warning, both named."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(program.folder / "ca.pem")

    def elsewhere(server: AccountsServer) -> None:
        server.api_domain = "https://www.zohoapis.in"

    async def main() -> None:
        async with (
            tls_server(authority, "www.zohoapis.eu") as sandbox,
            recording_proxy(int(sandbox.url.rpartition(":")[2])) as proxy,
            accounts_server(elsewhere) as accounts,
        ):
            ended = await online(
                program,
                f'data_center = "eu"\naccounts_url = "{accounts.url}"\nca_file = "ca.pem"\n'
                f'proxy = "http://{proxy.address}"',
                **CREDENTIALS,
            )
            assert ended.status == 0
            warnings = [each for each in ended.records if each["verdict"] == "warning"]
            assert [warning["name"] for warning in warnings] == ["account.token"]
            assert "https://www.zohoapis.in" in warnings[0]["value"]
            assert "https://www.zohoapis.eu" in warnings[0]["value"]

    run(main())


def failing(program: Program, text: str, name: str, code: str, **env: str) -> dict[str, Any]:
    """Check settings that fail online with this code; give the finding."""
    ended = asyncio.run(online(program, text, **env))
    record = seen(ended, name)
    assert (ended.status, record["verdict"], record["code"]) == (3, "bad", code)
    assert record["hint"]
    assert f"{code}: {record['value']}" in program.run("check", "jobs.toml", "--online").out
    return record


def test_nobody_listens(program: Program) -> None:
    """A port that refuses is told as what a run would meet."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    text = f'api_domain = "http://127.0.0.1:{port}"'
    failing(program, text, "connection", "CONNECT_FAILED", ZOHO_ACCESS_TOKEN=SECRET)


def test_a_host_that_has_no_address(program: Program) -> None:
    """A name that resolves to nothing is told with the name."""
    text = 'api_domain = "https://no-such-host.invalid"'
    record = failing(program, text, "connection", "CONNECT_FAILED", ZOHO_ACCESS_TOKEN=SECRET)
    assert "no-such-host.invalid" in record["value"]


def test_a_name_service_that_is_silent(program: Program, tmp_path: Path) -> None:
    """A lookup that hangs is given up after connect_s, and does not keep the process."""
    library = built(tmp_path)
    text = 'api_domain = "https://crm.hung.example"\n[limits]\nconnect_s = 1'
    env = {"LD_PRELOAD": str(library), "HANG_NAMES": "hung.example", "ZOHO_ACCESS_TOKEN": SECRET}
    record = failing(program, text, "connection", "CONNECT_FAILED", **env)
    assert "crm.hung.example" in record["value"]


def test_a_server_that_does_not_speak_tls(program: Program, tmp_path: Path) -> None:
    """TLS on a plain port fails in words of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        import threading

        def answer() -> None:
            for _ in range(2):
                connection, _ = server.accept()
                with connection:
                    connection.recv(100)
                    connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

        serving = threading.Thread(target=answer)
        serving.start()
        text = f'api_domain = "https://127.0.0.1:{server.getsockname()[1]}"'
        failing(program, text, "connection", "TLS_FAILED", ZOHO_ACCESS_TOKEN=SECRET)
        serving.join()


def test_a_certificate_that_nobody_vouches_for(program: Program) -> None:
    """An unknown authority, and a certificate for another name, are refused; the hint says how."""

    async def main() -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(program.folder / "ca.pem")
        async with tls_server(authority, "127.0.0.1") as sandbox:
            text = f'api_domain = "{sandbox.url}"\n'
            ended = await online(program, text, ZOHO_ACCESS_TOKEN=SECRET)
            assert ended.status == 3
            record = seen(ended, "connection")
            assert record["code"] in ("TLS_FAILED", "CERTIFICATE_REFUSED")
            assert "ca_file" in record["hint"]
            ended = await online(program, f'{text}ca_file = "ca.pem"')
            assert ended.status == 0
            other = sandbox.url.replace("127.0.0.1", "localhost")
            ended = await online(program, f'api_domain = "{other}"\nca_file = "ca.pem"')
            assert ended.status == 3
            assert sandbox.log == []

    run(main())


def test_a_proxy_that_refuses(program: Program) -> None:
    """What a proxy says in place of a tunnel is told by its status."""

    async def main() -> None:
        async with recording_proxy(answer="407") as proxy:
            ended = await online(
                program,
                f'api_domain = "https://crm.example"\nproxy = "http://u:{SECRET}@{proxy.address}"',
                ZOHO_ACCESS_TOKEN=SECRET,
            )
            record = seen(ended, "connection")
            assert (ended.status, record["code"]) == (3, "CONNECT_FAILED")
            assert record["value"] == f"the proxy {proxy.address} answered HTTP 407"
        for answer in ("garbage", "closes"):
            async with recording_proxy(answer=answer) as proxy:
                ended = await online(
                    program, f'api_domain = "https://crm.example"\nproxy = "http://{proxy.address}"'
                )
                assert seen(ended, "connection")["code"] == "CONNECT_FAILED"

    run(main())


def test_a_refresh_token_that_is_refused(program: Program) -> None:
    """A revoked refresh token is found before the night."""

    async def main() -> None:
        async with Sandbox(SandboxOptions(auth=True)) as sandbox:
            ended = await online(program, f'api_domain = "{sandbox.url}"', **CREDENTIALS)
            record = seen(ended, "token")
            assert (ended.status, record["code"]) == (3, "TOKEN_REFUSED")
            assert record["hint"]
            assert seen(ended, "connection")["verdict"] == "ok"

    run(main())


def test_a_command_that_gives_no_token(program: Program) -> None:
    """token_command is run once, and what is wrong with its output is told; a good one is not."""

    async def main() -> None:
        async with Sandbox(SandboxOptions()) as sandbox:
            where = f'api_domain = "{sandbox.url}"\ntoken_command = '
            for command, code in (
                ('["false"]', "TOKEN_COMMAND_FAILED"),
                (f"""["echo", '"{SECRET}"']""", "TOKEN_COMMAND_FAILED"),
                (f'["echo", "{SECRET}"]', None),
            ):
                ended = await online(program, where + command)
                assert (ended.status, seen(ended, "token")["code"]) == (3 if code else 0, code)
            assert seen(ended, "token")["value"] == "got one from token_command echo"

    run(main())


def test_the_built_in_sandbox_needs_no_network(program: Program) -> None:
    """Where the stand-in is started inside the run there is nothing to connect to before."""
    ended = program.run("check", program.settings(), "--online")
    assert ended.status == 0
    assert "account.connection: the sandbox is started inside a run" in ended.out

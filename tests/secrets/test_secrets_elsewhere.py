"""The token goes to the server it is for: no proxy by surprise, no .netrc, no unchecked TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
from tests.support.fault_table import tls_server
from tests.support.recording_proxy import RecordingProxy, recording_proxy
from tests.support.whole_runs import Ran, fetch, run_whole

from bulkfetch import ConfigError, load_settings
from bulkfetch.download.session import open_session
from bulkfetch.sandbox import Sandbox, SandboxOptions

JOB = "554023000000568002"
TOKEN = "1000.token-that-nobody-else-should-see"
REFRESHING = {
    "ZOHO_CLIENT_ID": "client",
    "ZOHO_CLIENT_SECRET": "hush-hush-hush",
    "ZOHO_REFRESH_TOKEN": "1000.refresh-refresh-refresh",
}


def proxied(proxy: RecordingProxy) -> dict[str, str]:
    """Every variable that names a proxy."""
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    url = f"http://{proxy.address}"
    return {name: url for upper in names for name in (upper, upper.lower())}


def toml(folder: Path, url: str, more: str = "") -> Path:
    path = folder / "jobs.toml"
    path.write_text(f'[account]\napi_domain = "{url}"\naccounts_url = "{url}"\n{more}\n')
    return path


async def run(folder: Path, url: str, env: dict[str, str], more: str = "") -> Ran:
    told = load_settings(
        toml(folder, url, more),
        {"BULKFETCH_STATE_DIR": str(folder / "state"), **env},
        out=folder / "out",
    )
    return await fetch(told, [JOB])


def test_a_server_on_this_machine_is_asked_directly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxies of the environment get nothing of what is for loopback, and .netrc is not sent."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login somebody password netrc-password\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    seen: list[str | None] = []

    async def main() -> tuple[Ran, RecordingProxy]:
        async with Sandbox(SandboxOptions(records=5)) as sandbox, recording_proxy() as proxy:
            for name, value in proxied(proxy).items():
                monkeypatch.setenv(name, value)
            identify = sandbox._accounts.identify

            def look(sent: str | None) -> str | None:
                seen.append(sent)
                return identify(sent)

            monkeypatch.setattr(sandbox._accounts, "identify", look)
            ran = await run(tmp_path, sandbox.url, {"ZOHO_ACCESS_TOKEN": TOKEN, **proxied(proxy)})
            return ran, proxy

    ran, proxy = run_whole(main())
    assert ran.report.done == 1
    assert seen == [f"Zoho-oauthtoken {TOKEN}"]
    assert proxy.asked == []


@pytest.mark.parametrize("credentials", [{"ZOHO_ACCESS_TOKEN": TOKEN}, REFRESHING])
def test_a_proxy_of_the_environment_sees_a_tunnel_and_nothing_in_it(
    tmp_path: Path, credentials: dict[str, str]
) -> None:
    """HTTPS_PROXY is used for API and accounts server alike, and is told their name and port."""

    async def main() -> tuple[Ran, RecordingProxy]:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        async with (
            tls_server(authority, "crm.example") as sandbox,
            recording_proxy(int(sandbox.url.rpartition(":")[2])) as proxy,
        ):
            env = proxied(proxy) | credentials
            ran = await run(tmp_path, "https://crm.example", env, 'ca_file = "ca.pem"')
            return ran, proxy

    ran, proxy = run_whole(main())
    assert ran.report.done == 1
    assert set(proxy.asked) == {"CONNECT crm.example:443 HTTP/1.1"}
    for secret in (TOKEN, "Zoho-oauthtoken", *REFRESHING.values()):
        assert secret.encode() not in proxy.sent


@pytest.mark.parametrize(
    ("env", "more"),
    [({"NO_PROXY": "crm.invalid"}, ""), ({"no_proxy": "*"}, ""), ({}, 'proxy = ""')],
)
def test_a_proxy_can_be_refused(tmp_path: Path, env: dict[str, str], more: str) -> None:
    """NO_PROXY, or an empty proxy in jobs.toml, leads round the proxy of the environment."""

    async def main() -> tuple[Ran, RecordingProxy]:
        async with recording_proxy() as proxy:
            told = proxied(proxy) | {"ZOHO_ACCESS_TOKEN": TOKEN} | env
            return await run(tmp_path, "https://crm.invalid", told, more), proxy

    ran, proxy = run_whole(main())
    assert ran.report.aborted is not None
    assert ran.report.aborted.code == "UNREACHABLE"
    assert proxy.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "http://www.zohoapis.com",
        "https://user:pass@www.zohoapis.com",
        "https://www.zohoapis.com/path",
        "https://www.zohoapis.com?x=1",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "ftp://127.0.0.1",
        "https://evil.example\\@www.zohoapis.com",
    ],
)
def test_a_token_goes_over_tls_or_stays_on_this_machine(tmp_path: Path, url: str) -> None:
    """Plain http to any host but loopback, and addresses that hide a host, are refused at once."""
    path = tmp_path / "jobs.toml"
    path.write_text(f"[account]\napi_domain = '{url}'\n")
    with pytest.raises(ConfigError):
        load_settings(path, {"ZOHO_ACCESS_TOKEN": TOKEN})


@pytest.mark.parametrize("key", ["verify", "verify_ssl", "verify_tls", "ssl", "insecure", "tls"])
def test_checking_certificates_cannot_be_switched_off(tmp_path: Path, key: str) -> None:
    """No key of jobs.toml does it."""
    path = toml(tmp_path, "https://www.zohoapis.com", f"{key} = false")
    with pytest.raises(ConfigError, match=key):
        load_settings(path, {})


def test_no_variable_switches_the_checking_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that is not to be trusted ends the account, whatever the environment says."""
    for name in ("PYTHONHTTPSVERIFY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AIOHTTP_SSL"):
        monkeypatch.setenv(name, "" if "BUNDLE" in name else "0")

    async def main() -> tuple[Ran, list[object]]:
        async with tls_server(trustme.CA(), "127.0.0.1") as sandbox:
            ran = await run(tmp_path, sandbox.url, {"ZOHO_ACCESS_TOKEN": TOKEN})
            return ran, list(sandbox.log)

    ran, log = run_whole(main())
    assert log == []
    assert ran.report.aborted is not None
    assert ran.report.aborted.code == "CERTIFICATE_REFUSED"
    assert "ca_file" in ran.report.aborted.hint


@pytest.mark.anyio
async def test_a_ca_file_adds_to_the_system_and_checks_names(tmp_path: Path) -> None:
    """With a ca_file or none, certificates are required, host names checked, the system's kept."""
    system = ssl.create_default_context().cert_store_stats()["x509_ca"]
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(path)
    for ca_file, added in ((path, 1), (None, 0)):
        async with open_session(ca_file) as session:
            context = session.connector._ssl  # type: ignore[union-attr]
            assert isinstance(context, ssl.SSLContext)
            assert context.verify_mode is ssl.CERT_REQUIRED
            assert context.check_hostname
            assert context.cert_store_stats()["x509_ca"] == system + added


def test_a_ca_file_that_is_none_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    """An unusable ca_file is an error of the settings, not a reason to trust everybody."""
    (tmp_path / "ca.pem").write_text("not a certificate")

    async def main() -> list[object]:
        async with tls_server(trustme.CA(), "127.0.0.1") as sandbox:
            env = {"ZOHO_ACCESS_TOKEN": TOKEN}
            with pytest.raises(ConfigError, match="ca_file"):
                await run(tmp_path, sandbox.url, env, 'ca_file = "ca.pem"')
            return list(sandbox.log)

    assert run_whole(main()) == []

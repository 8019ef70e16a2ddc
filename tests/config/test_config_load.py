"""jobs.toml and the environment become Settings, or one sentence that says what is wrong."""

from __future__ import annotations

import contextlib
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkfetch.config import (
    AccountSettings,
    ControlSettings,
    Credentials,
    JobEntry,
    Limits,
    Settings,
    WindowSettings,
    load_settings,
)
from bulkfetch.config.bucket import DestinationSettings
from bulkfetch.config.document import parse_document
from bulkfetch.config.export import ExportTable
from bulkfetch.config.parquet import ParquetSettings
from bulkfetch.config.settings import AccountTable, Tables
from bulkfetch.errors import ConfigError

ROOT = Path(__file__).parents[2]


def write(folder: Path, text: str) -> Path:
    path = folder / "jobs.toml"
    path.write_text(text)
    return path


def refusal(folder: Path, text: str, env: dict[str, str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_settings(write(folder, text), env or {})
    return caught.value


def test_defaults_are_those_of_the_contract(tmp_path: Path) -> None:
    """An empty file means one account in the US, ten requests a minute, generous limits."""
    settings = load_settings(write(tmp_path, ""), {})
    (account,) = settings.accounts
    assert (account.name, account.version, account.env_prefix) == ("default", "v8", "")
    assert account.window == WindowSettings(requests=10, period_s=60, margin_s=1.0, concurrency=10)
    assert account.control == ControlSettings(
        concurrency=2,
        creates_per_minute=5,
        polls_per_minute=30,
        credits_per_day=None,
        credits_reserve=2_000,
    )
    assert settings.limits.zip_bytes == 4 * 1024**3
    assert settings.limits.file_bytes == 64 * 1024**3
    assert settings.limits.free_bytes == 64 * 1024**2
    assert (settings.limits.idle_s, settings.limits.tries) == (60, 5)
    assert settings.out == tmp_path / "exports"
    assert settings.origin("out") == "default"


def test_all_keys_of_the_contract_are_read(tmp_path: Path) -> None:
    """Every key of the documented file arrives under its own name, with its line as origin."""
    (tmp_path / "ca.pem").touch()
    path = write(
        tmp_path,
        """
out = "there"
ids_file = "ids.txt"
ids_column = "Job ID"
keep_zip = true
[account]
data_center = "eu"
version = "v7"
result_path = "/crm/{version}/read/{job_id}/result"
token_command = ["pass", "show", "zoho"]
token_cache = "keyring"
env_prefix = "ACME_"
ca_file = "ca.pem"
proxy = "http://user:hunter2@proxy:3128"
[account.window]
requests = 3
period_s = 90
margin_s = 0
concurrency = 2
[account.control]
creates_per_minute = 1
credits_per_day = 10_000
[limits]
zip_bytes = "500 MB"
threads = 2
[[jobs]]
id = "554023000000568002"
name = "Leads"
""",
    )
    settings = load_settings(path, {})
    account = settings.account("default")
    assert settings.out == tmp_path / "there"
    assert settings.ids_file == tmp_path / "ids.txt"
    assert (settings.ids_column, settings.keep_zip) == ("Job ID", True)
    assert account.token_command == ("pass", "show", "zoho")
    assert account.token_cache == "keyring"
    assert account.ca_file == tmp_path / "ca.pem"
    assert account.window.period_s == 90
    assert settings.limits.zip_bytes == 500_000_000
    assert settings.jobs[0].stem == "Leads"
    assert settings.origin("account.window.requests") == f"{path}:16"
    assert (account.control.creates_per_minute, account.control.concurrency) == (1, 2)
    assert account.control.credits_per_day == 10_000
    assert settings.origin("jobs[1].name") == f"{path}:28"
    proxied = account.proxies.url_for("https://www.zohoapis.eu")
    assert proxied == "http://user:hunter2@proxy:3128"
    assert account.proxies.url_for("http://127.0.0.1:8080") is None
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "\n[account.windw]\nrequests = 3\n",
            "unknown key account.windw (line 2)",
            'did you mean "window"?',
        ),
        ("otu = 'x'\n", "unknown key otu (line 1)", 'did you mean "out"?'),
        ("[limits]\nzip_byte = 1\n", "limits.zip_byte (line 2)", 'did you mean "zip_bytes"?'),
        ("[[jobs]]\nid='1'\n[[jobs]]\nid='2'\nnmae='x'\n", "jobs[2].nmae (line 5)", '"name"'),
        ("[accounts.acme]\nversoin = 'v8'\n", "accounts.acme.versoin (line 2)", '"version"'),
        ("[account]\naccess_token = '1000.s3cret'\n", "account.access_token", "environment"),
        ("[account]\nclient_secret = 's3cret'\n", "account.client_secret", "environment"),
        ("[account]\nverify_tls = false\n", "unknown key account.verify_tls", "Available: "),
        ("keep_zip = 'yes'\n", "keep_zip must be true or false (line 1)", ""),
        ("[limits]\ntries = true\n", "limits.tries must be a whole number (line 2)", ""),
        ("[limits]\ntries = '5'\n", "limits.tries must be a whole number", ""),
        ("[limits]\nidle_s = nan\n", "limits.idle_s must be", ""),
        ("[limits]\nzip_bytes = '4 GiBi'\n", 'must be a size such as "4 GiB"', ""),
        ("[limits]\nzip_bytes = 0\n", "limits.zip_bytes must be more than 0", ""),
        ("[limits]\nfree_bytes = -1\n", "limits.free_bytes must be at least 0", ""),
        ("[limits]\nfree_bytes = false\n", "limits.free_bytes must be a size", ""),
        ("[[jobs]]\nid = 554023000000568002\n", "jobs[1].id must be a string", "quotes"),
        ("[[jobs]]\nid = '../../etc/passwd'\n", "jobs[1].id must be a job id", ""),
        ("[[jobs]]\nid = '١٢٣'\n", "jobs[1].id must be a job id", ""),
        ("[[jobs]]\nname = 'x'\n", "jobs[1].id is missing (line 1)", ""),
        ("[[jobs]]\nid='1'\nname='../x'\n", "jobs[1].name cannot be a file's name", ""),
        ("[account]\ndata_center = 'usa'\n", "account.data_center must be one of", ""),
        ("[account]\nwindow = 3\n", "account.window must be a table", ""),
        ("[account]\ntoken_command = 'pass'\n", "account.token_command must be a list", ""),
        ("[account]\ntoken_command = []\n", "account.token_command is empty", ""),
        ("[account]\ntoken_cache = 'yes'\n", "account.token_cache", ""),
        ("[account]\nversion = '8/../..'\n", "account.version must be a version", ""),
        ("[account]\nresult_path = '//evil.example/{job_id}'\n", "account.result_path", ""),
        ("[account]\nresult_path = '/read/{id}'\n", "must contain {job_id}", ""),
        ("[account]\nresult_path = '/r/{job_id.__class__}'\n", "account.result_path", ""),
        ("[account]\napi_domain = 'http://www.zohoapis.com'\n", "must begin with https://", ""),
        ("[account]\napi_domain = 'https://u:p@zohoapis.com'\n", "without user name", ""),
        ("[account]\napi_domain = 'https://zohoapis.com?x=1'\n", "without user name", ""),
        ("[account]\nproxy = 'socks5://localhost'\n", "proxy must be a proxy's address", ""),
        ("[account]\nca_file = 'none.pem'\n", "account.ca_file: no such file", ""),
        ("[account]\n[accounts.acme]\n", "both [account] and [accounts.NAME]", ""),
        ("[accounts]\n", "accounts is empty", ""),
        ("[accounts.'../x']\n", "must be 1 to 64 letters", ""),
        ("[account.window]\nrequests = 11\n", "Zoho allows 10 requests", "on this machine"),
        ("[account.window]\nperiod_s = 59.9\n", "Zoho allows 10 requests", ""),
        ("[account.window]\nrequests = 0\n", "account.window.requests must be at least 1", ""),
        ("out = \n", "not TOML", ""),
        ('out = "a\\u0000b"\n', "out must be a path without NUL (line 1)", ""),
        ("[[jobs]]\nid='1'\naccount='acme'\n", "unknown account 'acme'", "Available: default"),
        (
            "[[jobs]]\nid='1'\nname='Leads'\n[[jobs]]\nid='2'\nname='LEADS'\n",
            "job 2 and job 1 would both be published as 'LEADS'",
            "another name",
        ),
        ("[[jobs]]\nid='1'\n[[jobs]]\nid='2'\nname='1'\n", "job 2 and job 1", ""),
        ("[[jobs]]\nid='1'\nname='é'\n[[jobs]]\nid='2'\nname='e\u0301'\n", "job 2 and job 1", ""),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str, hint: str) -> None:
    """A mistake is told with file, key and line, with the nearest right name, without a value."""
    error = refusal(tmp_path, text)
    assert message in error.message
    assert error.message.startswith(str(tmp_path / "jobs.toml")) or "Zoho allows" in error.message
    assert hint in error.hint
    assert "s3cret" not in f"{error.message} {error.hint}"


def test_toml_syntax_errors_keep_line_and_column(tmp_path: Path) -> None:
    """What is not TOML is told where."""
    assert "line 2, column" in refusal(tmp_path, "out = 'x'\n[account\n").message


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_cannot_be_read_is_a_configuration_error(tmp_path: Path, name: str) -> None:
    """A missing settings file and a folder in its place are told, not raised as OSError."""
    with pytest.raises(ConfigError):
        load_settings(tmp_path / name, {})


def test_a_settings_file_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    """Latin-1 in a comment is found and told where."""
    path = tmp_path / "jobs.toml"
    path.write_bytes(b"# fine\n# caf\xe9\n")
    with pytest.raises(ConfigError, match=r"not UTF-8 \(line 2\)"):
        load_settings(path, {})


def test_paths_are_given_as_the_user_gave_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a relative settings file `out` is relative to the working directory; --out wins."""
    (tmp_path / "conf").mkdir()
    write(tmp_path / "conf", "out = 'exports'\n")
    monkeypatch.chdir(tmp_path)
    assert str(load_settings("conf/jobs.toml", {}).out) == "conf/exports"
    settings = load_settings("conf/jobs.toml", {}, out="here", keep_zip=True)
    assert (str(settings.out), settings.keep_zip) == ("here", True)
    assert settings.origin("out") == "--out"


def test_a_tilde_is_the_user_s_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in the file may begin with ~; that of a user who does not exist is told."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_settings(write(tmp_path, "out='~/x'\n"), {}).out == tmp_path / "x"
    assert "no such home" in refusal(tmp_path, "out='~nobody-here/x'\n").message


def test_credentials_come_from_the_environment_with_a_prefix(tmp_path: Path) -> None:
    """Each account reads its own variables, which win over the file."""
    text = "[accounts.a]\nenv_prefix='A_'\n[accounts.b]\nenv_prefix='B_'\ndata_center='in'\n"
    env = {
        "A_ZOHO_ACCESS_TOKEN": " 1000.tokA \n",
        "B_ZOHO_CLIENT_ID": "id",
        "B_ZOHO_CLIENT_SECRET": "sec",
        "B_ZOHO_REFRESH_TOKEN": "ref",
        "B_ZOHO_API_DOMAIN": "https://SANDBOX.zohoapis.in/",
        "ZOHO_ACCESS_TOKEN": "nobody's",
    }
    settings = load_settings(write(tmp_path, text), env)
    a, b = settings.accounts
    assert a.credentials.access_token is not None
    assert a.credentials.access_token.reveal() == "1000.tokA"
    assert b.credentials.can_refresh
    assert b.credentials.access_token is None
    assert b.api_domain == "https://sandbox.zohoapis.in"
    assert settings.origin("accounts.b.client_id") == "environment B_ZOHO_CLIENT_ID"
    assert not any(secret in repr(settings) for secret in ("tokA", "'sec'", "'ref'"))


@pytest.mark.parametrize("value", ["two words", "a\nb", "é", "x" * 5000])
def test_a_secret_that_cannot_be_sent_is_refused_without_being_told(
    tmp_path: Path, value: str
) -> None:
    """A token with spaces, line ends or other scripts is a configuration error naming its name."""
    error = refusal(tmp_path, "", {"ZOHO_ACCESS_TOKEN": value})
    assert "ZOHO_ACCESS_TOKEN" in error.message
    assert value not in error.message


def test_half_a_set_of_credentials_names_the_missing_half(tmp_path: Path) -> None:
    """A refresh token without its client is an error, or a warning beside an access token."""
    env = {"ZOHO_REFRESH_TOKEN": "ref", "ZOHO_CLIENT_ID": "id"}
    assert "ZOHO_CLIENT_SECRET not set" in refusal(tmp_path, "", env).message
    settings = load_settings(write(tmp_path, ""), env | {"ZOHO_ACCESS_TOKEN": "tok"})
    assert "ZOHO_CLIENT_SECRET not set" in settings.warnings[0]


def test_a_secrets_file_is_read_and_its_mode_complained_about(tmp_path: Path) -> None:
    """KEY=VALUE lines stand in for the environment; others being able to read them is told."""
    secrets = tmp_path / "zoho.env"
    secrets.write_text("# mine\nexport ZOHO_CLIENT_ID='id'\nZOHO_CLIENT_SECRET=\"sec\"\n\n")
    secrets.chmod(0o640)
    path = write(tmp_path, "[account]\nsecrets_file = 'zoho.env'\n")
    settings = load_settings(path, {"ZOHO_REFRESH_TOKEN": "ref"})
    assert settings.account("default").credentials.can_refresh
    assert "mode 640" in settings.warnings[0]
    secrets.chmod(0o600)
    assert load_settings(path, {"ZOHO_REFRESH_TOKEN": "ref"}).warnings == ()


@pytest.mark.parametrize("raw", [b"s3cret line\n", b"\xff\xfeX=1", b"A=" + b"s3cret" * 20_000])
def test_a_broken_secrets_file_is_refused_without_its_text(tmp_path: Path, raw: bytes) -> None:
    """The error names file and line, and repeats nothing of what may be a secret."""
    (tmp_path / "zoho.env").write_bytes(raw)
    error = refusal(tmp_path, "[account]\nsecrets_file = 'zoho.env'\n")
    assert "secrets_file" in error.message
    assert "s3cret" not in error.message


def test_the_sandbox_takes_nothing_from_the_environment(tmp_path: Path) -> None:
    """Real tokens and addresses in the environment never reach the stand-in."""
    env = {
        "ZOHO_ACCESS_TOKEN": "real",
        "ZOHO_API_DOMAIN": "https://www.zohoapis.com",
        "HTTPS_PROXY": "socks5://localhost:1080",
    }
    text = "[account]\ndata_center='sandbox'\n[account.window]\nrequests=100\nperiod_s=1\n"
    account = load_settings(write(tmp_path, text), env).account("default")
    assert account.is_sandbox
    assert account.credentials == Credentials()
    there = account.at("http://127.0.0.1:8000", Credentials())
    assert (there.is_sandbox, there.is_local) == (False, True)
    assert there.api_domain == there.accounts_url == "http://127.0.0.1:8000"
    with pytest.raises(ValueError, match="loopback"):
        account.at("https://www.zohoapis.com", Credentials())


@pytest.mark.parametrize(
    ("domain", "allowed"),
    [
        ("http://localhost:8000", True),
        ("http://127.8.0.1", True),
        ("http://[::1]:9", True),
        ("https://www.zohoapis.com", False),
        ("https://127.0.0.1.evil.example", False),
        ("https://localhost.evil.example", False),
    ],
)
def test_only_a_server_on_this_machine_may_be_asked_faster(
    tmp_path: Path, domain: str, allowed: bool
) -> None:
    """A window above Zoho's is possible for loopback alone, also where the environment names it."""
    path = write(tmp_path, "[account.window]\nrequests = 1000\nperiod_s = 0.5\n")
    if allowed:
        settings = load_settings(path, {"ZOHO_API_DOMAIN": domain})
        assert settings.account("default").window.requests == 1000
    else:
        with pytest.raises(ConfigError, match="Zoho allows"):
            load_settings(path, {"ZOHO_API_DOMAIN": domain})


def test_settings_made_in_code_keep_the_same_promise() -> None:
    """A window faster than Zoho's is refused however the settings were made."""
    fast = AccountSettings(window=WindowSettings(requests=11))
    with pytest.raises(ConfigError, match="Zoho allows"):
        Settings(accounts=(fast,))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: WindowSettings(requests="10"), "requests must be a whole number"),  # type: ignore[arg-type]
        (lambda: Limits(idle_s=0), "idle_s must be more than 0"),
        (lambda: Limits(tries=101), "tries must be at most 100"),
        (lambda: JobEntry(id="../x"), "id must be a job id"),
        (lambda: AccountSettings(api_domain="http://zoho.example"), "api_domain must begin"),
        (lambda: AccountSettings(window=WindowSettings(period_s=-1)), "period_s must be"),
        (lambda: Settings(accounts=()), "accounts is empty"),
    ],
)
def test_settings_made_in_code_are_checked_too(make: Callable[[], object], says: str) -> None:
    """What would be refused in a file is refused in code, by the name of the field."""
    with pytest.raises(ValueError, match=says):
        make()


def test_proxies_of_the_environment_are_used_as_curl_does(tmp_path: Path) -> None:
    """Lower case wins, NO_PROXY and loopback are direct, upper-case HTTP_PROXY does not count."""
    env = {
        "HTTPS_PROXY": "http://upper:1",
        "https_proxy": "lower:2",
        "HTTP_PROXY": "http://cgi:3",
        "NO_PROXY": "zohoapis.eu, .internal,10.0.0.0/8",
    }
    proxies = load_settings(write(tmp_path, ""), env).account("default").proxies
    assert proxies.url_for("https://www.zohoapis.com") == "http://lower:2"
    assert proxies.url_for("https://notzohoapis.eu") == "http://lower:2"
    assert proxies.url_for("https://www.zohoapis.eu") is None
    assert proxies.url_for("https://a.internal") is None
    assert proxies.url_for("https://10.1.2.3") is None
    assert proxies.url_for("https://localhost:8443") is None
    assert proxies.url_for("http://plain.example") is None
    direct = write(tmp_path, "[account]\nproxy = ''\n")
    account = load_settings(direct, env).account("default")
    assert account.proxies.url_for("https://www.zohoapis.com") is None


def test_a_proxy_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    """A socks proxy in the environment is not gone round in silence."""
    error = refusal(tmp_path, "", {"ALL_PROXY": "socks5h://u:hunter2@localhost"})
    assert "ALL_PROXY" in error.message
    assert "hunter2" not in error.message


def test_settings_are_frozen_and_cross_processes() -> None:
    """No value can be changed, and what is pickled comes back equal."""
    settings = load_settings(ROOT / "jobs.example.toml", {})
    with pytest.raises(FrozenInstanceError):
        settings.out = Path("x")  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        settings.accounts[0].window.requests = 100  # type: ignore[misc]
    again = pickle.loads(pickle.dumps(settings))
    assert again == settings
    assert again.entries == settings.entries
    assert pickle.loads(pickle.dumps(settings)) == again


def test_settings_work_as_frozen_dataclasses_do() -> None:
    """Equal where all fields are, hashable, shown by name; a wrong or missing keyword is told."""
    slow = WindowSettings(requests=3)
    assert slow == replace(WindowSettings(), requests=3) != WindowSettings()
    assert len({slow, WindowSettings(requests=3), WindowSettings()}) == 2
    assert repr(slow).startswith("WindowSettings(requests=3, period_s=60.0, ")
    with pytest.raises(FrozenInstanceError):
        del slow.requests
    with pytest.raises(TypeError, match="WindowSettings has no request"):
        WindowSettings(request=3)  # type: ignore[call-arg]  # who checks no types is told too
    with pytest.raises(TypeError, match="JobEntry needs id"):
        JobEntry()  # type: ignore[call-arg]  # the same


def test_the_example_holds_ten_jobs_for_the_sandbox() -> None:
    """The file of the README's first command is valid and needs no account."""
    settings = load_settings(ROOT / "jobs.example.toml", {})
    assert settings.account("default").is_sandbox
    assert len({job.stem for job in settings.jobs}) == 10


def test_every_setting_commented_out_in_the_example_is_valid(tmp_path: Path) -> None:
    """The example's explained settings load when their '#' is taken away."""
    (tmp_path / "zoho.env").touch(mode=0o600)
    (tmp_path / "company-ca.pem").touch()
    lines = (ROOT / "jobs.example.toml").read_text().splitlines()
    given_in = [
        line[2:] if line.startswith("# ") and (" = " in line or line.startswith("# [")) else line
        for line in lines
    ]
    settings = load_settings(write(tmp_path, "\n".join(given_in)), {})
    assert settings.account("default").window.requests == 7
    assert settings.limits == replace(Settings().limits, threads=4, max_bytes_per_s=2 << 20)


def test_several_accounts_in_the_example_are_valid(tmp_path: Path) -> None:
    """The example's tables for several accounts load in place of the one."""
    lines = (ROOT / "jobs.example.toml").read_text().splitlines()
    given_in = [line.removeprefix("##").strip() for line in lines if line.startswith("##")]
    settings = load_settings(write(tmp_path, "\n".join(given_in)), {})
    assert [account.name for account in settings.accounts] == ["default", "overseas"]
    assert [account.env_prefix for account in settings.accounts] == ["EMEA_", "US_"]
    assert settings.account("default").window.requests == 7
    assert [job.account for job in settings.jobs] == ["overseas"]


def test_the_example_shows_every_key() -> None:
    """There is no key of jobs.toml that the example does not show."""
    shown = re.findall(r"^#* *([a-z0-9_]+) = ", (ROOT / "jobs.example.toml").read_text(), re.M)
    headings = {"account", "accounts", "window", "control", "limits", "parquet", "jobs", "exports"}
    headings |= {"sandbox", "destination"}
    below_account = (AccountTable, WindowSettings, ControlSettings)
    for table in (
        Tables,
        *below_account,
        Limits,
        ParquetSettings,
        DestinationSettings,
        JobEntry,
        ExportTable,
    ):
        keys = {field.name for field in fields(table)}
        assert keys - headings <= set(shown)


def test_the_state_directory_can_be_named(tmp_path: Path) -> None:
    """BULKFETCH_STATE_DIR wins over the user's own state directory."""
    env = {"BULKFETCH_STATE_DIR": str(tmp_path / "s")}
    assert load_settings(None, env).state_dir == tmp_path / "s"


@pytest.mark.slow
def test_reading_settings_imports_nothing_heavy() -> None:
    """Neither HTTP nor TLS nor the user's directories are imported just to define settings."""
    code = (
        "import sys, types\n"
        "root = sys.modules['bulkfetch'] = types.ModuleType('bulkfetch')\n"
        f"root.__path__ = [{str(ROOT / 'src' / 'bulkfetch')!r}]\n"  # without the public names
        "import bulkfetch.config\n"
        "print([m for m in ('aiohttp', 'ssl', 'anyio', 'platformdirs', 'urllib.request')"
        " if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@given(st.text(max_size=200))
def test_any_text_is_settings_or_a_configuration_error(text: str) -> None:
    """No file content raises anything but ConfigError."""
    with contextlib.suppress(ConfigError):
        parse_document(text, Path("jobs.toml"), Tables)


KEYS = ["out", "account", "accounts", "window", "requests", "limits", "jobs", "id", "x y", "é"]
KEYS += ["exports", "module", "fields", "criteria", "group", "value", "overlap"]
VALUES = st.sampled_from(
    ["1", "-1", "nan", "true", "'x'", "[]", "{}", "[[1]]", "{a=1}", "1979-05-27"]
)


@given(
    st.lists(
        st.one_of(
            st.builds(lambda k, v: f"{k!r} = {v}", st.sampled_from(KEYS), VALUES),
            st.builds(lambda a, b: f"[{a!r}.{b!r}]", st.sampled_from(KEYS), st.sampled_from(KEYS)),
            st.builds(lambda a: f"[[{a!r}]]", st.sampled_from(KEYS)),
        ),
        max_size=6,
    )
)
def test_any_toml_is_settings_or_a_configuration_error(lines: list[str]) -> None:
    """Well-formed files of wrong shapes raise nothing but ConfigError."""
    with contextlib.suppress(ConfigError):
        parse_document("\n".join(lines), Path("jobs.toml"), Tables)


def test_types_of_fields_need_the_fields_of_jobs_only(tmp_path: Path) -> None:
    """Exports ask for the fields of their modules; those of [[jobs]] stand in files."""
    typed = '[parquet]\ntypes = "fields"\n[[jobs]]\nid = "1"\n'
    assert load_settings(write(tmp_path, typed), {}).parquet.types == "fields"
    with pytest.raises(ConfigError, match=r"needs parquet\.fields"):
        load_settings(write(tmp_path, f'{typed}module = "Leads"\n'), {})

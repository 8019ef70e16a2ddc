"""`bulkfetch check`: every setting with its origin, and every end that a run would come to."""

import json
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from tests.support.programs import IDS, Ended, Program

from bulkfetch.config import (
    AccountSettings,
    ControlSettings,
    Credentials,
    Limits,
    Settings,
    WindowSettings,
)
from bulkfetch.config.bounds import SharedWindow
from bulkfetch.config.bucket import DestinationSettings
from bulkfetch.config.parquet import ParquetSettings
from bulkfetch.config.settings import JobEntry, Tables
from bulkfetch.text import escape

Call = Callable[..., Ended]

SECRET = "1000.hushhushhush"
REFRESH = {f"ZOHO_{name}": SECRET for name in ("CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN")}

EVERYTHING = """\
out = "o"
ids_file = "ids.txt"
ids_column = "Id"
keep_zip = true
sha256 = false
records = false
wait = "2h"
[account]
data_center = "eu"
version = "v7"
result_path = "/crm/{version}/read/{job_id}/result"
token_command = ["pass", "1000.hushhushhush"]
token_cache = false
env_prefix = "A_"
secrets_file = "zoho.env"
ca_file = "ca.pem"
proxy = "http://user:1000.hushhushhush@proxy.example:3128"
[account.window]
requests = 9
period_s = 61
margin_s = 2
concurrency = 3
[limits]
zip_bytes = "1 GiB"
[[jobs]]
id = "1"
[[jobs]]
id = "2"
[[exports]]
module = "Leads"
[window]
shared = "postgresql://me@db.example/bulkfetch"
"""

# Fields that are no setting of anybody's, or told under another name; and why.
NOT_TOLD = {
    "source": "the file itself",
    "origins": "told beside each setting",
    "warnings": "told as warnings",
    "fallback_account": "only --account sets it, which check does not have",
    "accounts": "told one by one",
    "account": "told one by one",
    "limits": "told one by one",
    "parquet": "told one by one",
    "destination": "told one by one",
    "window": "told one by one",
    "control": "told one by one",
    "database_password": "told as `window.password`",
    "credentials": "told one by one, and as a whole",
    "proxies": "told as `proxy`",
    "name": "is in the name of the table",
    "sandbox": "told one by one, where there are any",
    "state_dir": "told as `state`",
}


def found(ended: Ended) -> dict[str, dict[str, str]]:
    """What a check found, by name."""
    return {record["name"]: record for record in ended.records}


@pytest.fixture
def everything(program: Program, call: Call, monkeypatch: pytest.MonkeyPatch) -> Ended:
    """A check of settings that set nearly everything."""
    (program.folder / "jobs.toml").write_text(EVERYTHING)
    (program.folder / "zoho.env").write_text(f"A_ZOHO_ACCESS_TOKEN={SECRET}\n")
    (program.folder / "zoho.env").chmod(0o600)
    (program.folder / "ca.pem").write_text("")
    for name, value in REFRESH.items():
        monkeypatch.setenv(f"A_{name}", value)
    return call("check", "jobs.toml", "--json")


def test_every_setting_is_told(everything: Ended) -> None:
    """Whatever has a field in the settings is told: a new one cannot be forgotten."""
    told = found(everything)
    for kind, table in (
        (Settings, ""),
        (Tables, ""),
        (Limits, "limits."),
        (ParquetSettings, "parquet."),
        (SharedWindow, "window."),
        (DestinationSettings, "destination."),
        (AccountSettings, "account."),
        (WindowSettings, "account.window."),
        (ControlSettings, "account.control."),
        (Credentials, "account."),
    ):
        for field in fields(kind):
            if field.name not in NOT_TOLD:
                assert table + field.name in told
    assert {"state", "account.credentials", "account.proxy"} <= told.keys()
    # The jobs are too many to be told one by one: their sum and their lines.
    assert {field.name for field in fields(JobEntry)} == {"id", "account", "name", "module"}
    assert told["jobs"]["value"] == "2 in [[jobs]]"
    assert told["jobs"]["origin"] == "jobs.toml:25 to 27"
    assert told["exports"]["value"] == "1 in [[exports]]: Leads"
    assert told["exports"]["origin"] == "jobs.toml:29"


def test_every_setting_has_its_own_origin(everything: Ended) -> None:
    """Each key of the file is told with its line, and each variable by its name."""
    origins = {name: record["origin"] for name, record in found(everything).items()}
    table = ""
    for number, line in enumerate(EVERYTHING.splitlines(), start=1):
        if line.startswith("["):
            table = line.strip("[]") + "."
        elif table not in ("jobs.", "exports."):
            assert origins[table + line.partition(" ")[0]] == f"jobs.toml:{number}"
    assert origins["account.refresh_token"] == "environment A_ZOHO_REFRESH_TOKEN"
    assert origins["account.access_token"] == "secrets_file A_ZOHO_ACCESS_TOKEN"
    assert origins["limits.tries"] == "default"
    assert origins["account.accounts_url"] == origins["account.data_center"]


def test_no_secret_is_told(everything: Ended) -> None:
    """Of a proxy the host alone is told, of a command its program, of a secret that it is set."""
    assert SECRET not in everything.out + everything.err
    assert found(everything)["account.proxy"]["value"] == "proxy.example:3128"
    assert found(everything)["account.token_command"]["value"] == "pass"
    assert found(everything)["account.client_id"]["value"] == "set"


def test_proxies_of_the_environment(
    program: Program, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy is told with the variable that names it, for each kind of address its own."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://u:{SECRET}@one.example:3128")
    monkeypatch.setenv("http_proxy", "two.example")
    monkeypatch.setenv("NO_PROXY", "a.example, .b.example")
    (program.folder / "jobs.toml").write_text('[account]\ndata_center = "eu"\n')
    lines = call("check", "jobs.toml").out.splitlines()
    assert [line.partition(": ")[2] for line in lines if "account.proxy" in line] == [
        "one.example:3128 for https  (environment HTTPS_PROXY)",
        "two.example for http  (environment http_proxy)",
        "not for a.example, .b.example  (environment NO_PROXY)",
    ]


@pytest.mark.parametrize("command", ["check", "run", "plan"])
@pytest.mark.parametrize(
    ("lines", "variable", "lost"),
    [
        ('data_center = "eu"', "ZOHO_API_DOMAIN", "data_center (jobs.toml:2)"),
        ('api_domain = "https://a.example"', "ZOHO_API_DOMAIN", "api_domain (jobs.toml:2)"),
        ('data_center = "eu"', "ZOHO_ACCOUNTS_URL", "data_center (jobs.toml:2)"),
        ('accounts_url = "https://a.example"', "ZOHO_ACCOUNTS_URL", "accounts_url (jobs.toml:2)"),
    ],
)
def test_a_stray_variable_is_told(
    program: Program,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    lines: str,
    variable: str,
    lost: str,
) -> None:
    """A variable that sends tokens elsewhere than the file says is a warning, in a run too."""
    (program.folder / "jobs.toml").write_text(f"[account]\n{lines}\n")
    (program.folder / "ids.txt").write_text("# none\n")
    monkeypatch.setenv(variable, "https://stray.example")
    arguments = [] if command == "check" else ["--ids", "ids.txt"]
    ended = call(command, "jobs.toml", *arguments)
    warning = f"account default: environment {variable} wins over {lost}: "
    assert warning in (ended.out if command == "check" else ended.err)
    assert "stray.example" in ended.out + ended.err


def test_a_variable_that_agrees_is_not_told(
    program: Program, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the variable says what the file says, nothing is overruled."""
    monkeypatch.setenv("ZOHO_API_DOMAIN", "https://www.zohoapis.eu")
    (program.folder / "jobs.toml").write_text('[account]\ndata_center = "eu"\n')
    assert "wins over" not in call("check", "jobs.toml").out
    (program.folder / "jobs.toml").write_text("[account]\n")
    assert "wins over" not in call("check", "jobs.toml").out


def upset(folder: Path, what: str) -> tuple[str, dict[str, str]]:
    """Prepare one thing that keeps a run from its work; give jobs.toml and the environment."""
    real = '[account]\ndata_center = "eu"\n'
    sandbox = '[account]\ndata_center = "sandbox"\n[sandbox]\n'
    token = {"ZOHO_ACCESS_TOKEN": SECRET}
    match what:
        case "ca_file is no PEM" | "ca_file is empty" | "ca_file is a key":
            (folder / "ca.pem").write_text(
                {"ca_file is no PEM": "hello\n", "ca_file is a key": _KEY}.get(what, "")
            )
            return f'{real}ca_file = "ca.pem"\n', token
        case "sandbox key":
            return f"{sandbox}record = 5\n", {}
        case "sandbox type":
            return f'{sandbox}records = "many"\n', {}
        case "sandbox date":
            return f"{sandbox}records = 2024-01-01\n", {}
        case "ids_file is missing":
            return f'ids_file = "none.txt"\n{real}', token
        case "ids_file is a folder":
            return f'ids_file = "."\n{real}', token
        case "ids_file lacks the column":
            (folder / "ids.csv").write_text("Id,Name\n1,Leads\n")
            return f'ids_file = "ids.csv"\nids_column = "Job"\n{real}', token
        case "token in quotes":
            return real, {"ZOHO_ACCESS_TOKEN": f'"{SECRET}"'}
        case "token in a quote":
            return real, {"ZOHO_ACCESS_TOKEN": f"{SECRET}'"}
        case "keyring":
            return f'{real}token_cache = "keyring"\n', REFRESH
        case "parquet":
            return f'formats = ["csv", "parquet"]\n{real}', token
        case "parquet of an account":
            return f'{real}formats = ["parquet"]\n', token
        case "fields of a module":
            own = '[parquet]\ntypes = "fields"\nfields = "{module}.json"\n'
            jobs = '[[jobs]]\nid = "1"\nmodule = "Leads"\n'
            return f'formats = ["parquet"]\n{real}{own}{jobs}', token
        case "shared window without its package":
            shared = '[window]\nshared = "postgresql://db.example/b"\n'
            return f'{shared}[accounts.acme]\ndata_center = "eu"\n', token
        case "accounts server":
            return '[account]\napi_domain = "https://crm.example"\n', REFRESH
        case "out below a file":
            (folder / "file").write_text("")
            return f'out = "file/exports"\n{real}', token
        case "no program":
            return f'{real}token_command = ["no-such-program", "{SECRET}"]\n', {}
        case "program that is no program":
            (folder / "tok.sh").write_text("#!/bin/sh\n")
            return f'{real}token_command = ["./tok.sh", "{SECRET}"]\n', {}
        case "no credentials":
            return real, {}
    (folder / "exports/.bulkfetch").mkdir(parents=True)
    journal = folder / "exports/.bulkfetch/journal.db"
    match what:
        case "journal is damaged":
            journal.write_bytes(b"no database" * 100)
        case "journal is foreign":
            with sqlite3.connect(journal) as database:
                database.execute("CREATE TABLE other (x)")
            database.close()
        case "journal is newer":
            with sqlite3.connect(journal) as database:
                database.execute("PRAGMA user_version = 99")
                database.execute(f"PRAGMA application_id = {0x62756C6B}")
                database.execute("CREATE TABLE other (x)")
            database.close()
        case _:
            raise LookupError(what)
    return real, token


_KEY = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n"

CONFIGURATION = [
    "ca_file is no PEM",
    "ca_file is empty",
    "ca_file is a key",
    "sandbox key",
    "sandbox type",
    "sandbox date",
    "ids_file is missing",
    "ids_file is a folder",
    "ids_file lacks the column",
    "token in quotes",
    "token in a quote",
    "keyring",
    "parquet",
    "parquet of an account",
    "fields of a module",
    "shared window without its package",
    "accounts server",
]
ABORTS = {
    "out below a file": "NOT_WRITABLE",
    "no program": "TOKEN_COMMAND_FAILED",
    "program that is no program": "TOKEN_COMMAND_FAILED",
    "no credentials": "MISSING_CREDENTIALS",
    "journal is damaged": "JOURNAL_DAMAGED",
    "journal is foreign": "JOURNAL_DAMAGED",
    "journal is newer": "JOURNAL_TOO_NEW",
}


@pytest.fixture
def without_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without what extras install."""
    for package in ("keyring", "pyarrow", "asyncpg"):
        monkeypatch.setitem(sys.modules, package, None)


@pytest.fixture
def prepared(
    program: Program, monkeypatch: pytest.MonkeyPatch, without_extras: None
) -> Callable[[str], list[str]]:
    """Prepares jobs.toml for one thing that is wrong; gives the arguments that a run wants."""

    def prepare(what: str) -> list[str]:
        text, env = upset(program.folder, what)
        (program.folder / "jobs.toml").write_text(text)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        return [] if "ids_file" in what else [IDS[0]]

    return prepare


@pytest.mark.parametrize("what", CONFIGURATION)
def test_configuration_fails_in_check_as_in_run(
    program: Program, call: Call, prepared: Callable[[str], list[str]], what: str
) -> None:
    """What a run refuses to start with is 2 in both; nothing is made, nothing hinted at."""
    ids = prepared(what)
    before = sorted(program.folder.rglob("*"))
    checked = call("check", "jobs.toml", "--json")
    ran = call("run", "jobs.toml", *ids)
    assert (checked.status, ran.status) == (2, 2)
    assert sorted(program.folder.rglob("*")) == before
    assert ran.out == ""
    error, *hints = ran.err.splitlines()
    assert error.startswith("error: ")
    assert all(line.startswith("hint: ") for line in hints)
    if checked.out:
        bad = [record for record in checked.records if record["verdict"] == "bad"]
        assert [record["code"] for record in bad] == ["CONFIG"]
        assert error == f"error: {escape(bad[0]['value'])}"
    else:  # found while the settings were read
        assert checked.err == ran.err
    assert SECRET not in checked.out + checked.err + ran.err


@pytest.mark.parametrize("what", ABORTS)
def test_aborts_fail_in_check_as_in_run(
    program: Program, call: Call, prepared: Callable[[str], list[str]], what: str
) -> None:
    """What would abort a run is 3 in both, with the same code; no command is run for it."""
    ids = prepared(what)
    checked = call("check", "jobs.toml", "--json")
    ran = call("run", "jobs.toml", *ids)
    assert (checked.status, ran.status) == (3, 3)
    bad = [record for record in checked.records if record["verdict"] == "bad"]
    assert [record["code"] for record in bad] == [ABORTS[what]]
    assert bad[0]["hint"]
    assert f"error: {ABORTS[what]}: " in ran.err
    assert f"{ABORTS[what]}: {bad[0]['value']}" in call("check", "jobs.toml").out
    assert SECRET not in checked.out + ran.err


def test_configuration_goes_before_aborts(
    program: Program, call: Call, prepared: Callable[[str], list[str]]
) -> None:
    """Of several things that are wrong a run would end at the configuration."""
    (program.folder / "file").write_text("")
    prepared("ids_file is missing")
    ended = call("check", "jobs.toml", "--out", "file/x", "--json")
    assert {record["code"] for record in ended.records} == {None, "CONFIG", "NOT_WRITABLE"}
    assert ended.status == 2


def test_a_command_is_not_run(program: Program, call: Call) -> None:
    """A token_command is looked for and not run."""
    script = program.folder / "tok.sh"
    script.write_text("#!/bin/sh\necho ran >> ran.txt\necho token\n")
    script.chmod(0o755)
    (program.folder / "jobs.toml").write_text(
        '[account]\ndata_center = "eu"\ntoken_command = ["./tok.sh"]\n'
    )
    assert call("check", "jobs.toml").status == 0
    assert not (program.folder / "ran.txt").exists()


def test_a_list_that_may_block_is_not_opened(program: Program, call: Call) -> None:
    """A named pipe without a writer would hold the check up: it is told, not opened."""
    import os

    os.mkfifo(program.folder / "ids")
    (program.folder / "jobs.toml").write_text(
        'ids_file = "ids"\n[account]\ndata_center = "sandbox"\n'
    )
    ended = call("check", "jobs.toml", "--json")
    assert ended.status == 0
    assert "not opened" in found(ended)["ids_file"]["value"]


@pytest.mark.slow
def test_a_folder_in_use_is_a_warning(program: Program, call: Call) -> None:
    """A run at work is told: another one would be turned away now."""
    process = program.start("run", program.settings(), "--ids", "-")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{IDS[0]}\n".encode())
    process.stdin.flush()
    process.stdout.readline()
    ended = call("check", "jobs.toml", "--json")
    process.communicate(timeout=60)
    out = found(ended)["out"]
    assert (ended.status, out["verdict"]) == (0, "warning")
    assert f"held by pid {process.pid}" in out["value"]


def test_an_unusable_state_folder_is_a_warning(
    program: Program, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the state folder a run works, alone: the check says so."""
    (program.folder / "file").write_text("")
    monkeypatch.setenv("BULKFETCH_STATE_DIR", str(program.folder / "file/state"))
    ended = call("check", program.settings(), "--json")
    assert (ended.status, found(ended)["state"]["verdict"]) == (0, "warning")


def test_records_have_the_fields_of_old(program: Program, call: Call) -> None:
    """A line of JSON has type, name, value, origin, verdict and hint; the code is new."""
    record = call("check", program.settings(), "--json").records[0]
    assert list(record) == ["type", "name", "value", "origin", "verdict", "hint", "code"]
    assert json.dumps(record)

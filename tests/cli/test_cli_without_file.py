"""Runs without a settings file, and --data-center beside one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.support.programs import IDS, Ended, Program

from bulkfetch import ConfigError, load_settings
from bulkfetch.sandbox import AccountSpec, SandboxOptions, SandboxThread

Call = Callable[..., Ended]
FILE = """
[account]
data_center = "sandbox"
[sandbox]
records = 20
"""


@pytest.fixture
def service(call: Call, monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxThread]:
    """A CRM on this machine, which the environment names in place of the data centre's."""
    accounts = {
        "default": AccountSpec(
            client_id="client",
            client_secret="hush",
            refresh_tokens=("1000.refresh",),
            access_tokens=("1000.access",),
        )
    }
    with SandboxThread(SandboxOptions(records=20, accounts=accounts)) as server:
        monkeypatch.setenv("ZOHO_API_DOMAIN", server.sandbox.url)
        monkeypatch.setenv("ZOHO_ACCOUNTS_URL", server.sandbox.url)
        yield server


def test_a_list_is_fetched_without_a_file(
    program: Program, call: Call, service: SandboxThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`run --ids FILE --data-center NAME` takes the token from the environment; --out is kept."""
    monkeypatch.setenv("ZOHO_ACCESS_TOKEN", "1000.access")
    (program.folder / "ids.txt").write_text(f"{IDS[0]}\n")
    ended = call("run", "--ids", "ids.txt", "--data-center", "eu", "--out", "there")
    assert (ended.status, ended.out) == (0, f"there/{IDS[0]}.csv\n")
    # What is finer than a data centre wins, and is told as it is beside a file.
    assert "environment ZOHO_API_DOMAIN wins over data_center (--data-center)" in ended.err


def test_ids_need_no_file_either_and_tokens_are_renewed(
    program: Program, call: Call, service: SandboxThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids as arguments, and the three parts of a refresh token, do in place of a file."""
    monkeypatch.setenv("ZOHO_CLIENT_ID", "client")
    monkeypatch.setenv("ZOHO_CLIENT_SECRET", "hush")
    monkeypatch.setenv("ZOHO_REFRESH_TOKEN", "1000.refresh")
    ended = call("run", "--data-center", "eu", IDS[0], IDS[1], "--json", "--wait", "1m")
    assert ended.status == 0
    assert ended.records[-1]["done"] == 2
    again = call("run", IDS[0], IDS[1], "--data-center", "eu", "--json")
    assert again.records[-1]["skipped"] == 2


def test_a_plan_tells_of_slots_that_are_in_use(
    program: Program, call: Call, service: SandboxThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a run its requests still fill slots of the account's window, which delay the next."""
    monkeypatch.setenv("ZOHO_ACCESS_TOKEN", "1000.access")
    call("run", IDS[0], IDS[1], "--data-center", "eu")
    planned = call("plan", IDS[2], "--data-center", "eu")
    assert "\n  2 of 10 slots are in use, the last one for 1 min" in planned.out
    record = call("plan", IDS[2], "--data-center", "eu", "--json").records[1]
    assert set(record) == {"type", "account", "slots", "free_in_s"}
    assert (record["type"], record["account"], record["slots"]) == ("window", "default", 10)
    assert len(record["free_in_s"]) == 2
    assert "in use" not in call("plan", IDS[0], "--data-center", "eu").out  # nothing to fetch


def test_what_looks_does_without_a_file_too(program: Program, call: Call) -> None:
    """`plan`, `check`, `modules` and `fields` take --data-center in place of a file."""
    ended = call("plan", IDS[0], "--data-center", "eu")
    assert "1 job to fetch" in ended.out
    shown = call("check", "--data-center", "eu").out
    assert "account.data_center: eu  (--data-center)" in shown
    assert "account.api_domain: https://www.zohoapis.eu  (--data-center)" in shown
    assert "MISSING_CREDENTIALS" in shown
    assert "Leads\n" in call("modules", "--data-center", "sandbox").out
    assert "City  text(255)\n" in call("fields", "Leads", "--data-center", "sandbox").out


@pytest.mark.slow
def test_a_module_is_exported_by_its_name_alone(
    program: Program, call: Call, service: SandboxThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`export MODULE --data-center NAME` exports all of it; a folder of its name is no file."""
    monkeypatch.setenv("ZOHO_ACCESS_TOKEN", "1000.access")
    (program.folder / "Leads").mkdir()
    ended = call("export", "Leads", "--data-center", "eu", "--json")
    assert ended.status == 0
    (export,) = (record for record in ended.records if record["type"] == "export")
    assert (export["name"], export["mode"], export["records"]) == ("Leads", "full", 20)


def test_the_option_wins_over_the_file(program: Program, call: Call) -> None:
    """A file's servers are passed over with a warning that names their lines."""
    (program.folder / "jobs.toml").write_text(
        '[account]\ndata_center = "us"\napi_domain = "https://sandbox.zohoapis.com"\n'
    )
    ended = call("check", "jobs.toml", "--data-center", "eu")
    assert "account.api_domain: https://www.zohoapis.eu  (--data-center)" in ended.out
    assert (
        "account default: --data-center eu wins over data_center (jobs.toml:2), "
        "api_domain (jobs.toml:3)" in ended.out
    )
    assert "wins over" not in call("check", "jobs.toml").out
    # What the file says already is not told as lost.
    assert "data_center (jobs" not in call("check", "jobs.toml", "--data-center", "us").out


def test_what_the_sandbox_makes_up_is_kept_apart(program: Program, call: Call) -> None:
    """Neither is a file's org replaced by the sandbox, nor its sandbox by an org; both are 2.

    Without a file the sandbox has an output folder of its own.
    """
    (program.folder / "jobs.toml").write_text("[account]\n")
    ended = call("run", "jobs.toml", IDS[0], "--data-center", "sandbox")
    assert (ended.status, ended.out) == (2, "")
    assert "jobs.toml is for an org\nhint: Real results and made up ones do not mix" in ended.err
    (program.folder / "jobs.toml").write_text(FILE)
    ended = call("run", "jobs.toml", IDS[0], "--data-center", "eu")
    assert (ended.status, ended.out) == (2, "")
    assert "jobs.toml is for the sandbox\n" in ended.err
    assert call("check", "jobs.toml", "--data-center", "sandbox").status == 0
    assert not (program.folder / "exports").exists()
    shown = call("check", "--data-center", "sandbox").out
    assert "out: exports-sandbox, " in shown


def test_of_several_accounts_one_is_chosen() -> None:
    """The data centre is of the account that is named; of several none is guessed."""
    settings = load_settings(None, {}, data_center="jp")
    assert (settings.source, settings.accounts[0].data_center) == (None, "jp")


def test_of_several_accounts_in_a_file_one_is_chosen(program: Program, call: Call) -> None:
    """--account says whose data centre it is; without it that is 2."""
    (program.folder / "jobs.toml").write_text(
        '[accounts.default]\ndata_center = "us"\nenv_prefix = "A_"\n'
        '[accounts.other]\ndata_center = "us"\nenv_prefix = "B_"\n'
    )
    path = program.folder / "jobs.toml"
    settings = load_settings(path, {}, data_center="eu", account="other")
    assert [each.data_center for each in settings.accounts] == ["us", "eu"]
    assert settings.default_account == "other"
    ended = call("plan", "jobs.toml", IDS[0], "--data-center", "eu")
    assert (ended.status, ended.out) == (2, "")
    assert "data_center is for one account, and there are several" in ended.err
    with pytest.raises(ConfigError, match="unknown account"):
        load_settings(path, {}, data_center="eu", account="nobody")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", IDS[0], "--data-center", "europe"], 'did you mean "eu"?'),
        (["run", "--data-center", "eu"], "Give ids as arguments, --ids FILE."),
        (
            ["run", "ids.txt", "--data-center", "eu"],
            "A list goes to --ids: bulkfetch run --data-center=eu --ids ids.txt",
        ),
        (["run", IDS[0]], f"jobs.toml {IDS[0]}; without one, add --data-center"),
        (["run"], "bulkfetch run jobs.toml; without one, add --data-center"),
        (["run", "gone.toml", "--data-center", "eu"], "gone.toml: No such file"),
        (["export", "--data-center", "eu"], "`bulkfetch modules --data-center eu` lists them"),
        (["export", "no module", "--data-center", "eu"], "must be a module's API name"),
        (["fields", "--data-center", "eu"], "name one MODULE"),
        (["modules"], "Missing argument 'JOBS.toml'"),
        (["check", "gone.toml", "--data-center", "eu"], "gone.toml: No such file"),
    ],
)
def test_slips_without_a_file(program: Program, call: Call, words: list[str], told: str) -> None:
    """What is missing or misplaced is 2, with what is meant, and nothing was begun."""
    (program.folder / "ids.txt").write_text(f"{IDS[0]}\n")
    ended = call(*words)
    assert (ended.status, ended.out) == (2, "")
    assert told in ended.err
    assert [path.name for path in program.folder.iterdir()] == ["ids.txt"]

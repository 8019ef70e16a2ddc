"""The commands of a fleet, against a real database; its workers are played by the journal."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.fences import ROOT, fences
from tests.support.fleets import PASSING, done, failed
from tests.support.postgres import PASSWORD, ROLE, PostgresServer
from tests.support.programs import Ended, Program

from bulkfetch.cli.fleet_work import work
from bulkfetch.config.fleet import load_fleet
from bulkfetch.fleet import engine
from bulkfetch.fleet.database import steps
from bulkfetch.fleet.journal import FleetJournal
from bulkfetch.models import Failure, Outcome
from bulkfetch.ratelimit.postgres.schema import SQL_FILE as WINDOW_SQL
from bulkfetch.sandbox import SandboxOptions, SandboxThread

pytestmark = pytest.mark.slow

Call = Callable[..., Ended]
HOW_TO = ROOT / "docs" / "how-to-run-a-fleet.md"


def settings(folder: Path, url: str) -> str:
    """Write FLEET.toml with two accounts, and give its name."""
    (folder / "fleet.toml").write_text(
        f'[fleet]\ndatabase = "{url}"\nstore = "s3://lake/{{account}}"\nstaging = "staging"\n'
        '[accounts.acme]\ndata_center = "eu"\n[accounts.beta]\ndata_center = "us"\n'
    )
    return "fleet.toml"


def ready(call: Call, program: Program, url: str) -> tuple[str, tuple[str, ...]]:
    """Make a fleet's file and tables, and a list of two; return the file, and what submits it."""
    fleet = settings(program.folder, url)
    (program.folder / "ids.txt").write_text("1\n2\n")
    assert call("fleet", "init", fleet).status == 0
    return fleet, ("fleet", "submit", fleet, "--account", "acme", "--ids", "ids.txt")


def work_off(url: str, *outcomes: Outcome, hold: Failure | None = None) -> None:
    """Have a turn of acme end with these outcomes."""

    async def main() -> None:
        servers = {"acme": "https://www.zohoapis.eu"}
        journal = await FleetJournal.open(url, None, servers)
        generation = await journal.begin_turn("acme", "host-1")
        await journal.record("acme", generation, outcomes)
        if hold is not None:
            await journal.hold("acme", generation, hold)
        await journal.end_turn("acme", generation)
        await journal.aclose()

    asyncio.run(main())


def test_a_list_is_submitted_worked_off_and_told(
    call: Call, program: Program, postgres: PostgresServer, database: str
) -> None:
    """From the tables to the end: by number, as text and as JSON, with the statuses of `run`."""
    url = postgres.url(database)
    fleet = settings(program.folder, url)
    (program.folder / "ids.txt").write_text("1\n2\n3\nnone\n2\n")
    assert "error: the database has no tables" in call("fleet", "status", fleet).err
    made = call("fleet", "init", fleet)
    assert (made.status, made.out) == (0, "")
    assert "made the tables in " in made.err
    assert "of version 3 already" in call("fleet", "init", fleet).err

    ended = call("fleet", "submit", fleet, "--account", "acme", "--ids", "ids.txt")
    assert (ended.status, ended.out) == (0, "1\n"), ended.err
    assert "submission 1: 3 jobs to be fetched for 1 account" in ended.err
    assert "warning: 1 job of the list cannot be fetched" in ended.err
    work_off(url, done("1"), done("2"), failed("3"))
    waited = call("fleet", "wait", fleet, "1")
    assert waited.status == 1
    assert waited.out == "s3://lake/acme/1.csv\ns3://lake/acme/2.csv\n"
    assert "error: job 3 of account acme: TOKEN_REFUSED (HTTP 400) after 2 req" in waited.err
    assert "ids.txt:4: 'none' is not a job id" in waited.err
    assert "2 done, 2 failed; 162 B of files from 32 B of ZIPs, 4 requests" in waited.err
    assert waited.err.endswith(
        "to try again what failed, submit it again; with --again also the jobs that failed "
        "permanently\n"
    )

    (program.folder / "more.csv").write_text("Job ID,account\n1,acme\n3,acme\n9,beta\n")
    column = ("--ids", "more.csv", "--ids-column", "Job ID")
    [record] = call("fleet", "submit", fleet, *column, "--json").records
    assert record == {
        "type": "submission",
        "submission": 2,
        "asked": 2,
        "done_before": 1,
        "failed_before": 0,
        "refused": 0,
        "exports": 0,
        "accounts": 2,
    }
    work_off(url, done("3"), hold=PASSING)
    shown = call("fleet", "status", fleet)
    assert shown.status == 0
    assert shown.out == (
        "account acme: 3 done, 0 failed, 0 pending; held\n"
        "account beta: 0 done, 0 failed, 1 pending\n"
        "2 accounts: 3 done, 0 failed, 1 pending; 1 held\n"
    )
    assert "error: account acme: TOKEN_REFUSED: The server refused.\nhint: Look" in shown.err
    acme, beta, whole = call("fleet", "status", fleet, "--json").records
    assert acme["held"]["code"] == "TOKEN_REFUSED"
    assert (acme["worker"], beta["worker"], beta["pending"]) == ("host-1", None, 1)
    assert (whole["type"], whole["done"], whole["held"]) == ("fleet", 3, 1)
    assert call("fleet", "status", fleet, "--account", "gamma").status == 2


def test_an_account_whose_server_is_another_one_is_refused_unless_its_org_has_moved(
    call: Call, program: Program, postgres: PostgresServer, database: str
) -> None:
    """With 2 and the way out, which takes what is done along; nothing was submitted before."""
    url = postgres.url(database)
    fleet, submit = ready(call, program, url)
    assert call(*submit).status == 0
    work_off(url, done("1"))
    text = (program.folder / fleet).read_text()
    (program.folder / fleet).write_text(text.replace('"eu"', '"in"'))
    refused = call(*submit)
    assert (refused.status, refused.out) == (2, "")
    assert (
        "error: account acme was asked at https://www.zohoapis.eu for what the fleet has of it, "
        "and would be at https://www.zohoapis.in\n"
    ) in refused.err
    assert "`bulkfetch fleet submit` with --moved acme" in refused.err
    moved = call(*submit, "--moved", "acme")
    assert moved.status == 0, moved.err
    assert "1 job to be fetched for 1 account, 1 done before" in moved.err


def test_what_ends_a_wait_early(
    call: Call, program: Program, postgres: PostgresServer, database: str
) -> None:
    """Accounts that are held: 3, with the cause; a signal: 130, and nothing is lost."""
    url = postgres.url(database)
    fleet, submit = ready(call, program, url)
    assert call(*submit).out == "1\n"
    joined = program.run("fleet", "submit", fleet, "--account", "acme", "--ids", "-", stdin="2\n")
    assert (joined.status, joined.out) == (0, "2\n"), joined.err
    waiting = program.start("fleet", "wait", fleet, "1", "--json")
    work_off(url, done("1"))
    assert waiting.stdout is not None
    first = json.loads(waiting.stdout.readline())
    assert (first["id"], first["status"]) == ("1", "done")
    waiting.send_signal(signal.SIGTERM)
    out, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 130, err
    summary = json.loads(out)
    assert (summary["done"], summary["pending"], summary["interrupted"]) == (1, 1, True)
    assert summary["list_read"]
    assert b"the fleet goes on; to wait again: " in err

    work_off(url, hold=PASSING)
    held = call("fleet", "wait", fleet, "1", "--json")
    assert held.status == 3
    assert [record["type"] for record in held.records] == ["job", "summary"]
    assert held.records[-1]["error"]["code"] == "TOKEN_REFUSED"
    assert "error: account acme: TOKEN_REFUSED: The server refused." in held.err
    assert "submit the same again once this is mended" in held.err
    watched = call("fleet", "status", fleet, "--watch")
    assert "1 account: 1 done, 0 failed, 1 pending; 1 held" in watched.out
    assert call(*submit).status == 0
    work_off(url, failed("2"))
    listed = call("fleet", "status", fleet, "--failed", "--account", "acme")
    assert listed.out.startswith("job 2 of account acme: TOKEN_REFUSED (HTTP 400) after 2 requests")
    [record] = call("fleet", "status", fleet, "--failed", "--json").records
    assert (record["type"], record["id"]) == ("job", "2")
    unknown = call("fleet", "wait", fleet, "99", "--json")
    assert unknown.status == 2
    assert unknown.records[-1]["error"]["code"] == "CONFIG"


def test_modules_and_fields_take_a_fleets_file(
    call: Call, program: Program, postgres: PostgresServer, database: str
) -> None:
    """With --account one of its accounts is asked, whose credits all hosts count together."""
    with SandboxThread(SandboxOptions(records=1)) as server:
        where = f'api_domain = "{server.sandbox.url}"\ntoken_command = ["echo", "token"]'
        fleet = settings(program.folder, postgres.url(database))
        text = (program.folder / fleet).read_text()
        (program.folder / fleet).write_text(text.replace('data_center = "eu"', where))
        assert call("fleet", "init", fleet).status == 0
        ended = call("modules", fleet, "--account", "acme")
        assert ended.status == 0, ended.err
        assert "Leads" in ended.out.splitlines()
        ended = call("fields", fleet, "Leads", "--account", "acme")
        assert ended.status == 0, ended.err
        assert "Company  text(255)" in ended.out.splitlines()
    assert "hint: Add --account: one of acme, beta." in call("modules", fleet).err
    ended = call("modules", fleet, "--account", "acm")
    assert (ended.status, ended.err.splitlines()[1]) == (2, 'hint: did you mean "acme"?')


def test_a_database_that_is_lost_while_a_list_comes_in(
    call: Call, program: Program, postgres: PostgresServer, database: str
) -> None:
    """3, and nothing of the list is there: it can be submitted again."""
    fleet = settings(program.folder, postgres.url(database))
    assert call("fleet", "init", fleet).status == 0
    submitting = program.start("fleet", "submit", fleet, "--account", "acme", "--ids", "-")
    assert submitting.stdin is not None
    submitting.stdin.write(b"1\n2\n")
    submitting.stdin.flush()
    copying = f"FROM pg_stat_activity WHERE datname = '{database}' AND query LIKE 'COPY%'"
    while postgres.sql(f"SELECT count(*) {copying}") == "0":
        assert submitting.poll() is None
    postgres.sql(f"SELECT pg_terminate_backend(pid) {copying}")
    out, err = submitting.communicate(b"3\n", timeout=60)
    assert (submitting.returncode, out) == (3, b""), err
    assert b"error: DATABASE_LOST: " in err
    assert b"hint: Submit the same list again" in err
    assert postgres.sql("SELECT count(*) FROM bulkfetch.fleet_submission", database) == "0"


def test_a_worker_ends_when_it_is_told_to(
    call: Call, program: Program, postgres: PostgresServer, database: str
) -> None:
    """With 0; and a second one on its staging folder is refused meanwhile."""
    fleet = settings(program.folder, postgres.url(database))
    assert call("fleet", "init", fleet).status == 0
    work = ("fleet", "work", fleet, "--name", "two", "--staging", "two")
    working = program.start(*work)
    assert working.stderr is not None
    assert working.stderr.readline() == b"two works for 2 accounts\n"
    assert (program.folder / "two" / ".bulkfetch").exists()
    second = program.run(*work)
    assert second.status == 3
    assert "error: LOCKED" in second.err
    assert "hint: Stop the other worker, or give this one another --staging." in second.err
    working.send_signal(signal.SIGTERM)
    _, err = working.communicate(timeout=60)
    assert working.returncode == 0, err
    assert err.endswith(b"stopped\n")
    assert not (program.folder / "staging").exists()


def test_the_owner_of_the_database_can_make_the_tables_by_hand(
    call: Call,
    program: Program,
    postgres: PostgresServer,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With what --sql prints; the role of the workers needs no more than the rights in it."""
    monkeypatch.setenv("BULKFETCH_DATABASE_PASSWORD", PASSWORD)
    (program.folder / "ids.txt").write_text("1\n2\n")
    fleet = settings(program.folder, postgres.url(database, ROLE))
    refused = call("fleet", "init", fleet)
    assert refused.status == 2
    assert "error: the fleet's tables cannot be made: permission denied" in refused.err
    assert "--sql" in refused.err
    printed = call("fleet", "init", fleet, "--sql")
    assert printed.status == 0
    postgres.sql(printed.out, database)
    for grant in (
        "USAGE ON SCHEMA bulkfetch",
        "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA bulkfetch",
        "USAGE ON ALL SEQUENCES IN SCHEMA bulkfetch",
    ):
        assert f"--   GRANT {grant} TO role" in printed.out
        postgres.sql(f"GRANT {grant} TO {ROLE}", database)
    ended = call("fleet", "submit", fleet, "--account", "acme", "--ids", "ids.txt")
    assert (ended.status, ended.out) == (0, "1\n"), ended.err
    assert call("fleet", "status", fleet).out.endswith("2 pending\n")
    monkeypatch.setenv("BULKFETCH_DATABASE_PASSWORD", "wr0ng")
    wrong = call("fleet", "wait", fleet, "1")
    assert wrong.status == 2
    assert "password authentication failed" in wrong.err
    assert "hint: The password comes from BULKFETCH_DATABASE_PASSWORD" in wrong.err
    for secret in (PASSWORD, "wr0ng"):
        assert secret not in ended.err + wrong.err + refused.err


def test_what_a_library_warns_of_is_told_as_a_warning(
    program: Program, postgres: PostgresServer, database: str
) -> None:
    """Here that others may read the file with the password; not with a line of code."""
    fleet = settings(program.folder, postgres.url(database, ROLE))
    passwords = program.folder / "passwords"
    passwords.write_text(f"*:*:*:*:{PASSWORD}\n")
    passwords.chmod(0o644)
    program.env["PGPASSFILE"] = str(passwords)
    ended = program.run("fleet", "status", fleet)
    assert ended.status == 2
    warned, *_ = ended.err.splitlines()
    assert warned.startswith("warning: password file ")
    assert f"{passwords}') has group or world access" in warned
    assert "warnings.warn" not in ended.err


def test_a_worker_ends_where_the_database_refuses_what_it_needs(
    call: Call,
    program: Program,
    postgres: PostgresServer,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """2, and says what to do; where it lacks a right, as after an upgrade, it takes no turn."""
    monkeypatch.setenv("BULKFETCH_DATABASE_PASSWORD", PASSWORD)
    (program.folder / "ids.txt").write_text("1\n")
    fleet = settings(program.folder, postgres.url(database))
    assert call("fleet", "init", fleet).status == 0
    assert call("fleet", "submit", fleet, "--account", "acme", "--ids", "ids.txt").status == 0
    postgres.sql(
        f"GRANT USAGE ON SCHEMA bulkfetch TO {ROLE};"
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA bulkfetch TO {ROLE};"
        f"REVOKE DELETE ON bulkfetch.fleet_page FROM {ROLE}",
        database,
    )
    settings(program.folder, postgres.url(database, ROLE))
    without_right = call("fleet", "work", fleet)
    assert without_right.status == 2
    assert "error: the database's role may not use fleet_page\n" in without_right.err
    assert "hint: The GRANTs that the role needs are in" in without_right.err
    crashes = "SELECT crashes FROM bulkfetch.fleet_account"
    assert postgres.sql(crashes, database) == "0"
    settings(program.folder, postgres.url(database))
    postgres.sql("ALTER TABLE bulkfetch.fleet_export RENAME TO other", database)
    for words in (("work", fleet), ("status", fleet)):
        ended = call("fleet", *words)
        assert ended.status == 2, ended.err
        assert 'cannot be used: relation "bulkfetch.fleet_export" does not exist' in ended.err
        assert "hint: Restore the schema bulkfetch from a backup" in ended.err
    postgres.sql("ALTER TABLE bulkfetch.fleet_job RENAME TO jobs", database)
    waited = call("fleet", "wait", fleet, "1")
    assert waited.status == 2
    assert 'cannot be used: relation "bulkfetch.fleet_job" does not exist' in waited.err


def test_the_owner_of_the_database_can_upgrade_the_tables_by_hand(
    call: Call, program: Program, postgres: PostgresServer, database: str
) -> None:
    """With what --missing prints, of the engine's tables too; what is there stays."""
    fleet = settings(program.folder, postgres.url(database))
    before, *_ = steps()
    postgres.sql(WINDOW_SQL.read_text() + before + engine.install_sql(), database)
    # As an engine before may have made them.
    postgres.sql("DROP INDEX bulkfetch.pgqueuer_unique_dedupe_key", database)
    postgres.sql(
        "INSERT INTO bulkfetch.fleet_job (account, id, name, claim, owns) "
        "VALUES ('acme', '1', '1.csv', '1.csv', true)",
        database,
    )
    refused = call("fleet", "status", fleet)
    assert refused.status == 2
    assert "the fleet's tables are of version 1" in refused.err
    printed = call("fleet", "init", fleet, "--missing")
    assert printed.status == 0, printed.err
    postgres.sql(printed.out, database)
    assert call("fleet", "status", fleet).out.endswith("1 pending\n")
    assert "pgqueuer_unique_dedupe_key" in postgres.sql(
        "SELECT indexname FROM pg_indexes WHERE schemaname = 'bulkfetch'", database
    )
    made = call("fleet", "init", fleet)
    assert made.err.endswith(f"are of version {len(steps())} already\n")


def test_no_table_holds_a_secret(
    call: Call,
    program: Program,
    postgres: PostgresServer,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A dump of the whole database has neither a credential nor the database's password."""
    url = postgres.url(database)
    fleet = settings(program.folder, url)
    secrets = {
        "ZOHO_CLIENT_ID": "1000.id-of-the-client",
        "ZOHO_CLIENT_SECRET": "secret-of-the-client",
        "ZOHO_REFRESH_TOKEN": "1000.refresh-token",
        "BULKFETCH_DATABASE_PASSWORD": "password-of-the-database",
    }
    text = (program.folder / fleet).read_text()
    (program.folder / fleet).write_text(text.replace('"eu"', '"eu"\nenv_prefix = "ACME_"'))
    for name, value in secrets.items():
        monkeypatch.setenv(f"ACME_{name}" if "ZOHO" in name else name, value)
    (program.folder / "ids.txt").write_text("1\n2\nx\n")
    assert call("fleet", "init", fleet).status == 0
    submitted = call("fleet", "submit", fleet, "--account", "acme", "--ids", "ids.txt")
    assert submitted.status == 0, submitted.err
    work_off(url, done("1"), hold=PASSING)
    tables = postgres.sql(
        "SELECT string_agg(format('SELECT to_jsonb(t)::text FROM %I.%I t', schemaname, tablename),"
        " ' UNION ALL ') FROM pg_tables WHERE schemaname = 'bulkfetch'",
        database,
    )
    dump = postgres.sql(tables, database)
    assert "TOKEN_REFUSED" in dump
    assert "s3://lake/acme/1.csv" in dump
    for secret in secrets.values():
        assert secret not in dump


def test_the_how_to_has_a_file_that_loads_and_a_unit_that_starts_it(tmp_path: Path) -> None:
    """FLEET.toml as it stands there, and what systemd is to run: a command with options of ours."""
    accounts, exports = (each.text for each in fences(HOW_TO) if each.language == "toml")
    (tmp_path / "fleet.toml").write_text(accounts + exports)
    fleet = load_fleet(tmp_path / "fleet.toml", {"ACME_ZOHO_ACCESS_TOKEN": "t"})
    assert fleet.settings.account_names == {"acme", "globex"}
    assert fleet.settings.account("acme").credentials.access_token is not None
    assert fleet.chosen_exports() == [("acme", "Leads"), ("globex", "Leads"), ("globex", "Deals")]
    [unit] = (each.text for each in fences(HOW_TO) if each.language == "ini")
    keys = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line)
    assert (keys["DynamicUser"], keys["Restart"], keys["TimeoutStopSec"]) == ("yes", "always", "30")
    program, *words = keys["ExecStart"].replace("%S/bulkfetch-%i", "/var/lib/x").split()
    assert program.endswith("/bulkfetch")
    assert words[:3] == ["fleet", "work", "/etc/bulkfetch/fleet.toml"]
    assert {word for word in words if word.startswith("--")} <= {
        option for parameter in work.params for option in parameter.opts
    }


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["fleet", "sumbit", "fleet.toml"], 'did you mean "submit"?'),
        (["fleet", "wait", "fleet.toml", "x"], "'x' is not a valid integer"),
        (["fleet", "status", "none.toml"], "none.toml: No such file"),
        (["fleet", "submit", "fleet.toml", "--ids", "ids.txt"], "ids.txt: which account?"),
        (["fleet", "submit", "fleet.toml", "--account", "x", "--ids", "-"], "unknown account"),
        (["fleet", "submit", "fleet.toml", "--account", "acme", "--ids", "no"], "no: No such file"),
        (["fleet", "submit", "fleet.toml", "--ids", " "], "the name of the list is empty"),
        (["fleet", "submit", "fleet.toml", "--ids", "a", "--ids-column", "0"], "numbered from 1"),
        (["fleet", "status", "fleet.toml", "--failed", "--watch"], "cannot be used together"),
        (["fleet", "submit", "fleet.toml"], "nothing to submit: give --ids FILE, --export NAME or"),
        (
            ["fleet", "submit", "fleet.toml", "--exports", "--export", "Leads"],
            "--export and --exports cannot be used together",
        ),
        (["fleet", "submit", "fleet.toml", "--exports", "--again"], "--again is for --ids"),
        (["fleet", "submit", "fleet.toml", "--ids", "ids.txt", "--full"], "--full is for --export"),
        (
            ["fleet", "submit", "fleet.toml", "--ids", "x", "--account", "a", "--account", "b"],
            "--account can be given only once with --ids",
        ),
        (["fleet", "submit", "fleet.toml", "--exports"], "fleet.toml has no [[exports]]"),
        (["fleet", "submit", "fleet.toml", "--ids", "x", "--moved", "amce"], 'did you mean "acme"'),
        (["fleet", "work", "fleet.toml", "--listen", "x"], "--listen x: no [HOST:]PORT"),
        (
            ["fleet", "work", "fleet.toml", "--listen", "192.0.2.1:9"],
            "cannot listen at 192.0.2.1:9",
        ),
        (["fleet", "status", "fleet.toml"], "fleet's database postgresql://u@/x cannot be used"),
    ],
)
def test_a_slip_is_told_before_anything_is_done(
    call: Call, program: Program, words: list[str], told: str
) -> None:
    """Exit status 2 and an error; nothing on stdout."""
    settings(program.folder, "postgresql://u@/x?host=%2Fnone")
    (program.folder / "ids.txt").write_text("1\n")
    ended = call(*words)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("error: ")
    assert told in ended.err


def test_a_plain_run_knows_nothing_of_fleets(program: Program) -> None:
    """Neither the engine nor what uses it is imported by a run."""
    code = (
        "import sys; from bulkfetch.cli import main; status = main(sys.argv[1:]);"
        "found = [m for m in sys.modules if 'pgqueuer' in m or 'fleet' in m];"
        "sys.exit(f'imported: {found}' if found else status)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "run", program.settings(), "1"],
        cwd=program.folder,
        env=program.environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr


def test_without_a_command_the_help_is_shown(call: Call) -> None:
    """As without one at the top: on stderr, with status 2."""
    ended = call("fleet")
    assert (ended.status, ended.out) == (2, "")
    assert "submit" in ended.err

"""Runs on several hosts that share a window in PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.kill_scene import service
from tests.support.postgres import PASSWORD, ROLE, PostgresServer
from tests.support.programs import IDS, Program

from bulkfetch.ratelimit.postgres.schema import SQL_FILE
from bulkfetch.sandbox import SandboxOptions, read_log
from bulkfetch.sandbox.quota import worst_in

pytestmark = pytest.mark.slow


def host(folder: Path, server: str, database: str, more: str = "", **env: str) -> Program:
    """A host of its own: nothing is shared with another one but the database.

    `more` are lines of jobs.toml.
    """
    folder.mkdir()
    (folder / "jobs.toml").write_text(
        f'out = "out"\n[window]\nshared = "{database}"\n'
        f'[accounts.acme]\napi_domain = "{server}"\naccounts_url = "{server}"\n'
        f"[accounts.acme.window]\nrequests = 5\nperiod_s = 2\nmargin_s = 0.5\n{more}"
    )
    return Program(folder, {"ZOHO_ACCESS_TOKEN": "t", **env})


def test_two_hosts_keep_the_limit_together(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    """Neither gets a 429 from a server that refuses the sixth request in two seconds."""
    options = SandboxOptions(records=5, requests=5, period_s=2)
    with service(tmp_path, options) as server:
        url = postgres.url(database)
        hosts = [host(tmp_path / name, server.url, url) for name in ("one", "two")]
        try:
            running = [
                one.start("run", "jobs.toml", *IDS[10 * n : 10 * n + 10], "-v", "--no-progress")
                for n, one in enumerate(hosts)
            ]
            ended = [process.communicate(timeout=100) for process in running]
        finally:
            for one in hosts:
                one.close()
    for process, (out, err) in zip(running, ended, strict=True):
        assert process.returncode == 0, err.decode()
        assert len(out.splitlines()) == 10
        assert b"TOO_MANY" not in err
        assert b"429" not in err
        assert b"refuses more requests" not in err
    used = postgres.sql(
        "SELECT account, cardinality(token) FROM bulkfetch.account_window", database
    )
    assert used.partition("|")[0] == "acme"


@pytest.mark.timeout(300)  # a minute has to go by
def test_two_hosts_that_export_keep_one_budget_of_calls(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    """In any minute the server sees no more creates and polls than were allowed, of both together.

    Either host by itself would have kept to the figures without waiting.
    """
    control = (
        "[accounts.acme.control]\ncreates_per_minute = 4\npolls_per_minute = 5\n"
        '[[exports]]\nmodule = "Leads"\n'
    )
    options = SandboxOptions(records=20, per_page=8, prepare_s=0, requests=5, period_s=2)
    with service(tmp_path, options) as server:
        url = postgres.url(database)
        hosts = [host(tmp_path / name, server.url, url, control) for name in ("one", "two")]
        try:
            running = [each.start("export", "jobs.toml", "--no-progress") for each in hosts]
            ended = [process.communicate(timeout=280) for process in running]
        finally:
            for each in hosts:
                each.close()
        log = read_log(server.log)
    for process, (out, err) in zip(running, ended, strict=True):
        assert process.returncode == 0, err.decode()
        assert len(out.splitlines()) == 3
    assert [each for each in log if each.status == 429] == []
    for kind, most in (("create", 4), ("status", 5)):
        times = [each.at_s for each in log if each.kind == kind]
        assert len(times) >= 6
        assert worst_in(times, 60.0) <= most
    found = postgres.sql(
        "SELECT account, (SELECT sum(credits) >= 300 FROM unnest(span_credits) AS credits)"
        " FROM bulkfetch.account_control",
        database,
    )
    assert found == "acme|t"


def test_check_looks_at_the_database(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    """--online connects, and makes no table; the password is never told."""
    with service(tmp_path, SandboxOptions()) as server:
        env = {"BULKFETCH_DATABASE_PASSWORD": PASSWORD}
        one = host(tmp_path / "one", server.url, postgres.url(database, ROLE), **env)
        ended = one.run("check", "jobs.toml", "--online")
        assert "window.connection: connected to " in ended.out
        assert "the first run makes the tables" in ended.out
        assert "window.password: set  (environment BULKFETCH_DATABASE_PASSWORD)" in ended.out
        assert ended.status == 0, ended.out
        one.env["BULKFETCH_DATABASE_PASSWORD"] = "wr0ng"
        wrong = one.run("check", "jobs.toml", "--online")
        assert wrong.status == 2
        assert "password authentication failed" in wrong.out
        assert PASSWORD not in ended.out + ended.err
        assert "wr0ng" not in wrong.out + wrong.err


def test_a_run_that_cannot_have_its_window_ends_before_it_begins(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    """A role that may make no tables: exit status 2, what to run, and the jobs stay pending."""
    with service(tmp_path, SandboxOptions(records=5)) as server:
        env = {"BULKFETCH_DATABASE_PASSWORD": PASSWORD}
        one = host(tmp_path / "one", server.url, postgres.url(database, ROLE), **env)
        ended = one.run("run", "jobs.toml", IDS[0])
        assert ended.status == 2, ended.err
        assert "error: the window's tables cannot be used or made" in ended.err
        assert str(SQL_FILE) in ended.err
        assert PASSWORD not in ended.out + ended.err
        postgres.sql(SQL_FILE.read_text(), database)
        postgres.sql(
            f"GRANT USAGE ON SCHEMA bulkfetch TO {ROLE};"
            f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA bulkfetch TO {ROLE}",
            database,
        )
        ended = one.run("run", "jobs.toml", IDS[0])
        assert ended.status == 0, ended.err


def test_an_account_without_a_name_is_refused(program: Program) -> None:
    """All hosts know an account by its name: two unnamed ones would be one."""
    (program.folder / "jobs.toml").write_text(
        '[window]\nshared = "postgresql://db.example/x"\n[account]\ndata_center = "eu"\n'
    )
    program.env["ZOHO_ACCESS_TOKEN"] = "t"
    ended = program.run("run", "jobs.toml", IDS[0])
    assert ended.status == 2
    assert "error: window.shared needs an account with a name" in ended.err
    assert "[accounts.NAME]" in ended.err


@pytest.mark.parametrize("command", [("run", "jobs.toml", IDS[0]), ("export", "jobs.toml")])
def test_what_shares_with_no_host_imports_nothing_of_it(
    program: Program, command: tuple[str, ...]
) -> None:
    """Where window and budget are the machine's nobody knows asyncpg, nor what uses it."""
    code = (
        "import sys; from bulkfetch.cli import main; status = main(sys.argv[1:]);"
        "found = [m for m in sys.modules if any(each in m for each in"
        " ('asyncpg', 'ratelimit.postgres', 'hosts_ledger'))];"
        "sys.exit(f'imported: {found}' if found else status)"
    )
    with service(program.folder, SandboxOptions(records=5, prepare_s=0)) as server:
        (program.folder / "jobs.toml").write_text(
            f'[account]\napi_domain = "{server.url}"\n[[exports]]\nmodule = "Leads"\n'
        )
        program.env["ZOHO_ACCESS_TOKEN"] = "t"
        ended = subprocess.run(
            [sys.executable, "-c", code, *command],
            cwd=program.folder,
            env=program.environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert ended.returncode == 0, ended.stderr

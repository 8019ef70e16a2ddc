"""`bulkfetch fleet check`: what a worker needs on this host, and of the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from tests.support.fleets import make_fleet
from tests.support.postgres import PostgresServer
from tests.support.programs import Ended, Program

Call = Callable[..., Ended]
NOWHERE = "postgresql://u@/x?host=%2Fnone"


@pytest.fixture
def write(program: Program) -> Callable[[str], None]:
    """Give what writes FLEET.toml with two accounts, whose tokens are in the environment."""

    def write(url: str) -> None:
        (program.folder / "fleet.toml").write_text(
            f'[fleet]\ndatabase = "{url}"\nstore = "/srv/exports/{{account}}"\n'
            'staging = "staging"\n[accounts.acme]\nenv_prefix = "ACME_"\n'
            '[accounts.beta]\nenv_prefix = "BETA_"\n'
        )

    return write


def test_a_host_is_checked_without_its_database(
    call: Call, program: Program, write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accounts without credentials are told, with 3; when nothing lacks it is 0."""
    write(NOWHERE)
    monkeypatch.setenv("ACME_ZOHO_ACCESS_TOKEN", "one")
    lacking = call("fleet", "check", "fleet.toml")
    assert (lacking.status, lacking.err) == (3, "")
    assert lacking.out.splitlines() == [
        "ok       fleet.staging: staging",
        "ok       accounts: 1 of 2 lack nothing here",
        "bad      accounts.beta.credentials: MISSING_CREDENTIALS: no credentials",
        "         hint: Set BETA_ZOHO_ACCESS_TOKEN, or BETA_ZOHO_CLIENT_ID, "
        "BETA_ZOHO_CLIENT_SECRET and BETA_ZOHO_REFRESH_TOKEN, or token_command in the settings "
        "file.",
    ]
    monkeypatch.setenv("BETA_ZOHO_ACCESS_TOKEN", "another")
    assert call("fleet", "check", "fleet.toml").status == 0
    (program.folder / "staging").write_text("")
    ended = call("fleet", "check", "fleet.toml", "--json")
    assert ended.status == 3
    assert [record["code"] for record in ended.records] == ["NOT_WRITABLE", None]


@pytest.mark.slow
def test_the_database_is_checked_too_where_that_is_asked_for(
    call: Call,
    write: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    postgres: PostgresServer,
    database: str,
) -> None:
    """2 where there is none, or none of a fleet; else the version of its tables."""
    for name in ("ACME", "BETA"):
        monkeypatch.setenv(f"{name}_ZOHO_ACCESS_TOKEN", f"token-{name}")
    online = ("fleet", "check", "fleet.toml", "--online")
    write(NOWHERE)
    away = call(*online)
    assert (away.status, away.err) == (2, "")
    assert "bad      fleet.database: the fleet's database postgresql://u@/x cannot" in away.out
    url = postgres.url(database)
    write(url)
    empty = call(*online)
    assert empty.status == 2
    assert "bad      fleet.database: the database has no tables of a fleet\n" in empty.out
    assert "hint: Run `bulkfetch fleet init FLEET.toml`" in empty.out
    asyncio.run(make_fleet(url))
    ready = call(*online)
    assert ready.status == 0
    assert ready.out.endswith(", with tables of version 3\n")

"""`fleet status --watch` on a terminal."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.fleets import done, fleet_journal, submit_to
from tests.support.postgres import PostgresServer
from tests.support.programs import Program
from tests.support.screens import shown
from tests.support.terminals import Terminal

from bulkfetch.cli.fleet_screen import details_of, rows_of
from bulkfetch.fleet.accounts import AccountExports, FleetAccount
from bulkfetch.models import Failure, Job

HELD = Failure("TOKEN_REFUSED", "The server refused.", "Look at it.", 400)


def account(name: str, pending: int, *, crashes: int = 0, held: bool = False) -> FleetAccount:
    """An account that one worker has, or had; a thousand jobs of it are done."""
    failure = HELD if held else None
    return FleetAccount(name, 1_000, 2, pending, "host-1", 70.0, failure, crashes, AccountExports())


def test_what_is_under_way_is_shown_first() -> None:
    """With the worker that has it; what has ended or is held is only counted."""
    accounts = [
        account("waits", 5),
        account("held", 5, held=True),
        account("over", 0),
        account("served", 7, crashes=1),
        account("suspect\x1b", 9, crashes=3),
    ]
    assert rows_of(accounts, now=100.0) == [
        ("served", "host-1", "for 30 s", "1,000", "2", "7"),
        ("suspect\\x1b", "host-1", "for 30 s, 2 crashed", "1,000", "2", "9"),
        ("waits", "", "waits for one", "1,000", "2", "5"),
    ]
    assert details_of(accounts, 0.0) == "2 turns by 1 worker · 1 held"
    # 21 jobs are left that no held account has.
    assert details_of(accounts, 0.5) == "2 turns by 1 worker · 30 jobs/min · 42 s left · 1 held"


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 200])
def test_a_fleet_is_watched_on_a_terminal(
    program: Program, postgres: PostgresServer, database: str, columns: int
) -> None:
    """The accounts under way and the sum of all, within its width; in the end one line is left."""
    url = postgres.url(database)
    (program.folder / "fleet.toml").write_text(
        f'[fleet]\ndatabase = "{url}"\nstore = "s3://lake/{{account}}"\n'
        '[accounts.acme]\ndata_center = "eu"\n[accounts.beta]\ndata_center = "us"\n'
    )
    program.env["TERM"] = "xterm"

    async def watched() -> Terminal:
        async with fleet_journal(url) as journal:
            jobs = [Job(job_id, name) for name in ("acme", "beta") for job_id in ("1", "2")]
            await submit_to(url, jobs)
            generation = await journal.begin_turn("acme", "a-host-with-a-long-name")
            await journal.record("acme", generation, [done("1")])
            terminal = Terminal(
                program, "fleet", "status", "fleet.toml", "--watch", columns=columns
            )
            await asyncio.to_thread(terminal.read_until, " by 1 worker")
            screen = shown(terminal.text, columns)
            await journal.record("acme", generation, [done("2")])
            await journal.end_turn("acme", generation)
            generation = await journal.begin_turn("beta", "another")
            await journal.record("beta", generation, [done(each, "beta") for each in ("1", "2")])
            await journal.end_turn("beta", generation)
        head, acme, beta, summed, details = map(str.split, screen.splitlines())
        assert head == ["account", "worker", "its", "turn", "done", "failed", "pending"]
        whole = "a-host-with-a-long-name"
        assert acme[:3] == ["acme", whole if columns > 100 else f"{whole[:18]}…", "for"]
        assert acme[-3:] == ["1", "0", "1"]
        assert beta == ["beta", "waits", "for", "one", "0", "0", "2"]
        assert summed[-6:] == ["1", "done,", "0", "failed,", "3", "pending"]
        assert details == ["1", "turn", "by", "1", "worker"]
        assert max(map(len, screen.splitlines())) <= min(columns, 120)
        return terminal

    terminal = asyncio.run(watched())
    assert terminal.read_all() == 0
    terminal.close()
    [left] = shown(terminal.text, columns).splitlines()
    assert left.endswith("2 accounts: 4 done, 0 failed, 0 pending")

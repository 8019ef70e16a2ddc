"""Exports of a fleet: submitted, waited for, shown. A real database, workers played by its rows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.support.fleets import PASSING, PERMANENT, end_exports, make_fleet, published
from tests.support.postgres import PostgresServer
from tests.support.programs import Ended, Program

from bulkfetch.models import ExportReport
from bulkfetch.observe.export_words import export_record

pytestmark = pytest.mark.slow

Call = Callable[..., Ended]


@pytest.fixture
def fleet(program: Program, postgres: PostgresServer, database: str) -> str:
    """Write FLEET.toml with two accounts and three exports, whose tables are made."""
    url = postgres.url(database)
    asyncio.run(make_fleet(url))
    (program.folder / "fleet.toml").write_text(
        f'[fleet]\ndatabase = "{url}"\nstore = "s3://lake/{{account}}"\n'
        '[accounts.acme]\ndata_center = "eu"\n[accounts.beta]\ndata_center = "us"\n'
        '[[exports]]\nmodule = "Leads"\n[[exports]]\nmodule = "Contacts"\n'
        '[[exports]]\nmodule = "Deals"\naccount = "beta"\n'
    )
    return "fleet.toml"


def test_exports_are_submitted_done_and_told_as_by_a_command_of_their_own(
    call: Call, fleet: str, postgres: PostgresServer, database: str
) -> None:
    """All of them, or some by name and account; text and JSON have what `export` writes."""
    url = postgres.url(database)
    ended = call("fleet", "submit", fleet, "--exports")
    assert (ended.status, ended.out) == (0, "1\n"), ended.err
    assert "submission 1: 5 exports to be done for 2 accounts\n" in ended.err
    one = ("fleet", "submit", fleet, "--export", "Leads", "--export", "Deals", "--json")
    [record] = call(*one).records
    assert (record["exports"], record["accounts"], record["asked"]) == (3, 2, 0)
    [record] = call(*one, "--account", "beta").records
    assert (record["exports"], record["accounts"]) == (2, 1)
    two = ("--account", "acme", "--account", "beta")
    [record] = call("fleet", "submit", fleet, "--exports", *two, "--full", "--json").records
    assert (record["submission"], record["exports"]) == (4, 5)

    asyncio.run(end_exports(url, published("acme"), published("beta"), published("beta", "Deals")))
    done = call("fleet", "wait", fleet, "2")
    assert done.status == 0
    folder = "20260930T020001Z-full"
    assert done.out == "".join(
        f"s3://lake/{place}/{folder}/part-0000{page}.csv\n"
        for place in ("acme/Leads", "beta/Leads", "beta/Deals")
        for page in (1, 2)
    )
    assert (
        "export Leads of account acme: done, full, 2 pages, 6 records, 118 credits: "
        f"s3://lake/acme/Leads/{folder}/manifest.json" in done.err
    )
    records = call("fleet", "wait", fleet, "3", "--json").records
    told = [published("beta"), published("beta", "Deals")]
    expected = []
    for report in told:
        expected += [*(part.to_dict() for part in report.parts), export_record(report)]
    assert records[:-1] == expected
    summary = records[-1]
    assert (summary["done"], summary["requests"], summary["file_bytes"]) == (4, 4, 4 * 81)
    assert summary["exports"] == {"done": 2, "failed": 0, "pending": 0, "skipped": 0}
    assert (summary["exit_status"], summary["list_read"]) == (0, True)


def test_an_export_that_fails_or_waits_is_told_with_its_cause(
    call: Call, program: Program, fleet: str, postgres: PostgresServer, database: str
) -> None:
    """1 where one failed; one that waits is told of once, and waited for; both are in `status`."""
    url = postgres.url(database)
    call("fleet", "submit", fleet, "--export", "Leads")
    waits = ExportReport("Leads", "beta", "pending", error=PASSING)
    failed = ExportReport("Leads", "acme", "failed", error=PERMANENT)
    asyncio.run(end_exports(url, waits, failed))
    shown = call("fleet", "status", fleet)
    assert shown.out == (
        "account acme: 0 done, 0 failed, 0 pending; exports: 0 done, 1 failed, 0 pending\n"
        "account beta: 0 done, 0 failed, 0 pending; exports: 0 done, 0 failed, 1 pending\n"
        "2 accounts: 0 done, 0 failed, 0 pending; exports: 0 done, 1 failed, 1 pending\n"
    )
    waiting = program.start("fleet", "wait", fleet, "1", "--json")
    assert waiting.stderr is not None
    for expected in (b"export Leads of account acme: failed", b"waits: TOKEN_REFUSED: The server"):
        assert expected in waiting.stderr.readline()
    asyncio.run(end_exports(url, published("beta", pages=1)))
    out, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 1
    assert b"error: export Leads of account acme: RESOURCE_NOT_FOUND: There is none.\n" in err
    summary = json.loads(out.splitlines()[-1])
    assert summary["exports"] == {"done": 1, "failed": 1, "pending": 0, "skipped": 0}
    assert (summary["done"], summary["failed"]) == (1, 0)
    listed = call("fleet", "status", fleet, "--failed")
    assert listed.out == (
        "export Leads of account acme: RESOURCE_NOT_FOUND: There is none.\n"
        "hint for RESOURCE_NOT_FOUND: Look at it.\n"
    )
    [record] = call("fleet", "status", fleet, "--failed", "--json").records
    assert record == export_record(failed)
    ended = call("fleet", "status", fleet, "--failed", "--account", "beta")
    assert (ended.status, ended.out) == (0, "")
    assert ended.err == "no job and no export of account beta has failed\n"


def test_a_list_and_exports_are_one_submission(
    call: Call, program: Program, fleet: str, postgres: PostgresServer, database: str
) -> None:
    """Of one account, if one is named; the summary has jobs and pages in one sum."""
    url = postgres.url(database)
    (program.folder / "ids.txt").write_text("1\nnone\n")
    (program.folder / "empty.txt").write_text("")
    both = ("fleet", "submit", fleet, "--account", "acme", "--ids")
    ended = call(*both, "ids.txt", "--exports")
    assert (ended.status, ended.out) == (0, "1\n"), ended.err
    assert "submission 1: 1 job to be fetched and 2 exports to be done for 1 account\n" in ended.err
    postgres.sql(
        "UPDATE bulkfetch.fleet_job SET state = 1, outcome = '{}', ended_in = pg_current_xact_id()",
        database,
    )
    asyncio.run(end_exports(url, published("acme"), published("acme", "Contacts", pages=1)))
    waited = call("fleet", "wait", fleet, "1", "--json")
    assert waited.status == 1
    summary = waited.records[-1]
    assert (summary["done"], summary["failed"]) == (1 + 3, 1)
    assert summary["exports"]["done"] == 2
    ended = call(*both, "empty.txt", "--export", "Leads")
    assert (ended.status, ended.out) == (0, "2\n")
    assert "warning: the list is empty\n" in ended.err


@pytest.mark.parametrize(
    ("words", "told", "hint"),
    [
        (["--export", "Lead"], "there is no export 'Lead'", 'did you mean "Leads"?'),
        (["--exports", "--account", "acm"], "unknown account 'acm'", 'did you mean "acme"?'),
        (
            ["--export", "Leads", "--export", "Deals", "--account", "acme"],
            "export Deals is of another account than acme",
            "Leave --account out",
        ),
    ],
)
def test_what_there_is_not_leaves_nothing(
    call: Call,
    fleet: str,
    postgres: PostgresServer,
    database: str,
    words: list[str],
    told: str,
    hint: str,
) -> None:
    """A name or an account that FLEET.toml does not know: 2, with the nearest right one."""
    ended = call("fleet", "submit", fleet, *words)
    assert (ended.status, ended.out) == (2, "")
    assert told in ended.err
    assert hint in ended.err
    assert postgres.sql("SELECT count(*) FROM bulkfetch.fleet_submission", database) == "0"


def test_a_wait_may_be_interrupted_while_exports_are_to_be_done(
    call: Call, program: Program, fleet: str, postgres: PostgresServer, database: str
) -> None:
    """130, with the exports that are left; accounts that are held end it with 3."""
    url = postgres.url(database)
    call("fleet", "submit", fleet, "--exports", "--account", "acme")
    asyncio.run(end_exports(url, published("acme", pages=1)))
    waiting = program.start("fleet", "wait", fleet, "1", "--json")
    assert waiting.stdout is not None
    assert json.loads(waiting.stdout.readline())["page"] == 1
    assert json.loads(waiting.stdout.readline())["type"] == "export"
    waiting.terminate()
    out, _ = waiting.communicate(timeout=60)
    summary = json.loads(out)
    assert waiting.returncode == summary["exit_status"] == 130
    assert summary["exports"] == {"done": 1, "failed": 0, "pending": 1, "skipped": 0}
    held = json.dumps({"code": "TOKEN_REFUSED", "message": "m", "hint": "h", "http": 400})
    postgres.sql(f"UPDATE bulkfetch.fleet_account SET held = '{held}'", database)
    ended = call("fleet", "wait", fleet, "1", "--json")
    assert ended.status == 3
    assert ended.records[-1]["exports"]["pending"] == 1
    assert "error: account acme: TOKEN_REFUSED: m" in ended.err


def test_status_tells_what_is_under_way_of_an_export(
    call: Call, fleet: str, postgres: PostgresServer, database: str
) -> None:
    """The pages that are home and the credits spent, of what is pending only."""
    call("fleet", "submit", fleet, "--exports", "--account", "acme")
    asyncio.run(end_exports(postgres.url(database), replace(published("acme", "Contacts"))))
    postgres.sql(
        "INSERT INTO bulkfetch.fleet_generation (export, account, state, step, queries, "
        "query_hash, started, spent, wasted, warnings) SELECT key, 'acme', 'ACTIVE', '{}', '[]', "
        "'h', 's', 118, 0, '[]' FROM bulkfetch.fleet_export;"
        "INSERT INTO bulkfetch.fleet_page (generation, chain, number, state, tries, failures, "
        "expiries, files, requests) SELECT key, 1, number, CASE number WHEN 3 THEN 'READY' "
        "ELSE 'COUNTED' END, 1, 0, 0, '[]', 1 "
        "FROM bulkfetch.fleet_generation, generate_series(1, 3) AS number",
        database,
    )
    told = "exports: 1 done, 0 failed, 1 pending (2 pages fetched, 118 credits)"
    assert told in call("fleet", "status", fleet).out
    account, whole = call("fleet", "status", fleet, "--json").records
    assert (
        account["exports"]
        == whole["exports"]
        == {
            "done": 1,
            "failed": 0,
            "pending": 1,
            "pages": 2,
            "credits": 118,
        }
    )

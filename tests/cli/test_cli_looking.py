"""The commands that only look: status, plan, check."""

import calendar
import json
import os
import re
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.programs import IDS, Program

from bulkfetch.cli import main
from bulkfetch.cli.plan import account_plan
from bulkfetch.journal import schema

GONE = "554023000000990404"
SECRET = "1000.hushhushhush"


def looked(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run a command in this process; give status, stdout, stderr."""
    status = main(arguments)
    return (status, *capfd.readouterr())


def tree(folder: Path) -> dict[str, bytes]:
    """Everything in a folder, to see that it is not changed."""
    return {
        str(path): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-shm", "-wal"))
    }


@pytest.fixture
def here(program: Program, monkeypatch: pytest.MonkeyPatch) -> Program:
    """The program's folder as working directory and its environment, for commands run in here."""
    monkeypatch.chdir(program.folder)
    for name in [name for name in os.environ if "ZOHO" in name or "proxy" in name.lower()]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BULKFETCH_STATE_DIR", str(program.folder / "state"))
    return program


@pytest.mark.slow
def test_after_a_run(here: Program, capfd: pytest.CaptureFixture[str]) -> None:
    """Status tells what is done and what failed and why; plan, what is left. Neither changes."""
    settings = here.settings()
    here.run("run", settings, IDS[0], GONE)
    before = tree(here.folder)

    status, out, err = looked(capfd, "status", "exports")
    assert (status, err) == (0, "")
    assert out.splitlines()[:2] == [
        "account default: 1 done, 1 failed, 0 pending",
        "no run is active",
    ]
    assert f"job {GONE}: RESOURCE_NOT_FOUND (HTTP 404): " in out
    assert "  hint: " in out

    status, out, _ = looked(capfd, "status", "exports", "--json")
    account, lock, job = (json.loads(line) for line in out.splitlines())
    assert (account["done"], account["failed"], account["pending"]) == (1, 1, 0)
    assert lock == {"type": "lock", "held": False}
    assert (job["type"], job["id"], job["status"]) == ("job", GONE, "failed")

    status, out, _ = looked(capfd, "plan", settings, IDS[0], IDS[1], GONE, IDS[1], "--json")
    assert status == 0
    batch, plan = (json.loads(line) for line in out.splitlines())
    assert (batch["first"], batch["last"], batch["start_s"]) == (1, 1, 0.0)
    assert (plan["to_fetch"], plan["done"], plan["expiring"]) == (1, 1, 0)
    assert plan["failed_before"] == 1
    assert tree(here.folder) == before


@pytest.mark.slow
def test_status_check(here: Program, capfd: pytest.CaptureFixture[str]) -> None:
    """With --check the exit status says whether all is done; without, that it was told."""
    settings = here.settings()
    here.run("run", settings, IDS[0])
    assert looked(capfd, "status", "exports", "--check")[0] == 0
    here.run("run", settings, GONE)
    assert looked(capfd, "status", "exports")[0] == 0
    assert looked(capfd, "status", "exports", "--check", "--json")[0] == 1
    here.run("run", here.settings(account='token_command = ["false"]'), IDS[0], "--out", "other")
    (here.folder / "eu.toml").write_text('[account]\ndata_center = "eu"\n')
    here.run("run", "eu.toml", IDS[1], "--out", "pending")
    assert looked(capfd, "status", "pending", "--check")[0] == 1


@pytest.mark.parametrize(
    ("command", "statuses"),
    [
        ("run", ["0", "1", "2", "3", "130"]),
        ("plan", ["0", "2", "3", "130"]),
        ("status", ["0", "1", "2", "3", "130"]),
        ("check", ["0", "2", "3", "130"]),
        ("sandbox", ["0", "2", "3"]),
    ],
)
def test_each_help_has_its_own_exit_statuses(
    command: str, statuses: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """A help page lists the statuses that its command has, and what each means there."""
    assert main([command, "--help"]) == 0
    table = capfd.readouterr().out.partition("Exit status:")[2]
    assert re.findall(r"^ +(\d+)  ", table, re.MULTILINE) == statuses
    assert ("the run finished" in table) == (command == "run")


@pytest.mark.slow
def test_status_beside_a_run(here: Program, capfd: pytest.CaptureFixture[str]) -> None:
    """Status is answered while a run works, and names it."""
    process = here.start("run", here.settings(), "--ids", "-")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{IDS[0]}\n".encode())
    process.stdin.flush()
    process.stdout.readline()
    status, out, _ = looked(capfd, "status", "exports")
    process.communicate(timeout=60)
    assert status == 0
    assert f"a run is active: pid {process.pid} since " in out
    assert process.returncode == 0


def test_status_of_a_damaged_journal(here: Program, capfd: pytest.CaptureFixture[str]) -> None:
    """A journal that cannot be read is told in words, with what to do."""
    (here.folder / "exports/.bulkfetch").mkdir(parents=True)
    (here.folder / "exports/.bulkfetch/journal.db").write_bytes(b"no database" * 100)
    status, out, err = looked(capfd, "status", "exports")
    assert (status, out) == (3, "")
    assert err.startswith("error: JOURNAL_DAMAGED: ")
    assert "hint: " in err


def test_plan_of_a_fresh_list(here: Program, capfd: pytest.CaptureFixture[str]) -> None:
    """Ten at once, ten after a minute, the rest after two; nothing is asked or written."""
    (here.folder / "jobs.toml").write_text('[account]\ndata_center = "eu"\n')
    (here.folder / "ids.txt").write_text("".join(f"{job}\n" for job in IDS[:25]) + "oops\n")
    status, out, err = looked(capfd, "plan", "jobs.toml", "--ids", "ids.txt")
    lines = out.splitlines()
    assert status == 0
    assert lines[0] == "account default: 25 jobs to fetch; 10 in 1 min 1 s"
    assert lines[1] == "  1-10: at once"
    assert lines[2].startswith("  11-20: ")
    assert lines[2].endswith("in 1 min 1 s")
    assert lines[3].endswith("in 2 min 2 s")
    assert lines[4].startswith("the last one starts in 2 min 2 s, at ")
    assert lines[4].endswith("none will expire")
    assert err.splitlines() == [
        "warning: 1 job with a bad id, name or account would fail without a request",
        "  job oops: INVALID_JOB_ID: ids.txt:26: 'oops' is not a job id",
        "  hint: A Zoho bulk job id is a number such as 554023000000568002; fix the list.",
    ]
    assert sorted(path.name for path in here.folder.iterdir()) == ["ids.txt", "jobs.toml"]


def test_plan_names_the_first_jobs_that_would_fail(
    here: Program, capfd: pytest.CaptureFixture[str]
) -> None:
    """With line and reason, as `run` does: bad ids, second names of an id, names of another job."""
    (here.folder / "jobs.toml").write_text('[account]\ndata_center = "eu"\n')
    rows = [f"{IDS[0]},a", f"{IDS[0]},b", f"{IDS[1]},a", *(f"x{number}," for number in range(9))]
    (here.folder / "ids.csv").write_text("\n".join(["id,name", *rows]))
    _, _, err = looked(capfd, "plan", "jobs.toml", "--ids", "ids.csv", "--ids-column", "id")
    lines = err.splitlines()
    assert lines[0] == (
        "warning: 10 jobs with a bad id, name or account would fail without a request"
    )
    assert lines[1] == "  job x0: INVALID_JOB_ID: ids.csv:5: 'x0' is not a job id"
    assert lines[4] == "  job x3: INVALID_JOB_ID: ids.csv:8: 'x3' is not a job id"
    assert lines[6] == (
        f"  job {IDS[0]}: INVALID_NAME: ids.csv:3: the list has job {IDS[0]} a second time, under "
        "another name: 'b'"
    )
    assert lines[8:] == [
        "  and 5 more",
        "warning: 1 job with the name of another job of the list would fail without a request",
        f"  job {IDS[1]}: PUBLISH_CONFLICT: ids.csv:4: job {IDS[0]} of the same list would be "
        "published under the same name",
        "  hint: Give one of them another name.",
    ]


def test_plan_of_a_long_list() -> None:
    """What cannot start within the day that Zoho keeps a result will have expired."""
    day = account_plan("default", 14_400, 0, 0, 10, 60.0)
    assert day.last_start_s == 1439 * 60
    assert day.expiring == 0
    # The request at exactly 24 h is still asked for; the next batch is not.
    assert account_plan("default", 14_410, 0, 0, 10, 60.0).expiring == 0
    assert account_plan("default", 14_425, 0, 0, 10, 60.0).expiring == 15
    assert len(list(day.batches)) == 1440


def test_plan_shows_few_batches(here: Program, capfd: pytest.CaptureFixture[str]) -> None:
    """However long the list, the text is short: the first batches and the last."""
    (here.folder / "jobs.toml").write_text('[account]\ndata_center = "eu"\n')
    (here.folder / "ids.txt").write_text("".join(f"{number}\n" for number in range(20_000)))
    _, out, _ = looked(capfd, "plan", "jobs.toml", "--ids", "ids.txt")
    assert len(out.splitlines()) == 10
    assert "  …" in out
    assert "19991-20000" in out
    assert "jobs will have expired by then" in out


def test_plan_names_what_is_too_late(here: Program, capfd: pytest.CaptureFixture[str]) -> None:
    """It says which results will have expired: the first ones as text, all of them as JSON."""
    (here.folder / "jobs.toml").write_text(
        '[account]\ndata_center = "eu"\n[account.window]\nrequests = 1\nperiod_s = 43_199\n'
    )
    # One at once, one after 12 h and one after 24: the order is the list's, a second mention none.
    (here.folder / "ids.txt").write_text("".join(f"{job}\n" for job in ("9", "8", "9", *"7654321")))
    status, out, _ = looked(capfd, "plan", "jobs.toml", "--ids", "ids.txt", "--json")
    late = [record for record in map(json.loads, out.splitlines()) if record["type"] == "expiring"]
    assert status == 0
    assert [record["id"] for record in late] == ["6", "5", "4", "3", "2", "1"]
    assert late[0] == {
        "type": "expiring",
        "account": "default",
        "id": "6",
        "start_s": 129_600.0,
        "start": late[0]["start"],
    }
    assert json.loads(out.splitlines()[-1])["expiring"] == 6
    _, out, _ = looked(capfd, "plan", "jobs.toml", "--ids", "ids.txt")
    assert out.endswith(
        "; 6 jobs will have expired by then: 6, 5, 4, 3, 2 and 1 more, listed by --json\n"
    )


@pytest.mark.slow
def test_plan_asks_in_the_order_of_a_run(here: Program, capfd: pytest.CaptureFixture[str]) -> None:
    """Second tries come after all fresh ids, so they are what comes too late."""
    flaky = IDS[0]
    settings = here.settings(sandbox=f'faults = {{ {flaky} = ["INTERNAL_ERROR"] }}')
    text = (here.folder / settings).read_text()
    (here.folder / settings).write_text(text + "[limits]\ntries = 1\n")
    assert here.run("run", settings, flaky).status == 1
    (here.folder / "slow.toml").write_text(
        '[account]\ndata_center = "sandbox"\n[account.window]\nrequests = 1\nperiod_s = 80_000\n'
    )
    _, out, _ = looked(capfd, "plan", "slow.toml", *IDS[:3], "--json")
    late = [record for record in map(json.loads, out.splitlines()) if record["type"] == "expiring"]
    assert [record["id"] for record in late] == [flaky]


# Summer time (UTC+1) ends at this hour of UTC on this day of the year, which a leap day does not
# count; a rule begins it on the first day, or in July.
@pytest.mark.slow
@pytest.mark.parametrize("begins", ["J1/0", "J182/0"])
@pytest.mark.parametrize("in_hours", [1, 2, 3])
def test_plan_over_a_change_of_the_clocks(
    here: Program,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    begins: str,
    in_hours: int,
) -> None:
    """Each local time is what the clock will show then, whichever change lies between."""
    change = datetime.now(UTC).replace(minute=0) + timedelta(hours=in_hours)
    day = int(change.strftime("%j"))
    leap = calendar.isleap(change.year) and day > 59
    change_at = f"J{day - leap}/{change.hour + (begins == 'J1/0')}"
    rule = (begins, change_at) if begins == "J1/0" else (change_at, begins)
    (here.folder / "jobs.toml").write_text('[account]\ndata_center = "eu"\n')
    (here.folder / "ids.txt").write_text("".join(f"{number}\n" for number in range(3000)))
    monkeypatch.setenv("TZ", f"STD0DST-1,{rule[0]},{rule[1]}")
    time.tzset()
    try:
        status, out, _ = looked(capfd, "plan", "jobs.toml", "--ids", "ids.txt", "--json")
        assert status == 0
        records = [json.loads(line) for line in out.splitlines()]
        status, text, _ = looked(capfd, "plan", "jobs.toml", "--ids", "ids.txt")
        assert status == 0
        starts = [datetime.fromisoformat(r["start"]) for r in records if "start" in r]
        assert len({start.utcoffset() for start in starts}) == 2, "the change lies within the plan"
        for start in starts:
            assert (
                start.isoformat()
                == datetime.fromtimestamp(start.timestamp()).astimezone().isoformat()
            )
        last = next(r for r in records if r["type"] == "plan")["last_start"]
        # Both were asked for within seconds of each other.
        shown = re.search(r"at (?:\S+ )?(\d\d):(\d\d):\d\d; ", text)
        assert shown is not None
        said = int(shown[1]) * 60 + int(shown[2])
        meant = datetime.fromisoformat(last)
        assert (said - meant.hour * 60 - meant.minute) % 1440 in (0, 1)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.slow
def test_plan_reads_a_pipe(here: Program) -> None:
    """The list of a plan may come from a pipe too."""
    ended = here.run("plan", here.settings(), "--ids", "-", "--json", stdin=f"{IDS[0]}\n")
    assert ended.status == 0
    assert ended.records[-1]["to_fetch"] == 1


def test_check_tells_where_settings_come_from(
    here: Program, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each setting is told with its origin, each credential as present; no secret is shown."""
    (here.folder / "jobs.toml").write_text('out = "o"\n[account]\ndata_center = "eu"\n')
    for name in ("CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN"):
        monkeypatch.setenv(f"ZOHO_{name}", SECRET)
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{SECRET}@proxy.example:3128")
    status, out, err = looked(capfd, "check", "jobs.toml")
    assert (status, err) == (0, "")
    assert "(jobs.toml:1)" in out
    assert "account.api_domain: https://www.zohoapis.eu  (jobs.toml:3)" in out
    assert "client id, client secret and refresh token are set  (environment ZOHO_REF" in out
    assert "limits.zip_bytes: 4 GiB  (default)" in out
    assert SECRET not in out
    assert not (here.folder / "o").exists()


def test_check_finds_what_is_missing(here: Program, capfd: pytest.CaptureFixture[str]) -> None:
    """What would keep a run from its work is told, each with a hint; the status is a run's."""
    (here.folder / "file").write_text("")
    (here.folder / "jobs.toml").write_text(
        'out = "file/exports"\nids_file = "none.txt"\n[account]\ndata_center = "eu"\n'
    )
    status, out, _ = looked(capfd, "check", "jobs.toml", "--json")
    bad = {
        record["name"]: record
        for record in map(json.loads, out.splitlines())
        if record["verdict"] == "bad"
    }
    assert status == 2  # a run would not get beyond the list
    assert sorted(bad) == ["account.credentials", "ids_file", "out"]
    assert "ZOHO_ACCESS_TOKEN" in bad["account.credentials"]["hint"]


def test_check_looks_for_token_command(here: Program, capfd: pytest.CaptureFixture[str]) -> None:
    """A token_command is looked for, not run, and its arguments are not shown."""
    (here.folder / "jobs.toml").write_text(
        f'[account]\ndata_center = "eu"\ntoken_command = ["no-such-program", "{SECRET}"]\n'
    )
    status, out, _ = looked(capfd, "check", "jobs.toml")
    assert status == 3
    assert "token_command: no program no-such-program" in out
    assert SECRET not in out


@pytest.mark.slow
def test_status_of_an_empty_journal(here: Program, capfd: pytest.CaptureFixture[str]) -> None:
    """An emptied journal has no jobs yet; a run says that it begins anew, and does."""
    settings = here.settings()
    assert here.run("run", settings, IDS[0]).status == 0
    journal = here.folder / "exports/.bulkfetch/journal.db"
    journal.write_bytes(b"")
    status, out, err = looked(capfd, "status", "exports")
    assert (status, out, err) == (0, "no jobs yet\nno run is active\n", "")
    assert looked(capfd, "plan", settings, IDS[0])[0] == 0
    assert journal.read_bytes() == b""
    (here.folder / "exports" / f"{IDS[0]}.csv").unlink()
    ended = here.run("run", settings, IDS[0])
    assert ended.status == 0
    told = "the journal exports/.bulkfetch/journal.db is empty: starting afresh"
    assert ended.err.count(told) == 1
    assert "starting afresh" not in here.run("run", settings, IDS[0]).err


def test_status_where_a_run_was_cut_off_early(
    here: Program, capfd: pytest.CaptureFixture[str]
) -> None:
    """A folder without a journal yet has no jobs yet; one without anything is a wrong argument."""
    (here.folder / "exports/.bulkfetch/staging").mkdir(parents=True)
    assert looked(capfd, "status", "exports")[:2] == (0, "no jobs yet\nno run is active\n")
    status, _, err = looked(capfd, "status", "none")
    assert status == 2
    assert "holds no journal" in err


def test_an_older_journal_is_read(here: Program, capfd: pytest.CaptureFixture[str]) -> None:
    """Status and plan answer from a journal of the first format, and change no byte of it."""
    folder = here.folder / "exports/.bulkfetch"
    folder.mkdir(parents=True)
    with closing(schema.open_to_write(folder / "journal.db", schema.STEPS[:1])) as connection:
        connection.execute("INSERT INTO account (name) VALUES ('default')")
        connection.execute("UPDATE list SET next_position = 2")
        row = "INSERT INTO job (account, id, position, state) VALUES (1, ?, 1, ?)"
        connection.execute(row, (IDS[0], schema.DONE))
        schema.checkpoint(connection)
    before = tree(here.folder)
    status, out, err = looked(capfd, "status", "exports")
    assert (status, err) == (0, "")
    assert out.startswith("account default: 1 done, 0 failed, 0 pending\n")
    status, out, err = looked(capfd, "plan", here.settings(), *IDS[:3], "--json")
    assert (status, err) == (0, "")
    assert json.loads(out.splitlines()[-1])["done"] == 1
    assert {
        name: data for name, data in tree(here.folder).items() if "jobs.toml" not in name
    } == before

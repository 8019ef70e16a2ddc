"""`bulkfetch status` lists jobs, gives ids back as input, and looks at the run beside it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.programs import IDS, Ended, Program

from bulkfetch.cli.status_live import last_start_s
from bulkfetch.pipeline.staged import staged_files

Call = Callable[..., Ended]
GONE = "554023000000990404"
OTHER_GONE = "554024000000990404"


@pytest.mark.slow
def test_each_list_has_its_jobs_and_its_ids_are_input_again(program: Program, call: Call) -> None:
    """--all, --failed and --pending list jobs; with --ids the list is one for --ids of run."""
    settings = program.settings()
    assert program.run("run", settings, IDS[0], GONE).status == 1
    listed = call("status", "exports", "--all").out
    assert f"job {IDS[0]}: done exports/{IDS[0]}.csv\n" in listed
    assert f"job {GONE}: RESOURCE_NOT_FOUND" in listed
    assert IDS[0] not in call("status", "exports", "--failed").out
    assert program.run("run", settings, OTHER_GONE).status == 1
    listed = call("status", "exports", "--failed").out
    assert listed.count(" RESOURCE_NOT_FOUND (HTTP 404): ") == 2
    assert listed.splitlines()[-1].startswith("hint for RESOURCE_NOT_FOUND: The id is wrong, ")
    assert listed.count("hint") == 1
    assert call("forget", "exports", OTHER_GONE).status == 0
    records = call("status", "exports", "--all", "--json").records
    assert [each["id"] for each in records if each["type"] == "job"] == [IDS[0], GONE]
    assert call("status", "exports", "--ids").out.split() == [IDS[0], GONE]
    failed = call("status", "exports", "--failed", "--ids").out
    assert failed == f"{GONE}\n"
    assert call("status", "exports", "--pending", "--ids").out == ""
    again = program.run("run", settings, "--ids", "-", "--json", stdin=failed)
    assert [each["id"] for each in again.records if each["type"] == "job"] == [GONE]


@pytest.mark.slow
def test_ids_of_several_accounts_are_not_mixed(program: Program, call: Call) -> None:
    """A list of ids is of one account; which one is asked, and told."""
    tables = "".join(
        f'[accounts.{name}]\ndata_center = "sandbox"\nenv_prefix = "{name.upper()}_ZOHO_"\n'
        for name in ("eu", "us")
    )
    (program.folder / "jobs.toml").write_text(f"{tables}[sandbox]\nrecords = 20\n")
    assert program.run("run", "jobs.toml", IDS[0], "--account", "eu").status == 0
    assert program.run("run", "jobs.toml", IDS[1], "--account", "us").status == 0
    mixed = call("status", "exports", "--ids")
    assert (mixed.status, mixed.out) == (2, "")
    assert "--account NAME" in mixed.err
    assert call("status", "exports", "--ids", "--account", "us").out == f"{IDS[1]}\n"
    unknown = call("status", "exports", "--account", "jp")
    assert (unknown.status, unknown.out) == (2, "")
    assert "Known: eu, us." in unknown.err


def test_ids_are_text_only(program: Program, call: Call) -> None:
    """--ids with --json is refused: the records have the ids."""
    ended = call("status", "exports", "--ids", "--json")
    assert (ended.status, ended.out) == (2, "")
    assert "--ids and --json" in ended.err


@pytest.mark.slow
def test_beside_a_run_status_tells_what_is_under_way(program: Program, call: Call) -> None:
    """A body that has begun to arrive is told with its size, and when the last job can start."""
    slow = IDS[0]
    settings = program.settings(sandbox=f'faults = {{ {slow} = ["stall_in_body"] }}')
    text = (program.folder / settings).read_text()
    text = text.replace("requests = 1000\nperiod_s = 1\n", "requests = 1\nperiod_s = 600\n")
    (program.folder / settings).write_text(text)
    run = program.start("run", settings, *IDS[:4], "--no-progress")
    staging = program.folder / "exports/.bulkfetch/staging"
    deadline = time.monotonic() + 60
    while not list(staging.glob("*.part")) and time.monotonic() < deadline:
        assert run.poll() is None
        time.sleep(0.02)
    ended = call("status", "exports", "--json")
    plain = call("status", "exports")
    run.kill()
    run.wait()
    (transfer,) = [each for each in ended.records if each["type"] == "transfer"]
    assert set(transfer) == {"type", "id", "account", "state", "bytes", "idle_s"}
    assert (transfer["id"], transfer["state"]) == (slow, "receiving")
    assert transfer["bytes"] >= 0
    (listed,) = [each for each in ended.records if each["type"] == "list"]
    assert set(listed) == {"type", "started", "to_fetch", "last_start_s"}
    assert listed["to_fetch"] == 4
    # Three are left to start, one every 600 s.
    assert listed["last_start_s"] == [1200.0, 1800.0]
    assert f"  receiving job {slow}: " in plain.out
    assert "of its list 4 jobs to fetch; the last one starts in 20 min to 30 min" in plain.out
    assert "of its list" not in call("status", "exports").out, "nobody holds the folder"


def test_when_the_last_request_starts() -> None:
    """At best with a window unused, at worst with one just used up; nothing left starts now."""
    assert last_start_s(0, 10, 61.0) == (0.0, 0.0)
    assert last_start_s(1, 10, 61.0) == (0.0, 61.0)
    assert last_start_s(10, 10, 61.0) == (0.0, 61.0)
    assert last_start_s(11, 10, 61.0) == (61.0, 122.0)


def test_the_names_in_staging_tell_their_jobs(tmp_path: Path) -> None:
    """Bodies and drafts are told apart; what is not ours, a link or a folder is left out."""
    for name in ("eu.1.2.part", "a.22.zip", "a.23.csv.gz.out", "a.24.zip.keep", "notes.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "a.25.part").mkdir()
    (tmp_path / "a.26.part").symlink_to(tmp_path / "notes.txt")
    found = list(staged_files(tmp_path))
    assert [(each.account, each.job_id, each.kind) for each in found] == [
        ("a", "22", "zip"),
        ("a", "23", "draft"),
        ("a", "24", "draft"),
        ("eu.1", "2", "part"),
    ]
    assert [each.bytes for each in found] == [8, 15, 13, 11]
    assert list(staged_files(tmp_path / "none")) == []


@pytest.mark.slow
def test_a_new_state_folder_is_kept_out_of_git(program: Program) -> None:
    """`.bulkfetch` gets a .gitignore of all when it is made; one that was removed stays away."""
    settings = program.settings()
    assert program.run("run", settings, IDS[0]).status == 0
    ignore = program.folder / "exports/.bulkfetch/.gitignore"
    assert ignore.read_text() == "*\n"
    os.unlink(ignore)
    assert program.run("run", settings, IDS[0]).status == 0
    assert not ignore.exists()

"""When a run ends, how much of a list it takes up, and what is started at its end."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from tests.support.programs import IDS, Ended, Program

from bulkfetch import access
from bulkfetch.cli import hooks, main
from bulkfetch.download.bandwidth import Bandwidth

Call = Callable[..., Ended]

# Writes what it is given to a file, and leaves with a status.
HOOK = """
import os, sys
open("told.json", "w").write(sys.stdin.read())
print("said on stdout")
sys.exit(int(os.environ.get("HOOK_STATUS", "0")))
"""


def hook(program: Program) -> str:
    """A command that keeps its stdin in told.json."""
    (program.folder / "hook.py").write_text(HOOK)
    return f"'{sys.executable}' hook.py"


def told(program: Program) -> dict[str, Any]:
    """What the command was told."""
    record: dict[str, Any] = json.loads((program.folder / "told.json").read_text())
    return record


# --- the time -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_stops_when_its_time_is_over(program: Program) -> None:
    """After --max-duration nothing starts: 3 with the cause, and the rest goes on later."""
    process = program.start(
        "run", program.settings(), "--ids", "-", "--json", "--max-duration", "2s"
    )
    assert process.stdin is not None
    process.stdin.write(f"{IDS[0]}\n".encode())
    process.stdin.flush()
    # stdin stays open: without the limit this run would wait for more.
    assert process.wait(timeout=60) == 3
    assert process.stdout is not None
    assert process.stderr is not None
    summary = json.loads(process.stdout.read().splitlines()[-1])
    err = process.stderr.read().decode()
    assert (summary["exit_status"], summary["interrupted"]) == (3, False)
    assert summary["list_read"] is False
    assert summary["error"]["code"] == "OUT_OF_TIME"
    assert "the 2.0 s of --max-duration are over: finishing transfers in flight\n" in err
    assert "error: OUT_OF_TIME: the 2.0 s of --max-duration are over\n" in err
    assert "to continue: " in err
    again = program.run("run", "jobs.toml", IDS[0], "--json")
    assert (again.status, again.records[-1]["pending"]) == (0, 0)


@pytest.mark.slow
def test_a_run_that_ends_in_time_is_as_without_limit(program: Program, call: Call) -> None:
    """A limit that is not reached changes nothing, of a list as of an export."""
    ended = call("run", program.settings(), IDS[0], "--max-duration", "1h", "--json")
    assert (ended.status, ended.records[-1]["error"]) == (0, None)
    program.settings('[[exports]]\nmodule = "Leads"\n')
    ended = call("export", "jobs.toml", "--max-duration", "1h", "--json")
    assert (ended.status, ended.records[-1]["error"]) == (0, None)


@pytest.mark.parametrize("option", ["--max-duration", "--wait"])
def test_what_is_no_duration_is_refused(program: Program, call: Call, option: str) -> None:
    """A limit without a unit, or of nothing, is a usage error."""
    for value in ("soon", "0s"):
        ended = call("export", program.settings(), option, value)
        assert ended.status == 2
        assert f"'{value}' is not a duration such as 90s, 30m or 2h" in ended.err


# --- the list -------------------------------------------------------------------------------------


def test_a_limited_run_takes_up_the_next_jobs(program: Program, call: Call) -> None:
    """--limit counts what is still to do: run by run the whole list is done, then it says so."""
    settings = program.settings()
    (program.folder / "ids.txt").write_text("\n".join([*IDS[:5], IDS[0]]))
    command = ["run", settings, "--ids", "ids.txt", "--limit", "2", "--json"]
    for expected in (IDS[:2], IDS[2:4], IDS[4:5]):
        ended = call(*command)
        *jobs, summary = ended.records
        assert sorted(job["id"] for job in jobs) == sorted(expected)
        assert (ended.status, summary["done"], summary["skipped"]) == (0, len(expected), 0)
    ended = call(*command, "--fail-empty")
    assert (ended.status, [record["type"] for record in ended.records]) == (0, ["summary"])
    assert ended.err == "6 jobs of the list: nothing is left to do\n"


def test_a_limited_run_passes_over_what_failed_for_good(program: Program, call: Call) -> None:
    """An id that does not exist is not taken up a second time, and does not use up the limit."""
    settings, gone = program.settings(), "554023000000990404"
    assert call("run", settings, gone, IDS[0], "--limit", "1").status == 1
    ended = call("run", settings, gone, IDS[0], "--limit", "1", "--json")
    assert (ended.status, [job["id"] for job in ended.records[:-1]]) == (0, [IDS[0]])


@pytest.mark.slow
def test_a_limited_list_from_a_pipe(program: Program) -> None:
    """A list that may block is limited as well; what is behind the limit is not read."""
    ended = program.run(
        "run", program.settings(), "--ids", "-", "--limit", "2", "--json", stdin="\n".join(IDS)
    )
    assert (ended.status, ended.records[-1]["done"]) == (0, 2)


def test_an_empty_list_can_be_a_failure(program: Program, call: Call) -> None:
    """With --fail-empty a list without ids ends with 3, its code and a hint, also as JSON."""
    settings = program.settings()
    (program.folder / "ids.txt").write_text("# none\n")
    ended = call("run", settings, "--ids", "ids.txt", "--fail-empty", "--json")
    assert ended.status == 3
    assert ended.err.startswith("error: EMPTY_LIST: The list is empty.\nhint: ")
    assert ended.records[0]["error"]["code"] == "EMPTY_LIST"
    assert ended.records[0]["exit_status"] == 3


# --- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "status"),
    [
        (["run", "missing.toml", "--json"], "CONFIG", 2),
        (["run", "jobs.toml", "--json", "--jsn"], "USAGE", 2),
        (["run", "jobs.toml", "1", "-q", "-v", "--json"], "USAGE", 2),
        (["run", "--json"], "USAGE", 2),
        (["export", "jobs.toml", "--json"], "CONFIG", 2),
        (["export", "--json", "--wait", "x"], "USAGE", 2),
    ],
)
def test_json_ends_with_a_summary_whatever_happens(
    program: Program, call: Call, arguments: list[str], code: str, status: int
) -> None:
    """Usage and configuration errors end with a summary too, which has the cause and the status."""
    program.settings()
    ended = call(*arguments)
    assert ended.status == status
    (summary,) = ended.records
    assert (summary["type"], summary["exit_status"]) == ("summary", status)
    assert (summary["error"]["code"], summary["list_read"]) == (code, False)
    assert summary["error"]["message"] in ended.err


@pytest.mark.slow
def test_json_of_a_locked_folder_ends_with_a_summary(program: Program) -> None:
    """A run that finds another one in its folder says so as JSON, with the status 3."""
    first = program.start("run", program.settings(), "--ids", "-")
    assert first.stdin is not None
    assert first.stdout is not None
    first.stdin.write(f"{IDS[0]}\n".encode())
    first.stdin.flush()
    assert first.stdout.readline()
    ended = program.run("run", "jobs.toml", IDS[1], "--json")
    first.stdin.close()
    assert first.wait(timeout=60) == 0
    (summary,) = ended.records
    assert (ended.status, summary["exit_status"], summary["error"]["code"]) == (3, 3, "LOCKED")


def test_help_has_no_summary(capfd: pytest.CaptureFixture[str]) -> None:
    """A help page is no run, whatever else was asked for."""
    assert main(["run", "--json", "--help"]) == 0
    assert '"summary"' not in capfd.readouterr().out


def test_a_command_is_started_when_all_is_done(program: Program, call: Call) -> None:
    """--on-done gets the summary as JSON on its stdin; what it prints does not mix with results."""
    ended = call("run", program.settings(), IDS[0], "--on-done", hook(program))
    assert (ended.status, ended.out) == (0, f"exports/{IDS[0]}.csv\n")
    assert ended.err.endswith("said on stdout\n")
    summary = told(program)
    assert (summary["type"], summary["done"], summary["exit_status"]) == ("summary", 1, 0)


@pytest.mark.parametrize(
    ("arguments", "status"), [(["554023000000990404"], 1), (["missing-list"], 2), ([], 2)]
)
def test_a_command_is_started_after_a_failure(
    program: Program, call: Call, arguments: list[str], status: int
) -> None:
    """--on-failure is told of failed jobs and of a run that never began; --on-done is not."""
    command = hook(program)
    ended = call(
        *("run", program.settings(), *arguments),
        *("--on-failure", command, "--on-done", "false"),
    )
    assert ended.status == status
    assert told(program)["exit_status"] == status
    assert "--on-done" not in ended.err


@pytest.mark.slow
def test_a_command_of_an_export(program: Program, call: Call) -> None:
    """An export tells its command the same summary as it prints."""
    settings = program.settings('[[exports]]\nmodule = "Leads"\n')
    ended = call("export", settings, "--json", "--on-done", hook(program))
    assert (ended.status, told(program)) == (0, ended.records[-1])


def test_the_rate_of_all_downloads_can_be_bounded(program: Program, call: Call) -> None:
    """--limit-rate wins over the file; `check` shows the file's; a rate that is none is 2."""
    settings = program.settings('[limits]\nmax_bytes_per_s = "1M"\n')
    shown = call("check", settings).out
    assert "limits.max_bytes_per_s: 1.0 MB/s  (jobs.toml:2)" in shown
    with patch.object(access, "Bandwidth", wraps=Bandwidth) as made:
        assert call("run", settings, IDS[0], "--limit-rate", "1.5M").status == 0
        assert call("run", settings, IDS[1]).status == 0
    assert [each.args for each in made.call_args_list] == [(3 << 19,), (1 << 20,)]
    for rate in ("0", "fast", ""):
        ended = call("run", settings, IDS[0], "--limit-rate", rate)
        assert (ended.status, ended.out) == (2, "")
        assert "is not a rate such as 500k, 1.5M or 2M, in bytes per second" in ended.err


@pytest.mark.parametrize(
    ("command", "warning"),
    [
        ("no-such-program", "no-such-program: No such file or directory"),
        ("false", "false: exit status 1"),
        ("true", None),  # reads nothing of its stdin
    ],
)
def test_a_command_that_fails_changes_no_exit_status(
    program: Program, call: Call, command: str, warning: str | None
) -> None:
    """Whatever becomes of the command is told, and the run's status stays."""
    ended = call("run", program.settings(), IDS[0], "--on-done", command)
    assert ended.status == 0
    last = ended.err.splitlines()[-1]
    assert last == f"warning: --on-done {warning}" if warning else not last.startswith("warning")


@pytest.mark.slow
def test_a_command_that_hangs_is_ended(
    program: Program, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command has a minute; then it is killed with what it has started."""
    monkeypatch.setattr(hooks, "HOOK_S", 0.2)
    ended = call("run", program.settings(), IDS[0], "--on-done", 'sh -c "sleep 600 & wait"')
    assert ended.status == 0
    assert ended.err.splitlines()[-1] == "warning: --on-done sh: ended after 0 s"


@pytest.mark.parametrize(("command", "said"), [("", "is empty"), ("a 'b", "No closing quotation")])
def test_a_command_that_cannot_be_read_is_a_usage_error(
    program: Program, call: Call, command: str, said: str
) -> None:
    """An empty command, as of an unset variable, or an open quote is told before anything else."""
    ended = call("run", program.settings(), IDS[0], "--on-done", command)
    assert ended.status == 2
    assert said in ended.err
    assert not (Path(program.folder) / "exports").exists()

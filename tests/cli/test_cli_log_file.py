"""The log file of a run: what it holds, and what becomes of a run whose log fails."""

import json
from collections.abc import Callable
from datetime import datetime

import pytest
from tests.support.programs import IDS, Ended, Program

Call = Callable[..., Ended]
GONE = "554023000000990404"


def test_a_log_has_times_and_levels(program: Program, call: Call) -> None:
    """Also with -q the log has the notes; every line begins with a time and a level."""
    settings = program.settings()
    ended = call("run", settings, IDS[0], GONE, "-q", "--log-file", "run.log")
    assert ended.status == 1
    lines = (program.folder / "run.log").read_text().splitlines()
    for line in lines:
        time, level, _ = line.split(" ", 2)
        assert datetime.fromisoformat(time).tzinfo is not None
        assert level in ("note:", "warning:", "error:", "hint:")
    assert any(f" error: job {GONE}: RESOURCE_NOT_FOUND" in line for line in lines)
    assert any(" note: 1 done, 1 failed; " in line for line in lines)
    call("run", settings, IDS[1], "-q", "--log-file", "run.log")
    assert (program.folder / "run.log").read_text().splitlines()[: len(lines)] == lines


def test_each_line_can_have_its_time_and_level(program: Program, call: Call) -> None:
    """With --timestamps lines on stderr are those of a log; without, errors begin as ever."""
    settings = program.settings()
    told = call("run", settings, IDS[0], GONE, "-v", "--timestamps")
    assert (told.status, told.out) == (1, f"exports/{IDS[0]}.csv\n")
    levels = set()
    for line in told.err.splitlines():
        time, level, _ = line.split(" ", 2)
        assert datetime.fromisoformat(time).tzinfo is not None
        levels.add(level)
    assert levels == {"note:", "error:", "hint:"}
    plain = call("run", settings, "--failed").err.splitlines()
    assert plain[0].startswith(f"error: job {GONE}: ")
    assert plain[1].startswith("hint: ")


def test_a_log_as_json(program: Program, call: Call) -> None:
    """Each line is one object; foreign text in it is escaped, and a hint stays with its error."""
    (program.folder / "ids.txt").write_text(f"{IDS[0]}\n12x\x1b[2J\n")
    call(
        *("run", program.settings(), "--ids", "ids.txt", "-v"),
        *("--log-file", "run.jsonl", "--log-format", "json"),
    )
    text = (program.folder / "run.jsonl").read_text()
    records = [json.loads(line) for line in text.splitlines()]
    assert {"time", "level", "message"} <= set(records[0])
    assert any("published as" in record["message"] for record in records)
    (failed,) = [record for record in records if record["level"] == "error"]
    assert failed["hint"]
    assert "\\x1b[2J" in failed["message"]


@pytest.mark.parametrize(
    ("path", "why"), [("none/run.log", "No such file or directory"), ("/dev/full", "No space left")]
)
def test_a_run_goes_on_without_its_log(program: Program, call: Call, path: str, why: str) -> None:
    """A log that cannot be opened or written is one warning, and changes no exit status."""
    ended = call("run", program.settings(), IDS[0], "--log-file", path)
    assert (ended.status, ended.out) == (0, f"exports/{IDS[0]}.csv\n")
    warnings = [line for line in ended.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"warning: the log file {path}: {why}")

"""The file of --events: every line as its schema says, and never worth a result."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from tests.support.programs import IDS, Ended, Program

from bulkfetch.cli import events_file
from bulkfetch.cli.events_file import EventsFile
from bulkfetch.errors import ConfigError
from bulkfetch.events import Event, EventKind
from bulkfetch.observe.event_lines import json_line
from bulkfetch.observe.event_shapes import SHAPES, FileKind, event_schema

FAULTS = [
    *("reset_before_head", "html_503", "zip_bit_flip", "close_in_body", "limit_429"),
    *("error_400_not_found", "range_wrong_start"),
]
FAULTY = (
    "ranges = true\netag = true\nfaults = { "
    + ", ".join(f'"{job}" = ["{fault}"]' for job, fault in zip(IDS, FAULTS, strict=False))
    + " }"
)


def checked(path: Path) -> list[dict[str, Any]]:
    """Return the lines of an events file, each held to the schema and to the documented names."""
    schema = jsonschema.Draft202012Validator(event_schema())
    lines = [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]
    for line in lines:
        schema.validate(line)
        assert set(line["data"]) <= {name.rstrip("?") for name in SHAPES[line["kind"]].data}, line
    return lines


def kinds(lines: list[dict[str, Any]]) -> set[str]:
    return {line["kind"] for line in lines}


def test_every_kind_has_its_shape() -> None:
    """The schema knows the kinds of the library and those of the file, and no others."""
    assert sorted(SHAPES) == sorted([*get_args(EventKind), *get_args(FileKind)])
    jsonschema.Draft202012Validator.check_schema(event_schema())


@pytest.mark.slow
def test_a_run_with_faults_is_told_line_by_line(program: Program) -> None:
    """Each line fits the schema, a healthy job has all its steps, and no line holds a token."""
    name = program.settings(sandbox=FAULTY)
    (program.folder / "ids.txt").write_text("\n".join([*IDS[:12], "bad id"]))
    ended = program.run("run", name, "--ids", "ids.txt", "--events", "e.jsonl", "-q")
    assert ended.status == 1, ended.err
    lines = checked(program.folder / "e.jsonl")
    assert (lines[0]["kind"], lines[-1]["kind"]) == ("run_started", "run_ended")
    assert lines[-1]["data"]["exit_status"] == 1
    times = [line["elapsed_s"] for line in lines]
    assert times == sorted(times)
    healthy = [line["kind"] for line in lines if line.get("job_id") == IDS[10]]
    assert healthy == [
        *("slot_taken", "attempt_started", "head", "slot_settled", "first_byte", "last_byte"),
        *("verified", "done"),
    ]
    told = {"attempt_failed", "failed", "window_closed", "account_opened"}
    assert told <= kinds(lines)
    assert [line["data"]["code"] for line in lines if line["kind"] == "failed"].count(
        "INVALID_JOB_ID"
    ) == 1
    taken = [line for line in lines if line["kind"] == "slot_taken"]
    settled = [line for line in lines if line["kind"] == "slot_settled"]
    assert len(taken) == len(settled)
    assert "Zoho-oauthtoken" not in (program.folder / "e.jsonl").read_text()


@pytest.mark.slow
def test_an_export_is_told_page_by_page(program: Program) -> None:
    """Pages are created, polled, ready, downloaded, counted, and published together."""
    exports = '[[exports]]\nmodule = "Leads"\n'
    name = program.settings(sandbox="prepare_s = 0.2\nper_page = 20\nmodule_records = 50")
    path = program.folder / name
    path.write_text(path.read_text() + exports)
    ended = program.run("export", name, "--events", "e.jsonl", "-q")
    assert ended.status == 0, ended.err
    lines = checked(program.folder / "e.jsonl")
    of_export = {
        *("export_begun", "page_created", "page_polled", "page_ready", "page_counted"),
        "export_published",
    }
    assert of_export <= kinds(lines)
    counted = [line["data"] for line in lines if line["kind"] == "page_counted"]
    assert sorted(data["page"] for data in counted) == [1, 2, 3]
    assert sum(data["records"] for data in counted) == 50


def test_every_kind_and_field_is_documented() -> None:
    """The how-to has a row for each kind, with its meaning and its figures."""
    text = (Path(__file__).parents[2] / "docs" / "how-to-follow-a-run.md").read_text()
    for kind, shape in SHAPES.items():
        data = ", ".join(
            f"`{name.rstrip('?')}`{' (if known)' if name.endswith('?') else ''}"
            for name in shape.data
        )
        assert f"| `{kind}` | {shape.meaning} | {data} |" in text


def test_schema_events_prints_the_schema(call: Callable[..., Ended]) -> None:
    """`bulkfetch schema --events` prints what the lines are held to."""
    ended = call("schema", "--events")
    assert ended.status == 0
    assert json.loads(ended.out) == event_schema()


@pytest.mark.slow
def test_a_full_disk_costs_events_only(program: Program) -> None:
    """It is told once, and everything is fetched as without the file."""
    ended = program.run("run", program.settings(), *IDS[:5], "--events", "/dev/full")
    assert ended.status == 0, ended.err
    assert len(ended.out.splitlines()) == 5
    assert ended.err.count("the events file /dev/full cannot be written") == 1


@pytest.mark.slow
def test_a_reader_that_leaves_costs_events_only(program: Program) -> None:
    """A pipe whose reader goes away after the first line is told of once; the run goes on."""
    pipe = program.folder / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["head", "-n", "1", str(pipe)], stdout=subprocess.PIPE)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # until the program has opened it
    process = program.start("run", program.settings(), "--ids", "-", "--events", "pipe")
    assert process.stdin is not None
    process.stdin.write(f"{IDS[0]}\n".encode())
    process.stdin.flush()
    assert reader.stdout is not None
    assert b"run_started" in reader.stdout.read()
    reader.wait()
    reader.stdout.close()
    os.close(reading)
    out, err = process.communicate("\n".join(IDS[1:8]).encode(), timeout=60)
    assert process.returncode == 0, err
    assert len(out.splitlines()) == 8
    assert err.count(b"the events file pipe cannot be written (Broken pipe)") == 1


def test_a_pipe_that_nobody_reads_is_refused(program: Program, call: Callable[..., Ended]) -> None:
    """The program does not wait for a reader that may never come."""
    os.mkfifo(program.folder / "pipe")
    ended = call("run", program.settings(), IDS[0], "--events", "pipe")
    assert ended.status == 2
    assert "nobody reads this pipe" in ended.err


@pytest.mark.parametrize("text", ["out = 'exports'\n", '{"type": "job"}\n', "\n"])
def test_a_file_of_something_else_is_left_alone(
    program: Program, call: Callable[..., Ended], text: str
) -> None:
    """What is no events file is neither replaced nor added to."""
    (program.folder / "mine").write_text(text)
    ended = call("run", program.settings(), IDS[0], "--events", "mine")
    assert ended.status == 2
    assert "holds something else" in ended.err
    assert (program.folder / "mine").read_text() == text


def test_a_second_run_is_added(program: Program, call: Callable[..., Ended]) -> None:
    """A file may hold several runs; a line that a killed one left torn stays alone."""
    path = program.folder / "e.jsonl"
    assert call("run", program.settings(), IDS[0], "--events", "e.jsonl").status == 0
    with path.open("a") as file:
        file.write('{"v": 1, "time": "2026')
    assert call("run", "jobs.toml", IDS[1], "--events", "e.jsonl").status == 0
    lines = path.read_text().splitlines()
    torn = [line for line in lines if not line.endswith("}")]
    assert torn == ['{"v": 1, "time": "2026']
    lines.remove(torn[0])
    path.write_text("".join(f"{line}\n" for line in lines))
    told = checked(path)
    assert [line["kind"] for line in told].count("run_started") == 2
    assert [line["kind"] for line in told].count("run_ended") == 2


def test_events_that_wait_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the reader pauses, `put` neither waits nor keeps more; what is missing is counted."""
    monkeypatch.setattr(events_file, "MOST_WAITING", 100)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    told: list[str] = []
    file = EventsFile(str(pipe), told.append)
    event = Event("note", "x" * 1000)
    for _ in range(1000):
        file.put(event)
    os.set_blocking(reading, True)
    with os.fdopen(reading) as reader:
        closing = threading.Thread(target=file.close)
        closing.start()
        lines = [json.loads(line) for line in reader]
        closing.join()
    lost = sum(line["data"]["events"] for line in lines if line["kind"] == "events_lost")
    assert lost > 0
    assert lost + sum(line["kind"] == "note" for line in lines) == 1000
    assert told == []


def test_foreign_words_are_escaped() -> None:
    """Whatever a server says stays within its line, in ASCII, and is obeyed by no terminal."""
    words = 'a\n{"v": 1}\x1b[2J\u202e\ud800 é'
    event = Event("note", words, words, words, {"export": words, "for_s": float("inf")})
    line = json_line(event, 0.0, -1.0)
    assert line.isascii()
    assert line.count("\n") == 1
    record = json.loads(line)
    assert (record["time"], record["elapsed_s"]) == ("1970-01-01T00:00:00.000Z", 0.0)
    escaped = 'a\\n{"v": 1}\\x1b[2J\\u202e\\ud800 é'
    assert record["message"] == record["account"] == record["job_id"] == escaped
    assert record["data"] == {"export": escaped}


@pytest.mark.parametrize("path", ["", "no/such/folder/e.jsonl", ".", "a\0b"])
def test_a_file_that_cannot_be_opened_is_a_usage_error(path: str) -> None:
    """It is found before anything is asked."""
    with pytest.raises(ConfigError, match="--events"):
        EventsFile(path, lambda _: None)

import json
from collections.abc import Callable

import pytest
from tests.support.programs import IDS, Ended, Program
from tests.support.terminals import Terminal

from bulkfetch.cli.printer import Printer
from bulkfetch.cli.runner import Runner
from bulkfetch.config import Settings
from bulkfetch.events import Event, EventKind
from bulkfetch.journal import JournalReader
from bulkfetch.pipeline.handle import Run
from bulkfetch.pipeline.layout import OutputLayout
from bulkfetch.pipeline.progress import Progress

Call = Callable[..., Ended]

GONE = "554023000000990404"
DAMAGED = "554023000000990666"
FORBIDDEN = "554023000000990403"


def test_all_done(program: Program) -> None:
    """A list that comes home whole: 0, a path a line, a summary; again, and nothing is asked."""
    ended = program.run("run", program.settings(), *IDS[:3])
    assert ended.status == 0
    assert sorted(ended.out.splitlines()) == [f"exports/{job}.csv" for job in IDS[:3]]
    assert all((program.folder / path).stat().st_size for path in ended.out.splitlines())
    assert ended.err.splitlines()[-1].startswith("3 done; ")
    assert "error" not in ended.err
    again = program.run("run", "jobs.toml", *IDS[:3])
    assert (again.status, again.out) == (0, "")
    assert "0 done, 3 done before" in again.err
    assert "0 requests" in again.err


def test_out_is_as_given(program: Program, call: Call) -> None:
    """--out wins over the file, and paths are told as it was given."""
    ended = call("run", program.settings('out = "never"'), IDS[0], "--out", "./a/../b")
    assert ended.status == 0
    assert ended.out == f"a/../b/{IDS[0]}.csv\n"
    assert not (program.folder / "never").exists()


def test_some_failed(program: Program, call: Call) -> None:
    """Good files are published, each failure is told with code and hint, and the status is 1."""
    settings = program.settings()
    ended = call("run", settings, IDS[0], GONE, DAMAGED, FORBIDDEN)
    assert ended.status == 1
    assert ended.out == f"exports/{IDS[0]}.csv\n"
    for job, code in ((GONE, "RESOURCE_NOT_FOUND"), (DAMAGED, "ZIP_CORRUPT")):
        assert f"error: job {job}: {code}" in ended.err
    assert f"error: job {FORBIDDEN}: NO_PERMISSION (HTTP 403)" in ended.err
    assert ended.err.count("hint: ") == 3
    assert "Traceback" not in ended.err
    again = f"bulkfetch run jobs.toml {IDS[0]} {GONE} {DAMAGED} {FORBIDDEN}"
    assert ended.err.splitlines()[-1] == f"to retry the failed jobs: {again}"


def test_json(program: Program, call: Call) -> None:
    """--json: one object per job, skipped ones too, the summary last; -q: only errors on stderr."""
    settings = program.settings()
    call("run", settings, IDS[0])
    ended = call("run", settings, IDS[0], IDS[1], GONE, "--json", "-q")
    assert ended.status == 1
    *jobs, summary = ended.records
    by_id = {record["id"]: record for record in jobs}
    assert len(jobs) == len(by_id) == 3
    assert by_id[IDS[0]]["status"] == "done"
    assert by_id[IDS[0]]["skipped"] is True
    assert "skipped" not in by_id[IDS[1]]
    assert by_id[IDS[1]]["files"][0]["path"] == f"exports/{IDS[1]}.csv"
    assert by_id[GONE]["error"]["code"] == "RESOURCE_NOT_FOUND"
    assert by_id[GONE]["error"]["http"] == 404
    assert summary["type"] == "summary"
    counts = [summary[key] for key in ("done", "failed", "pending", "skipped", "exit_status")]
    assert counts == [1, 1, 0, 1, 1]
    assert [line.partition(":")[0] for line in ended.err.splitlines()] == ["error", "hint"]


@pytest.mark.slow
def test_verbose(program: Program, call: Call) -> None:
    """-v tells of failed attempts that were made good."""
    flaky = "554023000000990600"
    ended = call("run", program.settings(), flaky, "-v")
    assert ended.status == 0
    assert f"job {flaky}: " in ended.err


def test_very_verbose(program: Program, call: Call) -> None:
    """-vv follows healthy jobs too: each start with its number, each file with size and time."""
    ended = call("run", program.settings(), *IDS[:2], "-vv")
    assert ended.status == 0
    for job in IDS[:2]:
        assert f"attempt_started: job {job}: attempt 1 started" in ended.err
        size = (program.folder / f"exports/{job}.csv").stat().st_size
        published = f"done: job {job}: published as exports/{job}.csv, {size} bytes, "
        assert published in ended.err
    assert "attempt_started" not in call("run", program.settings(), IDS[2], "-v").err


def test_quiet_keeps_warnings(program: Program, call: Call) -> None:
    """-q hides progress and what is merely good to know; warnings and errors stay."""
    (program.folder / "zoho.env").write_text("ZOHO_ACCESS_TOKEN=abc\n")
    (program.folder / "zoho.env").chmod(0o644)
    (program.folder / "jobs.toml").write_text(
        '[account]\napi_domain = "http://127.0.0.1:1"\nsecrets_file = "zoho.env"\n'
    )
    (program.folder / "ids.txt").write_text("# none today\n")
    ended = call("run", "jobs.toml", "--ids", "ids.txt", "-q")
    assert ended.status == 0
    assert ended.err.splitlines() == [
        "warning: account default: secrets_file zoho.env can be read by other users (mode 644); "
        "chmod 600 it",
        "warning: the list is empty: nothing to do",
    ]


@pytest.mark.parametrize(
    ("kind", "options", "line"),
    [
        ("window_shared", ["-q"], "warning: account eu: words"),
        ("window_fallback", ["-q"], "warning: account eu: words"),
        ("note", [], "warning: account eu: words"),
        ("window_closed", ["-q"], None),
        ("window_closed", [], "account eu: words"),
        ("account_ended", ["-q"], "error: CODE: account eu: words\nhint: Do it."),
    ],
)
def test_news_with_their_level(
    kind: EventKind, options: list[str], line: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    """A warning begins with that word and an error with its own, and -q hides neither."""
    printer = Printer()
    printer.verbosity = -1 if options else 0
    with printer.display({}) as display:
        fetching = Runner(Settings(), printer, display)
        fetching.on_event(Event(kind, "words", "eu", data={"code": "CODE", "hint": "Do it."}))
    assert capfd.readouterr().err == ("" if line is None else f"{line}\n")


@pytest.mark.slow
def test_no_progress(program: Program) -> None:
    """--no-progress hides the progress alone: the summary, and the reader's notes, stay."""
    program.env["TERM"] = "xterm"
    terminal = Terminal(program, "run", program.settings(), IDS[0], "--no-progress")
    assert terminal.read_all() == 0
    terminal.close()
    assert "\x1b" not in terminal.text
    assert "1 done; " in terminal.text


@pytest.mark.parametrize(
    ("option", "looked"), [("-v", True), ("-q", False), ("--no-progress", False)]
)
def test_nobody_looks_where_a_run_stands_in_vain(
    option: str, looked: bool, program: Program, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a run stands is looked at for who sees it, and without progress not at all."""
    looks: list[Progress] = []

    def noted(run: Run) -> Progress:
        looks.append(progress(run))
        return looks[-1]

    progress = Run.progress
    monkeypatch.setattr(Run, "progress", noted)
    assert call("run", program.settings(), IDS[0], option).status == 0
    assert bool(looks) == looked


def test_the_end_of_an_account_is_told_once(program: Program, call: Call) -> None:
    """An error is told when it happens, with its hint, and not once more at the end."""
    one = '[accounts.eu]\ndata_center = "eu"\n[accounts.us]\ndata_center = "us"\n'
    (program.folder / "two.toml").write_text(one)
    (program.folder / "ids.csv").write_text("id,account\n1,eu\n2,us\n3,us\n")
    ended = call("run", "two.toml", "--ids", "ids.csv", "--ids-column", "id")
    assert ended.status == 3
    errors = [line for line in ended.err.splitlines() if "no credentials" in line]
    assert errors == [
        "error: MISSING_CREDENTIALS: account eu: no credentials",
        "error: MISSING_CREDENTIALS: account us: no credentials",
    ]
    assert ended.err.count("hint: ") == 2


def test_malformed_line_fails_alone(program: Program, call: Call) -> None:
    """A malformed line of a list fails by itself, with its number; the others are fetched."""
    (program.folder / "ids.txt").write_text(f"{IDS[0]}\n12x\x1b[2J\n{IDS[1]}\n")
    ended = call("run", program.settings(), "--ids", "ids.txt", "--json")
    assert ended.status == 1
    failed = [record for record in ended.records if record.get("status") == "failed"]
    assert [record["error"]["code"] for record in failed] == ["INVALID_JOB_ID"]
    assert "ids.txt:2" in failed[0]["error"]["message"]
    assert "\x1b" not in ended.err
    assert ended.records[-1]["done"] == 2


def test_many_failures_are_bounded(program: Program, call: Call) -> None:
    """Of many failures the first are told, the rest counted: the log stays readable."""
    (program.folder / "ids.txt").write_text("".join(f"x{n}\n" for n in range(300)))
    ended = call("run", program.settings(), "--ids", "ids.txt")
    assert ended.status == 1
    assert ended.err.count("error: ") == 20
    assert "and 280 jobs more failed" in ended.err


def test_status_names_every_failure(program: Program, call: Call) -> None:
    """What the run only counts is named by `status --json`, jobs without a request included."""
    (program.folder / "ids.txt").write_text("".join(f"x{n}\n" for n in range(30)) + f"{GONE}\n")
    ended = call("run", program.settings(), "--ids", "ids.txt")
    told = "and 11 jobs more failed; `bulkfetch status exports --json` lists all of them\n"
    assert told in ended.err
    named = call("status", "exports", "--json").records
    failed = [record["id"] for record in named if record.get("status") == "failed"]
    assert sorted(failed) == sorted([GONE, *(f"x{n}" for n in range(30))])
    shown = call("status", "exports")
    assert "31 failed" in shown.out
    assert told in shown.out


def test_status_gives_a_shared_hint_once(program: Program, call: Call) -> None:
    """What several failed jobs are to be mended by stands once in `status`, as after a run."""
    (program.folder / "ids.txt").write_text("x1\nx2\nx3\n")
    call("run", program.settings(), "--ids", "ids.txt")
    shown = call("status", "exports").out
    assert shown.count("INVALID_JOB_ID") == 3
    assert shown.count("  hint: ") == 1


def test_account_option(program: Program, call: Call) -> None:
    """--account says whose the ids are that name no account."""
    one = '[accounts.eu]\ndata_center = "sandbox"\n[accounts.us]\ndata_center = "sandbox"\n'
    (program.folder / "two.toml").write_text(one + "[sandbox]\nrecords = 5\n")
    assert call("run", "two.toml", IDS[0]).status == 2
    ended = call("run", "two.toml", IDS[0], "--account", "us", "--json")
    assert ended.status == 0
    assert ended.records[0]["account"] == "us"


def test_credentials_missing(program: Program, call: Call) -> None:
    """Without credentials the run is aborted with 3, the ids stay pending, the hint says how."""
    (program.folder / "jobs.toml").write_text('[account]\ndata_center = "eu"\n')
    ended = call("run", "jobs.toml", IDS[0], "--json")
    assert ended.status == 3
    assert [record.get("status") for record in ended.records] == ["pending", None]
    assert ended.records[0]["error"]["code"] == "MISSING_CREDENTIALS"
    assert "error: MISSING_CREDENTIALS: " in ended.err
    assert "hint: Set ZOHO_ACCESS_TOKEN" in ended.err
    assert "to continue: " in ended.err


@pytest.mark.slow
def test_folder_in_use(program: Program) -> None:
    """A second run into one folder is told who is there, harms nothing, and ends with 3."""
    settings = program.settings()
    first = program.start("run", settings, "--ids", "-", "--json")
    assert first.stdin is not None
    assert first.stdout is not None
    first.stdin.write(f"{IDS[0]}\n".encode())
    first.stdin.flush()
    assert json.loads(first.stdout.readline())["status"] == "done"
    second = program.run("run", settings, IDS[1])
    assert (second.status, second.out) == (3, "")
    assert f"pid {first.pid}" in second.err
    assert second.err.startswith("error: LOCKED: ")
    first.communicate(timeout=60)
    assert first.returncode == 0


def test_unwritable_folder(program: Program, call: Call) -> None:
    """A folder that cannot be made aborts with 3, in words."""
    (program.folder / "file").write_text("")
    ended = call("run", program.settings(), IDS[0], "--out", "file/exports")
    assert (ended.status, ended.out) == (3, "")
    assert ended.err.startswith("error: NOT_WRITABLE: ")


def test_a_bug_is_told_without_values(
    program: Program, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in the program is one sentence; -vv adds where, and never any values.

    Only a command that has -vv says so.
    """

    def fail(places: OutputLayout) -> frozenset[str]:
        token = "".join(["hu", "sh"])
        raise LookupError("broken" if token else "")

    monkeypatch.setattr(OutputLayout, "leftovers", fail)
    ended = call("run", program.settings(), IDS[0])
    assert ended.status == 3
    assert "error: unexpected LookupError: broken\nhint: " in ended.err
    assert "Traceback" not in ended.err
    loud = call("run", program.settings(), IDS[0], "-vv")
    assert loud.status == 3
    assert "Traceback" in loud.err
    assert "hush" not in loud.err
    assert "please run again with -vv and report" in ended.err
    monkeypatch.setattr(JournalReader, "open", fail)
    other = call("status", "exports")
    assert (other.status, "please report it. " in other.err) == (3, True), other.err

"""`bulkfetch export`: what goes to stdout, what to stderr, and the exit status."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.kill_scene import service
from tests.support.programs import Ended, Program

from bulkfetch.sandbox import SandboxOptions, read_log
from bulkfetch.sandbox.org.specs import JobPlan

EXPORTS = '[[exports]]\nmodule = "Leads"\n[[exports]]\nmodule = "Contacts"\nname = "People"\n'
QUICK = "records = 20\nper_page = 8\nprepare_s = 0\nrequests = 1000\n"


def settings(program: Program, exports: str = EXPORTS, sandbox: str = QUICK) -> str:
    """Write jobs.toml for the built-in sandbox, and give its name."""
    (program.folder / "jobs.toml").write_text(
        f'out = "out"\n[account]\ndata_center = "sandbox"\n'
        "[account.window]\nrequests = 1000\nperiod_s = 1\nmargin_s = 0\n"
        "[account.control]\ncreates_per_minute = 1000\npolls_per_minute = 10000\n"
        f"[sandbox]\n{sandbox}{exports}"
    )
    return "jobs.toml"


def exported(program: Program, *arguments: str, **more: str) -> Ended:
    """Export what jobs.toml says."""
    return program.run("export", settings(program, **more), *arguments)


@contextmanager
def served(folder: Path, options: SandboxOptions) -> Iterator[Program]:
    """The program with a sandbox in a process of its own."""
    with service(folder, options) as server:
        program = Program(folder, {"ZOHO_ACCESS_TOKEN": "t"})
        (folder / "jobs.toml").write_text(
            f'out = "out"\n[account]\napi_domain = "{server.url}"\naccounts_url = "{server.url}"\n'
            f"{EXPORTS}"
        )
        try:
            yield program
        finally:
            program.close()


@pytest.mark.slow
def test_paths_go_to_stdout_and_what_became_of_exports_to_stderr(program: Program) -> None:
    """Each published file's path; then a line for each export, with its manifest."""
    ended = exported(program)
    assert ended.status == 0, ended.err
    paths = [Path(line) for line in ended.out.splitlines()]
    assert len(paths) == 6
    assert all((program.folder / path).is_file() for path in paths)
    assert {path.parts[1] for path in paths} == {"Leads", "People"}
    assert "export People: done, full, 3 pages, 20 records" in ended.err
    (program.folder / paths[0]).write_text("something else")
    verified = program.run("verify", "out", "--json")
    assert verified.status == 1, verified.err
    *files, summary = verified.records
    assert {file["path"] for file in files} == {str(path) for path in paths}
    assert [file["path"] for file in files if not file["ok"]] == [str(paths[0])]
    assert summary == {"type": "summary", "files": 6, "bad": 1}


@pytest.mark.slow
def test_json_has_pages_exports_and_a_summary(program: Program) -> None:
    """One object for each page, one for each export with its manifest, the summary last."""
    ended = exported(program, "--json", "-q")
    assert ended.err == ""
    *records, summary = ended.records
    jobs = [record for record in records if record["type"] == "job"]
    exports = [record for record in records if record["type"] == "export"]
    assert sorted((job["export"], job["page"], job["records"]) for job in jobs) == [
        *(("Leads", 1, 8), ("Leads", 2, 8), ("Leads", 3, 4)),
        *(("People", 1, 8), ("People", 2, 8), ("People", 3, 4)),
    ]
    for export in exports:
        assert (export["status"], export["mode"], export["parts"]) == ("done", "full", 3)
        told = json.loads((program.folder / export["manifest"]).read_text())
        assert told["credits"]["spent"] == export["credits"]
        assert told["cursor"]["to"] == export["cursor"]["to"]
    assert summary["exports"] == {"done": 2, "failed": 0, "pending": 0, "skipped": 0}
    assert (summary["done"], summary["exit_status"]) == (6, 0)


@pytest.mark.slow
def test_without_waiting_first_pages_are_created_and_a_later_call_goes_on(tmp_path: Path) -> None:
    """--no-wait ends with 3 while pages are being prepared; the next call creates none of them."""
    options = SandboxOptions(records=6, per_page=8, prepare_s=3.0)
    with served(tmp_path, options) as program:
        first = program.run("export", "jobs.toml", "--no-wait", "--json")
        assert first.status == 3, first.err
        assert "NOT_READY_IN_TIME" in first.err
        assert "to continue: " in first.err
        assert [record["status"] for record in first.records[:-1]] == ["pending"] * 4
        assert [path.name for path in (tmp_path / "out").iterdir()] == [".bulkfetch"]
        second = program.run("export", "jobs.toml", "--json")
        assert second.status == 0, second.err
        assert second.records[-1]["exports"]["done"] == 2


@pytest.mark.slow
def test_a_failed_page_is_named_and_left_to_export(tmp_path: Path) -> None:
    """A count that lies: exit 1, code, page and kept ZIP; `run --failed` does not ask for it."""
    plans = {"Leads": (JobPlan(count_off=1),)}
    with served(tmp_path, SandboxOptions(records=6, prepare_s=0.0, plans=plans)) as program:
        ended = program.run("export", "jobs.toml")
        assert ended.status == 1, ended.err
        assert "error: export Leads, page 1 (job " in ended.err
        assert "COUNT_MISMATCH" in ended.err
        assert "kept as out/.bulkfetch/quarantine/" in ended.err
        assert "export People: done" in ended.err
        asked = program.run("run", "jobs.toml", "--failed")
        assert (asked.status, asked.out) == (0, ""), asked.err


@pytest.mark.slow
def test_the_first_signal_ends_an_export_soon_and_the_next_call_goes_on(tmp_path: Path) -> None:
    """SIGINT while pages are prepared: 130 within seconds, how to go on; no page created again."""
    with served(tmp_path, SandboxOptions(records=6, prepare_s=4.0)) as program:
        process = program.start("export", "jobs.toml")
        assert process.stderr is not None
        seen = b""
        while seen.count(b"full: ") < 2:
            seen += process.stderr.readline()
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 130, err
        assert b"to continue: " in err
        ended = program.run("export", "jobs.toml", "--json")
        assert ended.status == 0, ended.err
        creates = [each for each in read_log(tmp_path / "arrivals.jsonl") if each.kind == "create"]
        assert len(creates) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("exports", "arguments", "error", "hint"),
    [
        ("", (), "has no [[exports]]", "module"),
        (EXPORTS, ("Lead",), "there is no export 'Lead'", 'did you mean "Leads"?'),
        (EXPORTS, ("--wait", "1h", "--no-wait"), "cannot be used together", ""),
        ('[[exports]]\nmodule = "Leeds"\n', (), "names no module of this account", "Leads"),
    ],
)
def test_what_cannot_be_exported_ends_with_2(
    program: Program, exports: str, arguments: tuple[str, ...], error: str, hint: str
) -> None:
    """Nothing to export, an unknown name or module: said with what is meant, nothing created."""
    ended = exported(program, *arguments, exports=exports)
    assert ended.status == 2, ended.err
    assert ended.out == ""
    assert error in ended.err
    assert hint in ended.err


@pytest.mark.slow
def test_what_ends_all_exports_is_told_once(program: Program) -> None:
    """A disk without room is one error with one hint, and each export has its line."""
    (program.folder / "jobs.toml").write_text(
        '[account]\ndata_center = "sandbox"\n[limits]\nfree_bytes = "1000 TiB"\n'
        '[[exports]]\nmodule = "Leads"\n[[exports]]\nmodule = "Deals"\n'
    )
    ended = program.run("export", "jobs.toml", "--no-progress")
    assert ended.status == 3
    assert ended.err.count("error: ") == ended.err.count("hint: ") == 1
    assert "error: DISK_FULL: " in ended.err
    assert "export Leads: pending" in ended.err
    assert "export Deals: pending" in ended.err

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.programs import IDS, Ended, Program

from bulkfetch.cli import main

COMMANDS = ["run", "plan", "status", "check", "init", "schema", "sandbox"]
HEAVY = ["aiohttp", "rich", "pydantic", "aiofiles", "asyncio", "anyio", "sqlite3"]

_WITHOUT = """
import sys
from bulkfetch.cli import main
status = main(sys.argv[1:])
loaded = [name for name in {heavy} if name in sys.modules]
sys.exit(f"imported: {{loaded}}" if loaded else status)
"""


def loads_none_of(heavy: list[str], program: Program, *arguments: str) -> str:
    """Run the program and fail if it imported one of these; give its stdout."""
    process = subprocess.run(
        [sys.executable, "-c", _WITHOUT.format(heavy=heavy), *arguments],
        cwd=program.folder,
        env=program.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "imported" not in process.stderr
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_help_is_light(program: Program) -> None:
    """Help imports nothing heavy: it is there at once."""
    loads_none_of(HEAVY, program, "--help")
    loads_none_of(HEAVY, program, "run", "--help")


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help(command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """Help begins with examples, tells the exit status, and goes to stdout."""
    assert main([*command, "--help"]) == 0
    out, err = capfd.readouterr()
    assert out.index("Examples:") < out.index("Options:") < out.index("Exit status:")
    assert err == ""


def test_no_command(capfd: pytest.CaptureFixture[str]) -> None:
    """Without a command the help goes to stderr: nothing was asked for, so nothing is a result."""
    assert main([]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "Examples:" in err


def test_help_to_a_closed_pipe(program: Program) -> None:
    """A help page whose reader has gone away is no accident."""
    read, write = os.pipe()
    os.close(read)
    process = program.start("run", "--help", stdout=write)
    os.close(write)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"")


def test_version_is_light(program: Program) -> None:
    """The version is told at once."""
    assert loads_none_of(HEAVY, program, "--version").startswith("bulkfetch ")


@pytest.mark.slow
def test_empty_list_is_light(program: Program) -> None:
    """A run with nothing to do imports neither HTTP nor drawing, and touches no folder."""
    settings = program.settings('ids_file = "ids.txt"')
    (program.folder / "ids.txt").write_text("# nothing today\n")
    loads_none_of(["aiohttp", "rich", "aiofiles", "anyio", "sqlite3"], program, "run", settings)
    assert not (program.folder / "exports").exists()


@pytest.mark.slow
def test_empty_list_is_told(program: Program) -> None:
    """An empty list is no failure, but said; --json still ends with its summary."""
    settings = program.settings()
    ended = program.run("run", settings, "--ids", "-", "--json", stdin="\n# none\n")
    assert ended.status == 0
    assert ended.err == "warning: the list is empty: nothing to do\n"
    assert [record["type"] for record in ended.records] == ["summary"]


@pytest.mark.slow
def test_no_list_at_all(program: Program) -> None:
    """Without any list nothing was asked for: that is a usage error."""
    ended = program.run("run", program.settings())
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("error: no job ids given\nhint: Give ids as arguments")


@pytest.mark.parametrize(
    "arguments",
    [
        ["runn"],
        ["run"],
        ["run", "jobs.toml", "--jsn"],
        ["run", "jobs.toml", "-q", "-v"],
        ["run", "missing.toml"],
        ["run", "jobs.toml", "12x"],
        ["run", "jobs.toml", "--ids", "missing.txt"],
        ["run", "jobs.toml", "--ids", "-", "--ids-column", "0"],
        ["run", "jobs.toml", "1", "--account", "nobody"],
        ["status", "nowhere"],
        ["sandbox", "--port", "99999"],
        ["sandbox", "--fault", "no_such_fault"],
        ["check", "missing.toml"],
    ],
)
def test_usage_errors(
    program: Program,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A wrong command line is 2: one sentence and a hint on stderr, nothing on stdout or disk."""
    program.settings()
    monkeypatch.chdir(program.folder)
    before = sorted(program.folder.iterdir())
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0].startswith("error: ")
    assert all(line.startswith("hint: ") for line in lines[1:])
    assert "Traceback" not in err
    assert sorted(program.folder.iterdir()) == before


@pytest.mark.slow
def test_unknown_key(program: Program) -> None:
    """A slip in jobs.toml is told with file, line and the nearest right name."""
    (program.folder / "jobs.toml").write_text('[account]\ndata_centre = "us"\n')
    ended = program.run("run", "jobs.toml", IDS[0])
    assert ended.status == 2
    assert ended.err == (
        "error: jobs.toml: unknown key account.data_centre (line 2)\n"
        'hint: did you mean "data_center"?\n'
    )


@pytest.mark.slow
def test_foreign_text_is_escaped(program: Program) -> None:
    """What the user pasted cannot command the terminal."""
    ended = program.run("run", "jobs\x1b[2J.toml")
    assert ended.status == 2
    assert "\x1b" not in ended.err
    assert "jobs\\x1b[2J.toml" in ended.err


@pytest.mark.slow
def test_unwritable_stderr(program: Program) -> None:
    """With nowhere to complain to, the exit status still says it."""
    with Path("/dev/full").open("wb") as full:
        process = program.start("run", "missing.toml", stderr=full)
        process.communicate(timeout=60)
    assert process.returncode == 2


@pytest.mark.parametrize("out", ["", "  "])
@pytest.mark.parametrize("command", ["run", "plan", "check"])
def test_an_empty_out_is_a_slip(
    program: Program, call: Callable[..., Ended], command: str, out: str
) -> None:
    """--out '' of an unset variable publishes nothing in the working directory."""
    program.settings(f'[[jobs]]\nid = "{IDS[0]}"\n')
    ended = call(command, "jobs.toml", "--out", out)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("error: out must not be empty\nhint: ")
    assert [path.name for path in program.folder.iterdir()] == ["jobs.toml"]


@pytest.mark.slow
def test_a_run_to_csv_needs_no_package_of_a_format(program: Program) -> None:
    """What Parquet files are made with is imported for them alone."""
    loads_none_of(["pyarrow", "numpy"], program, "run", program.settings(), IDS[0])

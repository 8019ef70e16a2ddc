"""Every example of every help page, typed into a shell as it stands there, works."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests.support.programs import IDS, Program

from bulkfetch.cli.app import program as root

A, B, C = IDS[1:4]  # …002 as the help pages have it, and its neighbours


def _help_pages() -> dict[str, str]:
    assert isinstance(root, click.Group)
    context = click.Context(root)
    commands = {name: root.get_command(context, name) for name in root.list_commands(context)}
    pages = {name: (c and c.help) or "" for name, c in commands.items()}
    del pages["fleet"]  # its commands need a database: test_cli_fleet.py runs them
    return {"": root.help or ""} | pages


def _examples() -> list[tuple[str, str]]:
    found = []
    for page, text in _help_pages().items():
        block = text.partition("Examples:\n")[2].partition("\n\n")[0]
        for line in block.splitlines():
            # What stands far to the right of a command explains it.
            found.append((page, re.sub(r"\s{3,}\S.*", "", line.strip())))
    return found


EXAMPLES = _examples()


def test_every_page_has_examples() -> None:
    """No help page is left out below."""
    assert {page for page, _ in EXAMPLES} == set(_help_pages())


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the examples speak of, to be copied for each."""
    program = Program(tmp_path_factory.mktemp("furnished"))
    _furnish(program)
    program.close()
    return program.folder


@pytest.mark.slow
@pytest.mark.parametrize(("page", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_an_example_works(program: Program, furnished: Path, page: str, line: str) -> None:
    """In a folder with what the examples speak of, each ends with 0 and says what it should."""
    tools = set(re.findall(r"(?:^|\| *)([a-z]+) ", line)) - {"bulkfetch"}
    if missing := [tool for tool in tools if shutil.which(tool) is None]:
        pytest.skip(f"no {missing[0]} here")
    shutil.copytree(furnished, program.folder, dirs_exist_ok=True)
    if page == "init":
        (program.folder / "jobs.toml").unlink()
    else:
        # The port may be somebody's here, and nobody's org is asked.
        line = line.replace("--port 8080", "--port 0").replace("center eu", "center sandbox")
    process = subprocess.Popen(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=program.folder,
        env=program.environment() | {"PATH": f"{program.folder}/bin:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        if page == "sandbox":
            assert process.stdout is not None
            assert process.stdout.readline().startswith("http://127.0.0.1:")
            os.killpg(process.pid, signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 0, err
    assert "error" not in err
    # Of files that are all right and jobs of which none failed there is nothing to be told.
    silent = page == "sandbox" or any(part in line for part in (" > ", "jq ", "--failed"))
    assert bool(out) != silent


def _furnish(program: Program) -> None:
    """Make the files that the examples name, and an output folder in which a run has ended."""
    folder = program.folder
    binary = folder / "bin"
    binary.mkdir()
    script = binary / "bulkfetch"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m bulkfetch "$@"\n')
    script.chmod(0o755)
    exports = "".join(f'[[exports]]\nmodule = "{module}"\n' for module in ("Leads", "Contacts"))
    program.settings(f'[[jobs]]\nid = "{IDS[0]}"\n{exports}')
    (folder / "ids.txt").write_text(f"{C}\n")
    (folder / "more.txt").write_text(f"{B}\n")
    table = f"Module,Job ID\nLeads,{A}\nDeals,{C}\n"
    (folder / "ids.csv").write_text(table)
    with gzip.open(folder / "ids.csv.gz", "wt") as file:
        file.write(table)
    ended = program.run("run", "jobs.toml", A, "--events", "events.jsonl")
    assert ended.status == 0, ended.err

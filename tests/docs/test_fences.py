"""What the README and the documents show is run here, or says why it is not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.fences import PAGES, ROOT, Fence, fences, is_answer, steps
from tests.support.programs import Program

from bulkfetch import load_settings

FENCES = [fence for page in PAGES for fence in fences(page)]
RUN = [page for page in PAGES if any(fence.is_run for fence in fences(page))]


def name_of(page: Path) -> str:
    """A page's name in the list of tests."""
    return str(page.relative_to(ROOT))


def test_each_block_is_run_or_says_why_not() -> None:
    """A block of any page is one that is run, or a comment above it says why it is not."""
    assert len(FENCES) > 20
    assert not [fence.place for fence in FENCES if not fence.is_told_of]


def test_a_block_that_a_test_runs_has_that_test() -> None:
    """Where a comment names a test, there is a test of this name."""
    for fence in FENCES:
        if fence.kind == "run by":
            name, _, function = fence.words.partition("::")
            assert f"def {function}(" in (ROOT / name).read_text(encoding="utf-8"), fence.place


def test_code_that_is_not_run_is_code_at_least() -> None:
    """Python compiles, JSON is JSON."""
    for fence in FENCES:
        if fence.language == "python":
            compile(fence.text, fence.place, "exec")
        if fence.language == "json" and not fence.kind:
            assert all(_parsed(text) for text in _documents(fence.text)), fence.place


def _documents(text: str) -> list[str]:
    """One document, or one on each line."""
    return [text] if text.startswith("{\n") else text.splitlines()


def _parsed(text: str) -> bool:
    return isinstance(json.loads(text), dict)


@pytest.mark.parametrize(
    ("told", "got", "fits"),
    [
        (("a", "b"), "a\nb\n", True),
        (("a",), "a\nb\n", False),
        (("a", "…"), "a\nb\nc\n", True),
        (("…", "c"), "c\n", True),
        (("1 of …, 2.0 s",), "1 of 3, 2.0 s\n", True),
        (("1 of …",), "1 of 3\n4\n", False),
        ((), "", True),
        ((), "a\n", False),
    ],
)
def test_an_answer_is_compared(told: tuple[str, ...], got: str, fits: bool) -> None:
    """Dots stand for anything in a line, alone on a line for any lines; all else is exact."""
    assert is_answer(told, got) is fits


class Folder:
    """Where the blocks of one page run: with `bulkfetch` at hand, and nothing of the tester's."""

    def __init__(self, base: Path) -> None:
        self.path = base / "page"
        (self.path / ".venv" / "bin").mkdir(parents=True)
        self.environment = Program(base).environment()
        command = self.path / ".venv" / "bin" / "bulkfetch"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m bulkfetch "$@"\n')
        command.chmod(0o755)
        (command.parent / "python").symlink_to(sys.executable)
        self.environment["PATH"] = f"{command.parent}{os.pathsep}{self.environment['PATH']}"

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command with both of its streams in one."""
        return subprocess.run(
            command,
            cwd=self.path,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def shell(self, text: str) -> subprocess.CompletedProcess[str]:
        """Run lines of shell, up to the first one that fails."""
        return self.run("bash", "-euo", "pipefail", "-c", text)

    def write(self, name: str, text: str) -> None:
        """Write a file that only its owner can read: some hold secrets."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)

    def settings(self, text: str) -> None:
        """Load a jobs.toml as it stands, then leave it there, but that its CRM is the sandbox."""
        self.write("jobs.toml", text)
        load_settings(self.path / "jobs.toml", env={})
        sandbox = re.sub(r'^data_center = "\w+"', 'data_center = "sandbox"', text, flags=re.M)
        if "[sandbox]" not in text:
            sandbox += "\n[sandbox]\nrecords = 200\n"
        self.write("jobs.toml", sandbox)


def play(fence: Fence, folder: Folder) -> None:
    """Do what a block says. Fails where it does not come out as told."""
    if fence.kind == "file":
        folder.write(fence.words, fence.text)
    elif fence.language == "toml":
        folder.settings(fence.text)
    elif fence.language == "python":
        folder.write("snippet.py", fence.text)
        got = folder.run(sys.executable, "snippet.py")
        assert got.returncode == 0, f"{fence.place}\n{got.stdout}"
    elif fence.language == "console":
        for step in steps(fence.text):
            got = folder.shell(step.command)
            assert got.returncode == 0, f"{fence.place}: {step.command}\n{got.stdout}"
            told = f"{fence.place}: {step.command}\n{got.stdout}"
            assert is_answer(step.answer, got.stdout), told
    elif fence.language in ("", "sh"):
        got = folder.shell(fence.text)
        assert got.returncode == 0, f"{fence.place}\n{got.stdout}"


@pytest.mark.slow
@pytest.mark.timeout(600)  # a score of commands, each of which starts Python
@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_a_page_does_what_it_shows(page: Path, tmp_path: Path) -> None:
    """Its blocks, in their order, in one folder, against the sandbox, come out as it tells."""
    folder = Folder(tmp_path)
    for fence in fences(page):
        if fence.is_run:
            play(fence, folder)

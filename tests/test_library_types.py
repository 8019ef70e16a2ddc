"""A user's project around the library: its tests pass, its strictest type checkers are content."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.fences import ROOT, fences

import bulkfetch

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "how-to-embed-in-a-service.md"
OWN = """
import asyncio
from collections.abc import AsyncIterator
from typing import Literal, assert_type

import bulkfetch
from bulkfetch import Event, EventKind, Outcome, Progress, Run
from in_memory import Memory



class Tokens:
    async def token(self, account: str, refused: str | None) -> str:
        return refused or account


class LoopClock:
    def boottime(self) -> float:
        return asyncio.get_running_loop().time()

    def time(self) -> float:
        return 0.0


PROVIDER: bulkfetch.TokenProvider = Tokens()
CLOCK: bulkfetch.Clock = LoopClock()
DESTINATION: bulkfetch.Destination = Memory()
SEEN: dict[EventKind, int] = {"done": 0, "window_closed": 0}


def on_event(event: Event) -> None:
    SEEN[event.kind] = SEEN.get(event.kind, 0) + 1


async def ids() -> AsyncIterator[str]:
    yield "1"


def show(run: Run) -> Progress:
    return run.progress()


async def main(settings: bulkfetch.Settings) -> bulkfetch.Report:
    own = bulkfetch.Client(settings, on_event=on_event, tokens=PROVIDER, clock=CLOCK)
    async with own as client:
        async with client.fetch(ids()) as run:
            assert_type(run, Run)
            async for outcome in run:
                assert_type(outcome, Outcome)
                assert_type(outcome.status, Literal["done", "failed", "pending"])
            assert_type(show(run).counts.done, int)
        async for _ in client.fetch(settings.jobs):
            pass
        one = await client.get("2", account="default", name="Leads")
        assert_type(one, Outcome)
        try:
            await client.get(bulkfetch.Job("3", again=True))
        except bulkfetch.DiskFull as error:
            print(error.code, error.hint)
    print(bulkfetch.__version__)
    return await bulkfetch.fetch(["4"], settings)


window = bulkfetch.WindowSettings(requests=5)
account = bulkfetch.AccountSettings(name="default", window=window)
asyncio.run(main(bulkfetch.Settings(accounts=(account,))))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project: what the page shows, and what uses the rest of the public names."""
    for fence in fences(PAGE):
        if fence.kind == "file":
            (tmp_path / fence.words).write_text(fence.text)
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path


def test_mypy_strict(project: Path) -> None:
    """mypy --strict finds nothing, and does find a name that is not there."""
    assert checked(project, "mypy", "--strict", ".") == (0, True)
    (project / "own.py").write_text("import bulkfetch\n\nbulkfetch.Nothing\n")
    assert checked(project, "mypy", "--strict", "own.py") == (1, False)


def test_pyright_strict(project: Path) -> None:
    """Pyright's strict mode finds nothing, and does find a name that is not there."""
    source = str(Path(bulkfetch.__file__).parent.parent)
    settings = {"typeCheckingMode": "strict", "extraPaths": [source]}
    (project / "pyrightconfig.json").write_text(json.dumps(settings))
    try:
        asked = subprocess.run(
            [sys.executable, "-m", "pyright", "--version"],
            capture_output=True,
            check=False,
            timeout=60,
        )
    except subprocess.TimeoutExpired:
        pytest.skip("pyright cannot be started here: its first start wants the network")
    if asked.returncode:
        pytest.skip("pyright cannot be started here: it is missing, or wants the network")
    python = ("--pythonpath", sys.executable)
    assert checked(project, "pyright", *python) == (0, True)
    (project / "own.py").write_text("import bulkfetch\n\nprint(bulkfetch.Nothing)\n")
    assert checked(project, "pyright", *python, "own.py") == (1, False)


def test_the_tests_of_the_page_pass(project: Path) -> None:
    """The service that the page shows answers, in the test that the page shows."""
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_service.py"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert ran.returncode == 0, ran.stdout
    assert "1 passed" in ran.stdout


def checked(project: Path, *program: str) -> tuple[int, bool]:
    """Run a type checker; give its exit status, and whether it says that it found nothing."""
    ran = subprocess.run(
        [sys.executable, "-m", *program],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    print(ran.stdout, ran.stderr)
    return ran.returncode, "no issues found" in ran.stdout or "0 errors" in ran.stdout

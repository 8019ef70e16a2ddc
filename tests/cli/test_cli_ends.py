"""Runs that are told to end while the system does not answer: they end all the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.support.hung_system import built
from tests.support.programs import IDS, Program

from bulkfetch.sandbox import JobSpec, SandboxOptions, SandboxThread

pytestmark = pytest.mark.slow

# Ten seconds are promised; a machine that has others to serve may take longer. What hangs does so
# for a hundred.
FIRST_S = 30
# At once is promised; the first signal alone would take eight seconds.
SECOND_S = 6

# Where a name is that nobody answers for.
NAMES = {
    "api_domain": 'api_domain = "https://crm.example"',
    "accounts_url": 'api_domain = "https://127.0.0.1:9"\naccounts_url = "https://accounts.example"',
    "proxy": 'api_domain = "https://192.0.2.1"\nproxy = "http://proxy.example:3128"',
}
REFRESH = {
    "ZOHO_CLIENT_ID": "1000.CLIENT",
    "ZOHO_CLIENT_SECRET": "0123456789",
    "ZOHO_REFRESH_TOKEN": "1000.0123456789abcdef.0123456789abcdef",
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that plays a system which does not answer."""
    return built(tmp_path_factory.mktemp("library"))


@pytest.fixture
def hung(program: Program, library: Path) -> Program:
    """The program on a system that does not answer for names at .example."""
    mark = str(program.folder / "mark")
    program.env |= {"LD_PRELOAD": str(library), "HANG_NAMES": ".example", "HANG_MARK": mark}
    return program


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until a file is there."""
    while not path.exists():
        assert process.poll() is None, "ended before its time"
        time.sleep(0.01)


def started(program: Program, account: str, *more: str) -> subprocess.Popen[bytes]:
    """Start a run of three jobs, and wait until the system does not answer it."""
    (program.folder / "jobs.toml").write_text(f"[account]\n{account}\n")
    process = program.start("run", "jobs.toml", *IDS[:3], "--json", *more)
    wait_for(program.folder / "mark", process)
    return process


def told_once(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal, and wait until it has been heard."""
    process.send_signal(number)
    assert process.stderr is not None
    while number.name.encode() not in process.stderr.readline():
        pass


def end_of(process: subprocess.Popen[bytes], within_s: float) -> dict[str, Any]:
    """Give the summary of a run that was interrupted and ends in time."""
    out, err = process.communicate(timeout=within_s)
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    summary: dict[str, Any] = json.loads(out.splitlines()[-1])
    assert (summary["type"], summary["interrupted"]) == ("summary", True)
    return summary


def test_a_signal_while_a_name_is_looked_up(hung: Program) -> None:
    """The first signal ends the run in time, and no request is counted."""
    hung.env["ZOHO_ACCESS_TOKEN"] = "1000.x"
    process = started(hung, NAMES["api_domain"])
    process.send_signal(signal.SIGTERM)
    summary = end_of(process, FIRST_S)
    assert (summary["pending"], summary["requests"]) == (3, 0)


@pytest.mark.parametrize("where", NAMES)
def test_a_second_signal_while_a_name_is_looked_up(hung: Program, where: str) -> None:
    """The second signal ends the run at once, whoever's name it is."""
    hung.env |= REFRESH if where == "accounts_url" else {"ZOHO_ACCESS_TOKEN": "1000.x"}
    process = started(hung, NAMES[where])
    told_once(process, signal.SIGINT)
    time.sleep(0.5)  # sooner it would be the same stop
    process.send_signal(signal.SIGINT)
    assert end_of(process, SECOND_S)["requests"] == 0


def test_a_program_that_cancels_a_lookup(hung: Program) -> None:
    """A user's asyncio.run is not held up by a lookup that was given up, nor is the interpreter."""
    (hung.folder / "main.py").write_text(
        "import asyncio, os, bulkfetch\n"
        "settings = bulkfetch.load_settings(env={**os.environ, 'ZOHO_ACCESS_TOKEN': '1000.x',\n"
        "    'ZOHO_API_DOMAIN': 'https://crm.example'}, out='exports')\n"
        "async def main():\n"
        "    task = asyncio.ensure_future(bulkfetch.fetch(['1', '2'], settings))\n"
        "    while not os.path.exists('mark'):\n"
        "        await asyncio.sleep(0.01)\n"
        "    task.cancel()\n"
        "    await asyncio.wait([task])\n"
        "    print(task.cancelled(), flush=True)\n"
        "asyncio.run(main())\n"
    )
    ended = subprocess.run(
        [sys.executable, "main.py"],
        cwd=hung.folder,
        env=hung.environment(),
        capture_output=True,
        text=True,
        timeout=FIRST_S,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True\n", "")


@pytest.mark.parametrize(
    ("path", "signals"), [("/staging", 1), ("/staging", 2), ("/journal.db", 2), ("/exports", 2)]
)
def test_a_signal_while_the_disk_hangs(hung: Program, path: str, signals: int) -> None:
    """A sync that does not return is not waited for; what it kept from being done is pending."""
    hung.env |= {"HANG_FSYNC": path, "ZOHO_ACCESS_TOKEN": "1000.x"}
    large = JobSpec(payload_bytes=600_000, payload_method="stored")
    with SandboxThread(SandboxOptions(requests=1000, jobs=dict.fromkeys(IDS[:3], large))) as server:
        process = started(hung, f'api_domain = "{server.url}"')
        told_once(process, signal.SIGTERM)
        if signals == 2:
            time.sleep(0.5)  # sooner it would be the same stop
            process.send_signal(signal.SIGTERM)
        assert end_of(process, FIRST_S if signals == 1 else SECOND_S)["done"] == 0
    # The lock has gone with the process, and the same command goes on.
    del hung.env["LD_PRELOAD"]
    with SandboxThread(SandboxOptions(requests=1000, jobs=dict.fromkeys(IDS[:3], large))) as server:
        (hung.folder / "jobs.toml").write_text(f'[account]\napi_domain = "{server.url}"\n')
        again = hung.run("run", "jobs.toml", *IDS[:3], "--json")
    assert (again.status, again.records[-1]["done"]) == (0, 3)


@pytest.mark.parametrize("signals", [1, 2])
def test_a_signal_while_a_token_command_hangs(program: Program, signals: int) -> None:
    """A token_command that does not end is ended with the run."""
    command = program.folder / "token"
    command.write_text("#!/bin/sh\necho $$ > pid\nmv pid mark\nexec sleep 100\n")
    command.chmod(0o700)
    process = started(program, f'api_domain = "https://127.0.0.1:9"\ntoken_command = ["{command}"]')
    child = int((program.folder / "mark").read_text())
    told_once(process, signal.SIGTERM)
    if signals == 2:
        time.sleep(0.5)  # sooner it would be the same stop
        process.send_signal(signal.SIGTERM)
    assert end_of(process, FIRST_S if signals == 1 else SECOND_S)["requests"] == 0
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_signal_while_a_named_pipe_has_no_writer(program: Program) -> None:
    """A list that cannot even be opened does not hold up the end."""
    os.mkfifo(program.folder / "ids")
    process = program.start("run", program.settings(), "--ids", "ids")
    while len(os.listdir(f"/proc/{process.pid}/task")) < 2:  # the one that opens the list
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=FIRST_S)
    assert (process.returncode, out, err) == (130, b"", b"interrupted\n")

"""The sandbox as a process of its own, and its log on disk."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.sandbox_http import RESULT, ask, ended

from bulkfetch.sandbox import Sandbox, SandboxOptions, read_log, serve, worst_in

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

COMMAND = [sys.executable, "-m", "bulkfetch.sandbox", "--options-json"]


async def test_it_serves_as_a_process_and_its_log_tells_what_it_saw(tmp_path: Path) -> None:
    """One line with the URL, then answers; SIGTERM ends it with 0; the log file has it all."""
    log = tmp_path / "log.jsonl"
    options = SandboxOptions(records=3, faults={"2": ("close_in_body",)}, log_file=log)
    with subprocess.Popen([*COMMAND, options.to_json()], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert ready["pid"] == process.pid
            assert (await ask(ready["url"], RESULT.format(1))).status == 200
            with pytest.raises(Exception, match="payload is not completed"):
                await ask(ready["url"], RESULT.format(2))
            process.terminate()
            assert process.wait(10) == 0
        finally:
            process.kill()
    first, second = read_log(log)
    assert (first.job_id, first.status, first.whole, first.fault) == ("1", 200, True, None)
    assert (second.job_id, second.whole, second.fault) == ("2", False, "close_in_body")
    assert worst_in(read_log(log), 60.0) == 2


def test_bad_options_end_the_process_with_a_message() -> None:
    """An unknown option or fault: exit 2, one error on stderr, nothing on stdout."""
    for text in ('{"requets": 1}', '{"faults": {"1": ["nonsense"]}}'):
        done = subprocess.run([*COMMAND, text], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr
        assert done.stdout == ""


async def test_a_log_is_readable_while_it_grows_and_after_a_torn_line(tmp_path: Path) -> None:
    """A request without an end is there, not ended; half a line is left out."""
    log = tmp_path / "log.jsonl"
    async with Sandbox(SandboxOptions(records=3, log_file=log)) as sandbox:
        await ask(sandbox.url, RESULT.format(1))
        await ended(sandbox)
        assert read_log(log) == sandbox.log
    lines = log.read_text().splitlines(keepends=True)
    log.write_text(lines[0] + lines[1][:20])
    (arrival,) = read_log(log)
    assert not arrival.ended


async def test_serve_runs_until_cancelled() -> None:
    """on_ready gets the running sandbox; the cancel stops it."""
    ready: asyncio.Future[Sandbox] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(SandboxOptions(records=3), on_ready=ready.set_result))
    sandbox = await ready
    assert (await ask(sandbox.url, RESULT.format(1))).status == 200
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    with pytest.raises(OSError, match="onnect"):
        await ask(sandbox.url, RESULT.format(1))

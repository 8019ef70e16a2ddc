"""Exports of several processes of one machine, which share the window and the budget of calls."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.support.kill_scene import MARGIN_S, PERIOD_S, REQUESTS, TOKEN, service
from tests.support.programs import Program

from bulkfetch.sandbox import SandboxOptions, read_log
from bulkfetch.sandbox.quota import worst_in

pytestmark = pytest.mark.slow

POLLS_PER_MINUTE = 600


def test_two_processes_that_export_keep_to_one_window(tmp_path: Path) -> None:
    """Zoho's ten, in half a second: never exceeded nor refused while both create and poll."""
    options = SandboxOptions(
        requests=REQUESTS,
        period_s=PERIOD_S,
        lockout_s=PERIOD_S,
        records=40,
        per_page=8,
        prepare_s=0.5,
    )
    with service(tmp_path, options) as server:
        programs = [_program(tmp_path, name, server.url) for name in ("one", "two")]
        nowhere = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        started = [each.start("export", "jobs.toml", **nowhere) for each in programs]
        assert [process.wait(timeout=100) for process in started] == [0, 0]
        assert server.worst() <= REQUESTS
        log = read_log(server.log)
    assert [each for each in log if each.status == 429] == []
    kinds = [each.kind for each in log]
    assert kinds.count("create") == kinds.count("result") == 2 * 3 * 5
    polls = [each.at_s for each in log if each.kind == "status"]
    assert worst_in(polls, 60.0) <= POLLS_PER_MINUTE


def _program(folder: Path, name: str, url: str) -> Program:
    """A program with an output folder of its own, and the machine's state."""
    (folder / name).mkdir()
    exports = "".join(
        f'[[exports]]\nmodule = "{module}"\n' for module in ("Leads", "Contacts", "Accounts")
    )
    (folder / name / "jobs.toml").write_text(
        f'out = "out"\n[account]\napi_domain = "{url}"\naccounts_url = "{url}"\n'
        f"[account.window]\nrequests = {REQUESTS}\nperiod_s = {PERIOD_S}\nmargin_s = {MARGIN_S}\n"
        f"[account.control]\ncreates_per_minute = 1000\npolls_per_minute = {POLLS_PER_MINUTE}\n"
        f"{exports}"
    )
    env = {"ZOHO_ACCESS_TOKEN": TOKEN, "BULKFETCH_STATE_DIR": str(folder / "state")}
    return Program(folder / name, env)

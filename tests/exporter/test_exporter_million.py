"""A million records: five pages of 200,000, every id once, memory flat."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from tests.support.kill_scene import service
from tests.support.programs import Program

from bulkfetch.sandbox import SandboxOptions
from bulkfetch.sandbox.org.specs import ModuleSpec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

RECORDS = 1_000_000
PEAK_BYTES = 100 * 2**20


def test_a_million_records_take_no_more_memory(tmp_path: Path) -> None:
    """Five pages come home; the program's peak stays within 100 MiB."""
    options = SandboxOptions(modules={"Leads": ModuleSpec(records=RECORDS)}, prepare_s=0.0)
    with service(tmp_path, options) as server:
        program = Program(tmp_path, {"ZOHO_ACCESS_TOKEN": "t"})
        (tmp_path / "jobs.toml").write_text(
            f'out = "out"\n[account]\napi_domain = "{server.url}"\naccounts_url = "{server.url}"\n'
            '[[exports]]\nmodule = "Leads"\nfields = ["Last_Name", "City"]\n'
        )
        with (tmp_path / "out.txt").open("wb") as out, (tmp_path / "err.txt").open("wb") as err:
            process = program.start(
                "export", "jobs.toml", stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )
            try:
                _, status, used = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
            except BaseException:
                process.send_signal(signal.SIGKILL)
                raise
    assert process.returncode == 0, (tmp_path / "err.txt").read_text()
    assert used.ru_maxrss * 1024 <= PEAK_BYTES
    parts = sorted(tmp_path.glob("out/Leads/*/part-*.csv"))
    assert len(parts) == 5
    ids: set[str] = set()
    for part in parts:
        with part.open(encoding="utf-8") as lines:
            assert next(lines).startswith("Id,")
            ids.update(line.partition(",")[0] for line in lines)
    assert len(ids) == RECORDS

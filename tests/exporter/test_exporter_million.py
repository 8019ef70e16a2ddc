"""A million records: five pages of 200,000, every id once, memory flat."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.kill_scene import service
from tests.support.programs import Program

from bulkfetch.sandbox import SandboxOptions
from bulkfetch.sandbox.org.specs import ModuleSpec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

RECORDS = 1_000_000
PEAK_BYTES = 100 * 2**20
# A process begins with the peak of the one that it was forked from: so from a small one.
MEASURED = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(status)
"""


def test_a_million_records_take_no_more_memory(tmp_path: Path) -> None:
    """Five pages come home; the program's peak stays within 100 MiB."""
    options = SandboxOptions(modules={"Leads": ModuleSpec(records=RECORDS)}, prepare_s=0.0)
    with service(tmp_path, options) as server:
        program = Program(tmp_path, {"ZOHO_ACCESS_TOKEN": "t"})
        (tmp_path / "jobs.toml").write_text(
            f'out = "out"\n[account]\napi_domain = "{server.url}"\naccounts_url = "{server.url}"\n'
            '[[exports]]\nmodule = "Leads"\nfields = ["Last_Name", "City"]\n'
        )
        ended = subprocess.run(
            [
                sys.executable,
                "-c",
                MEASURED,
                sys.executable,
                "-m",
                "bulkfetch",
                "export",
                "jobs.toml",
            ],
            cwd=tmp_path,
            env=program.environment(),
            capture_output=True,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    peak_kib = int(ended.stderr.splitlines()[-1])
    assert peak_kib * 1024 <= PEAK_BYTES
    parts = sorted(tmp_path.glob("out/Leads/*/part-*.csv"))
    assert len(parts) == 5
    ids: set[str] = set()
    for part in parts:
        with part.open(encoding="utf-8") as lines:
            assert next(lines).startswith("Id,")
            ids.update(line.partition(",")[0] for line in lines)
    assert len(ids) == RECORDS

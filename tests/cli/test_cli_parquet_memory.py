"""How much memory a run with Parquet takes, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.flows import ids, small, token_of
from tests.support.zips import Item, pack

from bulkfetch.sandbox import JobSpec
from bulkfetch.sandbox.thread import SandboxThread

pytestmark = pytest.mark.slow

# Some 200 are used; two conversions side by side, or one whose memory the next one cannot use,
# take more than 300.
MOST_MIB = 260
# The peak of this process alone: what the system tells of a child includes its parent's size.
PROGRAM = """\
import re, sys
from pathlib import Path
from bulkfetch.cli import main
try:
    sys.exit(main())
finally:
    peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
    Path("peak").write_text(peak)
"""
SETTINGS = """\
formats = ["parquet"]
[account]
api_domain = "{url}"
accounts_url = "{url}"
[account.window]
requests = 1000
period_s = 1
margin_s = 0
[limits]
threads = 2
"""


def test_memory_does_not_grow_with_files_nor_with_threads(tmp_path: Path) -> None:
    """Four tables of 40 MB, two threads: one is converted at a time, in row groups of 64 MiB."""
    pytest.importorskip("pyarrow", reason="pyarrow is not installed here")
    jobs = ids(4)
    row = ",".join(f"a value {number}" for number in range(19))
    lines = "".join(f"{554023000000000000 + number},{row}\n" for number in range(160_000))
    header = ",".join(f"Field_{number}" for number in range(20))
    archive = pack(Item(data=f"{header}\n{lines}".encode()))
    with SandboxThread(small(jobs={job: JobSpec(content=archive) for job in jobs})) as sandbox:
        (tmp_path / "jobs.toml").write_text(SETTINGS.format(url=sandbox.url))
        environment = {
            "ZOHO_ACCESS_TOKEN": token_of("default"),
            "BULKFETCH_STATE_DIR": str(tmp_path / "state"),
            "PATH": os.environ["PATH"],
        }
        ended = subprocess.run(
            [sys.executable, "-c", PROGRAM, "run", "jobs.toml", *jobs],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    assert len(list((tmp_path / "exports").glob("*.parquet"))) == 4
    assert int((tmp_path / "peak").read_text()) / 1024 < MOST_MIB

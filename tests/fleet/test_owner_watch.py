"""What ends with the process that started it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

# A thread starts the server and ends, and only then the server's number is told.
_OWNER = """
import sys, threading
from pathlib import Path
from bulkfetch.fleet.embedded import EmbeddedPostgres

folder, servers = Path(sys.argv[1]), []
thread = threading.Thread(target=lambda: servers.append(EmbeddedPostgres(folder)))
thread.start()
thread.join()
print((folder / "data" / "postmaster.pid").read_text().split()[0], flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_an_embedded_postgresql_ends_with_its_owner() -> None:
    """Though the owner is killed; but not with the thread that started it."""
    with (
        tempfile.TemporaryDirectory(prefix="pg-") as folder,
        subprocess.Popen(
            [sys.executable, "-c", _OWNER, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as owner,
    ):
        assert owner.stdout is not None
        server = os.pidfd_open(int(owner.stdout.readline()))
        try:
            assert select.select([server], [], [], 0)[0] == []
            owner.kill()
            assert select.select([server], [], [], 60)[0] == [server]
            assert not (Path(folder) / "data" / "postmaster.pid").exists()
        finally:
            os.close(server)

"""SIGKILL at each call to a bucket: nothing half visible, nothing requested again.

The strict stand-in fails before a call is done and after it; moto, a server that others wrote, says
whether it took each call for what we do.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from aiohttp import web
from tests.support.destinations import AWS_ENV
from tests.support.moto_server import MotoFront, MotoServer, before
from tests.support.programs import IDS, Program
from tests.support.s3_server import S3Server, s3_server

pytestmark = pytest.mark.slow

KEY = f"zoho/{IDS[0]}.csv"
# How many records the result has, and at which of the calls that it then takes the run is killed.
STEPS = [
    (20, "LIST"),
    (20, "HEAD"),
    (20, "PUT"),
    (25_000, "CREATE"),
    (25_000, "PART"),
    (25_000, "HEAD"),
    (25_000, "COMPLETE"),
]


@pytest.mark.parametrize("when", ["reset", "lose"])
@pytest.mark.parametrize(("records", "call"), STEPS)
def test_a_run_killed_at_a_call_goes_on(tmp_path: Path, records: int, call: str, when: str) -> None:
    """Before it is done, or after: the object is whole or not there, and the ZIP is used again."""
    with s3_server() as server:
        kill_at(server, tmp_path, records, call, when)


@pytest.mark.parametrize(("records", "call"), STEPS)
def test_a_run_killed_at_a_call_to_a_server_of_others_goes_on(
    tmp_path: Path, moto: MotoServer, records: int, call: str
) -> None:
    """When the server has done it: as with the stand-in, at a server that others wrote."""
    with before(moto) as server:
        kill_at(server, tmp_path, records, call, "lose")


def kill_at(server: S3Server | MotoFront, folder: Path, records: int, call: str, when: str) -> None:
    """Kill a run at a call, run again, and judge what was there between and what is there now."""
    program = Program(folder, dict(AWS_ENV))
    program.settings(
        'publish_to = "s3://lake/zoho"\n[destination]\npart_bytes = "5 MiB"\n'
        f'endpoint = "{server.url}"\nregion = "eu-central-1"\n',
    )
    settings = folder / "jobs.toml"
    settings.write_text(settings.read_text().replace("records = 20\n", f"records = {records}\n"))
    process = program.start("run", "jobs.toml", IDS[0], "--json")

    def kill(_: web.Request) -> str:
        process.kill()
        return when

    server.faults[call] = kill
    process.communicate(timeout=60)
    assert process.returncode == -9
    assert server.broken.wait(60)  # the server has done what it was to do
    left = dict(server.objects)
    server.faults.clear()
    ended = program.run("run", "jobs.toml", IDS[0], "--json")
    program.close()
    assert ended.status == 0, ended.err
    job, summary = ended.records
    assert summary["requests"] == (1 if call == "LIST" else 0)
    (file,) = job["files"]
    assert file["path"] == f"s3://lake/{KEY}"
    there = server.objects
    assert hashlib.sha256(there[KEY]).hexdigest() == file["sha256"]
    # What was visible after the kill is what is there now.
    assert left in ({}, there)
    assert bool(left) == (when == "lose" and call in ("PUT", "COMPLETE"))

"""SIGKILL at each call to a bucket: nothing half visible, nothing requested again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from tests.support.destinations import AWS_ENV
from tests.support.programs import IDS, Program
from tests.support.s3_server import S3Server, s3_server

pytestmark = pytest.mark.slow

KEY = f"zoho/{IDS[0]}.csv"


@pytest.fixture
def server() -> Iterator[S3Server]:
    """A bucket's server, which outlives the program."""
    with s3_server() as made:
        yield made


@pytest.mark.parametrize("when", ["reset", "lose"])
@pytest.mark.parametrize(
    ("records", "call"),
    [
        (20, "LIST"),
        (20, "HEAD"),
        (20, "PUT"),
        (40_000, "CREATE"),
        (40_000, "PART"),
        (40_000, "HEAD"),
        (40_000, "COMPLETE"),
    ],
)
def test_a_run_killed_at_a_call_goes_on(
    tmp_path: Path, server: S3Server, records: int, call: str, when: str
) -> None:
    """Before it is done, or after: the object is whole or not there, and the ZIP is used again."""
    program = Program(tmp_path, dict(AWS_ENV))
    program.settings(
        'publish_to = "s3://lake/zoho"\n[destination]\npart_bytes = "5 MiB"\n'
        f'endpoint = "{server.url}"\nregion = "eu-central-1"\n',
    )
    settings = tmp_path / "jobs.toml"
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
    assert hashlib.sha256(server.objects[KEY]).hexdigest() == file["sha256"]
    # What was visible after the kill is what is there now.
    assert left in ({}, server.objects)
    assert bool(left) == (when == "lose" and call in ("PUT", "COMPLETE"))

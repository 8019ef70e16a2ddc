"""Runs whose bucket does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.destinations import AWS_ENV
from tests.support.flow_clock import run_flow
from tests.support.flows import ids, settings_for, small
from tests.support.s3_server import S3Server, s3_server
from tests.support.whole_runs import fetch

from bulkfetch.config.bucket import DestinationSettings
from bulkfetch.destination import store
from bulkfetch.journal import JournalReader
from bulkfetch.sandbox import Sandbox

pytestmark = pytest.mark.slow

JOBS = ids(3)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A bucket's server, whose clients wait for a second or two."""
    for name, value in AWS_ENV.items():
        monkeypatch.setenv(name, value)
    made = store.BucketOptions.__new__
    defaults = store.BucketOptions._field_defaults | {"look_s": 1.5, "write_s": 1.5, "retry_s": 0.1}
    monkeypatch.setattr(made, "__defaults__", tuple(defaults.values()))
    monkeypatch.setattr(store, "_BYTES_PER_S", 1 << 40)
    with s3_server() as bucket:
        yield bucket


@pytest.mark.parametrize("call", ["LIST", "HEAD", "PUT"])
def test_a_bucket_that_never_answers_ends_the_run(
    tmp_path: Path, server: S3Server, call: str
) -> None:
    """DESTINATION_FAILED; the journal has what was downloaded, which is not requested again."""

    async def main() -> None:
        async with Sandbox(small()) as sandbox:
            reach = DestinationSettings(region="eu-central-1", endpoint=server.url)
            told = settings_for(sandbox.url, tmp_path / "out", publish_to="s3://lake/zoho")
            told = replace(told, destination=reach)
            server.faults[call] = lambda _: "hang"
            ran = await fetch(told, JOBS)
            assert ran.error is not None
            assert ran.error.code == "DESTINATION_FAILED"
            assert {each.status for each in ran.outcomes.values()} == {"pending"}
            asked = len(sandbox.results())
            assert bool(asked) == (call != "LIST")
            with JournalReader.open(tmp_path / "out" / ".bulkfetch") as reader:
                states = [(each.done, each.failed) for each in reader.counts()]
                downloaded = sum(each.downloaded for each in reader.counts())
            assert states == [(0, 0)]
            assert bool(downloaded) == bool(asked)
            assert server.objects == {}
            server.faults.clear()
            ran = await fetch(told, JOBS)
            assert {each.status for each in ran.outcomes.values()} == {"done"}
            assert len(sandbox.results()) <= len(JOBS) + asked - downloaded
            assert set(server.objects) == {f"zoho/{job}.csv" for job in JOBS}

    run_flow(main())

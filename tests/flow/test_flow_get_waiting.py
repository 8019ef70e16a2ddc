"""Calls of a service for results that are still being prepared, on a virtual clock."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.flow_clock import flow_loop, run_flow
from tests.support.flows import csv_job, ids, service, small

from bulkfetch import NotReadyInTime
from bulkfetch.sandbox import JobSpec, Sandbox

ONE, TWO, THREE, FOUR = ids(4)


def asked(sandbox: Sandbox, job_id: str) -> int:
    """Say how often a job's state was asked for."""
    return sum(arrival.job_id == job_id for arrival in sandbox.arrivals("status"))


def test_a_call_waits_until_its_result_is_prepared(tmp_path: Path) -> None:
    """Where the settings or the call say so; callers ask together, no slot is spent before."""
    options = small(requests=1000, jobs={TWO: csv_job(ready_after_s=45)})

    async def main() -> None:
        async with service(tmp_path, options, wait=True) as (sandbox, client):
            began = flow_loop().time()
            calls = [asyncio.create_task(client.get(TWO)) for _ in range(5)]
            beside = await client.get(ONE)
            assert (beside.status, beside.records) == ("done", 20)
            assert flow_loop().time() - began < 1
            outcomes = await asyncio.gather(*calls)
            assert [(each.status, each.attempts) for each in outcomes] == [("done", 1)] * 5
            assert 45 <= flow_loop().time() - began <= 45 + 25
            polls = asked(sandbox, TWO)
            assert polls < 10
            # What is done is answered by the journal, which asks nobody.
            assert (await client.get(TWO)).skipped
            assert (await client.get(THREE, wait=False)).status == "done"
            assert (asked(sandbox, TWO), asked(sandbox, THREE)) == (polls, 0)
            assert len(sandbox.results()) == 3

    run_flow(main())


def test_each_call_waits_for_as_long_as_it_says(tmp_path: Path) -> None:
    """One whose time is over raises, the other gets the result; nobody's job is not asked for."""
    options = small(requests=1000, jobs={TWO: csv_job(ready_after_s=600)})

    async def main() -> None:
        async with service(tmp_path, options) as (sandbox, client):
            began = flow_loop().time()
            patient = asyncio.create_task(client.get(TWO, wait=True))
            with pytest.raises(NotReadyInTime, match="10 s"):
                await client.get(TWO, wait=10)
            assert 10 <= flow_loop().time() - began <= 11
            with pytest.raises(RuntimeError, match="calls of `get` wait"):
                client.fetch([ONE])
            patient.cancel()
            await asyncio.sleep(0)
            polls = asked(sandbox, TWO)
            await asyncio.sleep(300)
            assert asked(sandbox, TWO) == polls
            assert (await client.get(TWO, wait=1000)).status == "done"
            assert len(sandbox.results()) == 1

    run_flow(main())


def test_what_is_not_prepared(tmp_path: Path) -> None:
    """Zoho's reason is the outcome; no slot is spent, and the end of the client ends the wait."""
    options = small(
        implicit=False,
        jobs={
            ONE: JobSpec(state="FAILURE"),
            TWO: csv_job(ready_after_s=3600),
            THREE: csv_job(ready_after_s=3600),
        },
    )

    async def main() -> None:
        async with service(tmp_path, options, wait=True) as (sandbox, client):
            failed, unknown = await client.get(ONE), await client.get(FOUR)
            assert failed.error is not None
            assert failed.error.code == "INTERNAL_SERVER_ERROR"
            assert unknown.error is not None
            assert unknown.error.code == "RESOURCE_NOT_FOUND"
            waiting = [asyncio.create_task(client.get(job)) for job in (TWO, TWO, THREE)]
            await asyncio.sleep(60)
            client.stop()
            assert [each.status for each in await asyncio.gather(*waiting)] == ["pending"] * 3
            assert (await client.get(TWO)).status == "pending"
            await client.__aexit__(None, None, None)
            async with client:
                leaving = asyncio.create_task(client.get(TWO))
                await asyncio.sleep(60)
            assert (await leaving).status == "pending"
            assert not sandbox.results()

    run_flow(main())

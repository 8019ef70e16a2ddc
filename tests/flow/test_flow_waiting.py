"""Runs that wait for results: calls for states in place of slots, on a virtual clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.support.flow_clock import run_flow
from tests.support.flows import csv_job, ids, settings_for, small, watch

from bulkfetch import Client, Job, Outcome
from bulkfetch.errors import ResourceNotFound
from bulkfetch.sandbox import JobPlan, JobSpec, Sandbox, SandboxOptions

ONE, TWO, THREE, FOUR = ids(4)


def asked(sandbox: Sandbox, job_id: str) -> int:
    """Say how often a job's state was asked for."""
    return sum(arrival.job_id == job_id for arrival in sandbox.arrivals("status"))


async def run(
    sandbox: Sandbox, jobs: list[str | Job], out: Path, **settings: Any
) -> dict[str, Outcome]:
    """Run a list that waits; give what its jobs came to."""
    return (await watch(sandbox, jobs, out, **settings)).by_id()


@pytest.mark.slow
def test_no_slot_for_what_is_not_ready(tmp_path: Path) -> None:
    """Each result is asked for once, soon after it is ready, with the number of its records."""
    options = small(jobs={TWO: csv_job(ready_after_s=45), THREE: csv_job(ready_after_s=600)})
    seen = run_flow(watch(options, [ONE, TWO, THREE], tmp_path / "out", wait=True))
    assert [outcome.status for outcome in seen.outcomes] == ["done"] * 3
    assert [outcome.job_id for outcome in seen.outcomes] == [ONE, TWO, THREE]
    assert [outcome.records for outcome in seen.outcomes] == [20, 20, 20]
    assert len(seen.arrivals) == seen.report.requests == 3
    start, second, third = seen.seconds()
    assert start == 0
    assert 45 <= second <= 45 + 25
    assert 600 <= third <= 600 + 70
    assert seen.report.ok


def test_without_waiting_no_state_is_asked_for(tmp_path: Path) -> None:
    """A plain run takes the list at its word."""

    async def main() -> None:
        async with Sandbox(small()) as sandbox:
            await run(sandbox, [ONE, TWO], tmp_path / "out")
            assert not sandbox.arrivals("status")

    run_flow(main())


def test_failure_and_unknown_ids_cost_no_slot(tmp_path: Path) -> None:
    """Zoho's reason reaches the user; a later run asks neither of them again."""
    options = small(implicit=False, jobs={ONE: JobSpec(state="FAILURE"), TWO: csv_job()})

    async def main() -> None:
        async with Sandbox(options) as sandbox:
            out = tmp_path / "out"
            for again in (False, True):
                found = await run(sandbox, [ONE, TWO, THREE], out, wait=True)
                failure, unknown = found[ONE].error, found[THREE].error
                assert failure is not None
                assert failure.code == "INTERNAL_SERVER_ERROR"
                assert "Internal server error occurred." in failure.message
                assert unknown is not None
                assert unknown.code == "RESOURCE_NOT_FOUND"
                assert found[ONE].attempts == found[THREE].attempts == 0
                assert found[ONE].skipped == found[TWO].skipped == found[THREE].skipped == again
            assert [arrival.job_id for arrival in sandbox.results()] == [TWO]
            assert [asked(sandbox, job_id) for job_id in (ONE, TWO, THREE)] == [1, 1, 1]

    run_flow(main())


@pytest.mark.slow
def test_the_time_runs_out(tmp_path: Path) -> None:
    """NOT_READY_IN_TIME, pending; the next run goes on, and asks nothing of what is done."""
    options = small(jobs={TWO: csv_job(ready_after_s=3600)})

    async def main() -> None:
        async with Sandbox(options) as sandbox:
            out = tmp_path / "out"
            first = await watch(sandbox, [ONE, TWO], out, wait=600.0)
            assert first.by_id()[ONE].status == "done"
            late = first.by_id()[TWO]
            assert late.status == "pending"
            assert late.error is not None
            assert late.error.code == "NOT_READY_IN_TIME"
            assert first.report.aborted == late.error
            assert 600 <= first.report.elapsed_s <= 605
            second = await run(sandbox, [ONE, TWO], out, wait=True)
            assert second[ONE].skipped
            assert second[TWO].status == "done"
            assert asked(sandbox, ONE) == 1
            assert len(sandbox.results()) == 2

    run_flow(main())


def test_a_number_of_records_that_zoho_does_not_confirm(tmp_path: Path) -> None:
    """Fetched twice, then COUNT_MISMATCH; records = false asks for no number."""

    async def main() -> None:
        async with Sandbox(SandboxOptions(records=20, columns=4)) as sandbox:
            sandbox.plan("Leads", JobPlan(count_off=1))
            out = tmp_path / "out"
            async with Client(settings_for(sandbox.url, out)) as client:
                control = await client._wiring.control("default")
                created = await control.create({"query": {"module": {"api_name": "Leads"}}})
                status = await client.wait(created.job_id)
                assert (status.state, status.count) == ("COMPLETED", 21)
                async for outcome in client.fetch([created.job_id], wait=True):
                    assert outcome.error is not None
                    assert outcome.error.code == "COUNT_MISMATCH"
                    assert outcome.attempts == 2
                    assert outcome.quarantine is not None

    run_flow(main())


def test_a_stop_while_waiting(tmp_path: Path) -> None:
    """What is not ready is pending, without a cause: nobody's time ran out."""

    async def main() -> None:
        async with (
            Sandbox(small(jobs={ONE: csv_job(ready_after_s=3600)})) as sandbox,
            Client(settings_for(sandbox.url, tmp_path / "out", wait=True)) as client,
            anyio.create_task_group() as tasks,
        ):
            going = client.fetch([ONE, TWO])

            async def stop() -> None:
                await anyio.sleep(100)
                assert going.progress().preparing == 1
                going.stop()

            tasks.start_soon(stop)
            outcomes = {outcome.job_id: outcome async for outcome in going}
            assert outcomes[TWO].status == "done"
            assert outcomes[ONE].status == "pending"
            assert outcomes[ONE].error is None
            assert going.report.interrupted

    run_flow(main())


def test_a_refused_scope_is_said(tmp_path: Path) -> None:
    """The account ends with what Zoho says; no slot is spent."""
    faults = {"status": ("OAUTH_SCOPE_MISMATCH",) * 10}
    seen = run_flow(watch(small(faults=faults), [ONE, TWO], tmp_path / "out", wait=True))
    assert seen.report.aborted is not None
    assert seen.report.aborted.code == "OAUTH_SCOPE_MISMATCH"
    assert {outcome.status for outcome in seen.outcomes} == {"pending"}
    assert not seen.arrivals


def test_a_refusal_of_states_closes_no_window(tmp_path: Path) -> None:
    """A 429 on a status is waited out; results that are ready are fetched meanwhile."""
    faults = {"status": ("", "limit_429", "", "")}
    seen = run_flow(watch(small(faults=faults), [ONE, TWO, THREE], tmp_path / "out", wait=True))
    assert [outcome.status for outcome in seen.outcomes] == ["done"] * 3
    assert "window_closed" not in seen.kinds()
    assert len(seen.arrivals) == 3


def test_one_job_is_waited_for(tmp_path: Path) -> None:
    """FAILURE is a value, an unknown id an error."""
    jobs = {ONE: csv_job(ready_after_s=100), TWO: JobSpec(state="FAILURE")}

    async def main() -> None:
        async with Sandbox(small(implicit=False, jobs=jobs)) as sandbox:
            async with Client(settings_for(sandbox.url, tmp_path / "out")) as client:
                began = anyio.current_time()
                status = await client.wait(ONE)
                assert (status.state, status.count) == ("COMPLETED", 20)
                assert anyio.current_time() - began >= 100
                failed = await client.wait(TWO)
                assert failed.state == "FAILURE"
                assert failed.failure is not None
                assert failed.failure.code == "INTERNAL_SERVER_ERROR"
                with pytest.raises(ResourceNotFound):
                    await client.wait(THREE)
            assert not sandbox.results()
            with pytest.raises(RuntimeError):
                await client.wait(ONE)

    run_flow(main())

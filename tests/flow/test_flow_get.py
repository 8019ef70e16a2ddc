"""Single results for the calls of a service: one long-lived client, any number of calls at once."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.flow_clock import run_flow
from tests.support.flows import (
    FAST,
    account_specs,
    ids,
    loop_windows,
    service,
    settings_for,
    small,
    token_of,
)

from bulkfetch import AccountError, Client, Job, RunError
from bulkfetch.errors import DiskFull
from bulkfetch.journal import JournalReader
from bulkfetch.sandbox import Sandbox

JOBS = ids(25)
ONE, TWO, THREE, FOUR, *_ = JOBS


async def under_way(sandbox: Sandbox, count: int = 1) -> None:
    """Wait until so many requests have reached the server."""
    while len(sandbox.results()) < count:
        await asyncio.sleep(0.01)


def test_all_calls_share_one_window_and_one_request_a_job(tmp_path: Path) -> None:
    """However many calls there are: ten requests in any minute, and one for each job."""

    async def main() -> None:
        async with service(tmp_path, small(), window={}) as (sandbox, client):
            outcomes = await asyncio.gather(*(client.get(job) for job in JOBS * 4))
            assert [outcome.job_id for outcome in outcomes] == JOBS * 4
            assert {outcome.status for outcome in outcomes} == {"done"}
            assert all(Path(outcome.files[0].path).exists() for outcome in outcomes)
            assert len(sandbox.results()) == len(JOBS)
            assert sandbox.worst_in() == 10
            assert {arrival.status for arrival in sandbox.results()} == {200}

    run_flow(main())


def test_what_is_done_is_answered_without_a_request(tmp_path: Path) -> None:
    """Of this run, of an earlier list and of an earlier client; a list finds what calls did."""

    async def main() -> None:
        async with service(tmp_path) as (sandbox, client):
            first = await client.get(ONE)
            again = await client.get(ONE)
            assert (first.skipped, again.skipped) == (False, True)
            assert again.files == first.files
            assert [each.skipped async for each in client.fetch([ONE, TWO])] == [True, False]
            assert (await client.get(TWO)).skipped
            await client.__aexit__(None, None, None)
            async with client:
                assert (await client.get(TWO)).files
            assert len(sandbox.results()) == 2

    run_flow(main())


def test_a_cancelled_call_hurts_no_other(tmp_path: Path) -> None:
    """The job goes on: who waits beside gets it, and so does who asks later."""

    async def main() -> None:
        options = small(requests=1000, latency_s=(1.0, 1.0))
        async with service(tmp_path, options) as (sandbox, client):
            calls = [asyncio.create_task(client.get(job)) for job in (ONE, ONE, TWO)]
            await under_way(sandbox, 2)
            calls[0].cancel()
            calls[2].cancel()
            with pytest.raises(asyncio.CancelledError):
                await calls[0]
            assert (await calls[1]).status == "done"
            assert (await client.get(TWO)).status == "done"
            assert len(sandbox.results()) == 2

    run_flow(main())


def test_a_failure_is_an_outcome(tmp_path: Path) -> None:
    """One that may pass is tried again by the next call, one for good is not; neither raises."""
    faults = {ONE: ("zip_bit_flip", "zip_bit_flip"), TWO: ("RESOURCE_NOT_FOUND",)}

    async def main() -> None:
        async with service(tmp_path, small(requests=1000, faults=faults)) as (sandbox, client):
            codes = [(await client.get(job)).error for job in (ONE, TWO, TWO)]
            assert [each and each.code for each in codes] == [
                "ZIP_CORRUPT",
                "RESOURCE_NOT_FOUND",
                "RESOURCE_NOT_FOUND",
            ]
            assert (await client.get(ONE)).status == "done"
            assert (await client.get(Job(TWO, again=True))).status == "done"
            assert len(sandbox.results()) == 5

    run_flow(main())


def test_what_cannot_be_asked_for(tmp_path: Path) -> None:
    """A malformed id, name or account is a failed outcome, asks nothing and leaves no row."""

    async def main() -> None:
        async with service(tmp_path) as (sandbox, client):
            outcomes = [
                await client.get("../etc"),
                await client.get(ONE, name="a/b"),
                await client.get(ONE, account="other"),
            ]
            assert [outcome.error and outcome.error.code for outcome in outcomes] == [
                "INVALID_JOB_ID",
                "INVALID_NAME",
                "UNKNOWN_ACCOUNT",
            ]
            assert (await client.get(TWO)).status == "done"
            assert len(sandbox.results()) == 1
        with JournalReader.open(tmp_path / ".bulkfetch") as journal:
            assert [outcome.job_id for outcome in journal.outcomes()] == [TWO]

    run_flow(main())


def test_an_account_that_ends(tmp_path: Path) -> None:
    """Its calls raise why, each its own exception; other accounts go on; the next call asks."""
    faults = {ONE: ("OAUTH_SCOPE_MISMATCH",), THREE: ("OAUTH_SCOPE_MISMATCH",)}
    options = small(
        requests=1000,
        faults=faults,
        auth=True,
        accounts=account_specs("a", "b"),
        latency_s=(1.0, 1.0),
    )

    async def main() -> None:
        two = {"a": {**FAST, "concurrency": 1}, "b": FAST}
        async with service(tmp_path, options, accounts=two) as (sandbox, client):
            first = asyncio.create_task(client.get(ONE, account="a"))
            await under_way(sandbox)
            others = [asyncio.create_task(client.get(each, account="a")) for each in (ONE, TWO)]
            healthy = asyncio.create_task(client.get(FOUR, account="b"))
            ended = await asyncio.gather(first, *others, return_exceptions=True)
            assert [type(each).__name__ for each in ended] == ["ScopeMismatch"] * 3
            assert len({id(each) for each in ended}) == 3
            # Nobody waits any more: the account is asked again, with its next error.
            assert (await healthy).status == "done"
            with pytest.raises(AccountError):
                await client.get(THREE, account="a")
            assert (await client.get(ONE, account="a")).status == "done"

    run_flow(main())


def test_an_account_that_has_ended_is_asked_again_while_others_wait(tmp_path: Path) -> None:
    """Its next call asks anew, with its next error or result; the others' calls are not touched."""
    options = small(
        requests=1000,
        faults={
            ONE: ("OAUTH_SCOPE_MISMATCH",),
            THREE: ("OAUTH_SCOPE_MISMATCH",),
            TWO: ("stall_before_head",),
        },
        auth=True,
        accounts=account_specs("a", "b"),
    )

    async def main() -> None:
        two = {"a": FAST, "b": FAST}
        async with service(tmp_path, options, accounts=two) as (sandbox, client):
            waiting = asyncio.create_task(client.get(TWO, account="b"))
            await under_way(sandbox)
            for job in (ONE, THREE):
                with pytest.raises(AccountError):
                    await client.get(job, account="a", name="Leads")
            # Nobody waits for the two: another job may have their name.
            assert (await client.get(FOUR, account="a", name="Leads")).status == "done"
            assert (await client.get(ONE, account="a", name="Deals")).status == "done"
            assert not waiting.done()
            assert len(sandbox.results()) == 5
            waiting.cancel()

    run_flow(main())


def test_calls_while_an_account_ends(tmp_path: Path) -> None:
    """What is under way comes home; who comes meanwhile gets the reason at once, and asks later."""
    options = small(
        requests=1000,
        records=1500,
        faults={TWO: ("OAUTH_SCOPE_MISMATCH",), ONE: ("drip:2000",)},
        auth=True,
        accounts=account_specs("a"),
    )

    async def main() -> None:
        two = {"a": {**FAST, "concurrency": 2}}
        async with service(tmp_path, options, accounts=two) as (sandbox, client):
            slow = asyncio.create_task(client.get(ONE, account="a"))
            await under_way(sandbox)
            with pytest.raises(AccountError):
                await client.get(TWO, account="a")
            for _ in range(2):
                with pytest.raises(AccountError):
                    await client.get(THREE, account="a")
            assert not slow.done()
            assert len(sandbox.results()) == 2
            assert (await slow).status == "done"
            await asyncio.sleep(0.01)
            assert (await client.get(THREE, account="a")).status == "done"

    run_flow(main())


@pytest.mark.slow
def test_many_accounts_that_end_and_come_back(tmp_path: Path) -> None:
    """Of many accounts at once, some of which end with every call for a while: none hinders any."""
    names = [f"a{number}" for number in range(12)]
    trouble = {name: number % 3 for number, name in enumerate(names)}

    class Tokens:
        async def token(self, account: str, refused: str | None) -> str:
            if trouble[account]:
                trouble[account] -= 1
                raise AccountError(f"no token for {account}")
            return token_of(account)

    async def main() -> None:
        options = small(
            requests=1000,
            auth=True,
            accounts=account_specs(*names),
            faults={ONE: ("stall_before_head",)},
        )
        with loop_windows():
            async with Sandbox(options) as sandbox:
                told = settings_for(sandbox.url, tmp_path, accounts=dict.fromkeys(names, FAST))
                async with Client(told, tokens=Tokens()) as client:
                    waiting = asyncio.create_task(client.get(ONE, account="a0"))
                    await under_way(sandbox)
                    for turn in range(3):
                        calls = (
                            client.get(f"{job[:-3]}{turn + 1}{job[-2:]}", account=name)
                            for job, name in zip(ids(12), names, strict=True)
                        )
                        came = await asyncio.gather(*calls, return_exceptions=True)
                        for number, each in enumerate(came):
                            if number % 3 > turn:
                                assert str(each).startswith(f"no token for a{number}")
                            else:
                                assert getattr(each, "status", each) == "done"
                    assert not waiting.done()
                    waiting.cancel()

    run_flow(main())


def test_a_run_that_has_to_end(tmp_path: Path) -> None:
    """A disk without room raises in each call, and again in the next."""

    async def main() -> None:
        limits = {"free_bytes": 1 << 60}
        async with service(tmp_path, limits=limits) as (sandbox, client):
            calls = (client.get(job) for job in (ONE, TWO))
            ended = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(each, RunError) for each in ended)
            with pytest.raises(DiskFull):
                await client.get(ONE)
            assert not sandbox.results()

    run_flow(main())


def test_the_end_of_the_client(tmp_path: Path) -> None:
    """Calls that wait return at once, with their jobs pending; the next client goes on."""

    async def main() -> None:
        options = small(requests=1000, faults={ONE: ("stall_before_head",)})
        async with service(tmp_path, options) as (sandbox, client):
            call = asyncio.create_task(client.get(ONE))
            await under_way(sandbox)
            await client.__aexit__(None, None, None)
            assert (await call).status == "pending"
            with pytest.raises(RuntimeError, match="async with"):
                await client.get(ONE)
            async with client:
                assert (await client.get(ONE)).status == "done"

    run_flow(main())


def test_a_graceful_stop(tmp_path: Path) -> None:
    """What is under way comes home, the rest and later calls are pending, in seconds."""

    async def main() -> None:
        options = small(requests=1000, latency_s=(1.0, 1.0))
        async with service(tmp_path, options, window={"concurrency": 1}) as (sandbox, client):
            calls = [asyncio.create_task(client.get(job)) for job in (ONE, TWO)]
            await under_way(sandbox)
            client.stop()
            assert [(await call).status for call in calls] == ["done", "pending"]
            assert (await client.get(THREE)).status == "pending"
            assert len(sandbox.results()) == 1

    run_flow(main())


def test_calls_and_lists_take_turns(tmp_path: Path) -> None:
    """While a call waits no list is taken, and while a list is fetched no call."""

    async def main() -> None:
        async with service(tmp_path) as (_, client):
            call = asyncio.create_task(client.get(ONE))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="another list: calls of `get` wait"):
                client.fetch([TWO])
            assert (await call).status == "done"
            async with client.fetch([TWO]) as run:
                with pytest.raises(RuntimeError, match="another list"):
                    await client.get(THREE)
                assert [outcome.status async for outcome in run] == ["done"]
            assert (await client.get(THREE)).status == "done"

    run_flow(main())


def test_a_list_need_not_wait_for_calls_that_were_cancelled(tmp_path: Path) -> None:
    """Once nobody waits for a call's job any more, a list is taken at once, and can hold it."""

    async def main() -> None:
        options = small(requests=1000, faults={ONE: ("stall_before_head",)})
        async with service(tmp_path, options) as (sandbox, client):
            calls = [asyncio.create_task(client.get(ONE)) for _ in range(2)]
            await under_way(sandbox)
            for number, call in enumerate(calls):
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
                if number == 0:  # the other one waits still
                    with pytest.raises(RuntimeError, match="another list"):
                        client.fetch([TWO])
            async with client.fetch([TWO, ONE]) as run:
                assert [outcome.status async for outcome in run] == ["done", "done"]

    run_flow(main())


def test_names(tmp_path: Path) -> None:
    """A newer job takes a name over, as in a later list; not from one that is under way."""

    async def main() -> None:
        options = small(requests=1000, latency_s=(1.0, 1.0))
        async with service(tmp_path, options) as (sandbox, client):
            first = asyncio.create_task(client.get(ONE, name="Leads"))
            await under_way(sandbox)
            beside = await client.get(TWO, name="Leads")
            assert beside.error is not None
            assert beside.error.code == "PUBLISH_CONFLICT"
            renamed = await client.get(ONE, name="Contacts")
            assert renamed.error is not None
            assert renamed.error.code == "INVALID_NAME"
            assert (await first).files[0].path.endswith("/Leads.csv")
            newer = await client.get(TWO, name="Leads")
            assert newer.status == "done"
            assert (tmp_path / "Leads.csv").read_bytes() == sandbox.file_of(TWO)
            assert (await client.get(ONE)).superseded_by == TWO

    run_flow(main())


def test_what_a_callback_breaks_off(tmp_path: Path) -> None:
    """What `on_event` lets through is raised where the calls wait."""

    class Stop(BaseException):
        pass

    def callback(_: object) -> None:
        raise Stop

    async def main() -> None:
        with loop_windows():
            async with Sandbox(small()) as sandbox:
                client = Client(settings_for(sandbox.url, tmp_path), on_event=callback)
                async with client:
                    with pytest.raises(Stop):
                        await client.get(ONE)

    with suppress(Stop):
        run_flow(main())

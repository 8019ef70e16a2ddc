"""Control calls against the sandbox's org, faults and budgets included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from tests.support.control_server import TOKEN, Tokens, control_client
from tests.support.flow_clock import run_flow

from bulkfetch.control import sender
from bulkfetch.control.allowance import ControlLimits
from bulkfetch.control.client import ControlClient
from bulkfetch.control.responses import Created, JobStatus
from bulkfetch.errors import (
    BulkfetchError,
    ControlPaused,
    CreateRefused,
    CreateUnknown,
    CreditsSpent,
    JobError,
    ResourceNotFound,
    TokenRejected,
)
from bulkfetch.sandbox import AccountSpec, Sandbox, SandboxOptions
from bulkfetch.sandbox.faults import FAULTS

LEADS = {"query": {"module": {"api_name": "Leads"}, "page": 1}}


@asynccontextmanager
async def client_of(
    limits: ControlLimits | None = None, **options: Any
) -> AsyncIterator[tuple[ControlClient, Sandbox]]:
    default = AccountSpec(access_tokens=(TOKEN,))
    known = {"module_records": 25, "prepare_s": 20.0, "accounts": {"default": default}}
    made = SandboxOptions(**{**known, **options})
    async with Sandbox(made) as sandbox, control_client(sandbox.url, limits) as client:
        yield client, sandbox


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what stalls do so in large steps, and for a few seconds."""
    monkeypatch.setattr("bulkfetch.sandbox.wire._TICK_S", 1.0)
    monkeypatch.setattr(sender, "BODY_S", 5.0)


async def ended(client: ControlClient, job_id: str) -> JobStatus:
    while (status := await client.status(job_id)).state not in ("COMPLETED", "FAILURE"):
        await asyncio.sleep(7)
    return status


def test_an_export_is_created_and_prepared() -> None:
    """From the create call to what its file will hold; the credits are counted alike."""

    async def main() -> None:
        async with client_of(per_page=10, unfinished_result=True, implicit=False) as (
            client,
            sandbox,
        ):
            created = await client.create(LEADS)
            assert [job.id for job in sandbox.created()] == [created.job_id]
            first = await client.status(created.job_id)
            assert (first.state, first.count, first.next_page_token) == ("ADDED", None, None)
            status = await ended(client, created.job_id)
            assert (status.count, status.page, status.more_records) == (10, 1, True)
            assert (status.module, status.created_time) == ("Leads", created.created_time)
            token = status.next_page_token
            second = await client.create({"query": {"page_token": token}})
            assert (await ended(client, second.job_id)).page == 2
            assert client.credits == sandbox.credits_spent()
            with pytest.raises(ResourceNotFound):
                await client.status("77")

    run_flow(main())


def test_metadata_counts_and_deletions_are_read() -> None:
    """Modules with their fields, how many records there are, and which are no more."""

    async def main() -> None:
        async with client_of() as (client, sandbox):
            modules = {module.api_name: module for module in await client.modules()}
            assert modules["Leads"].api_supported
            fields = await client.fields("Leads")
            assert fields is not None
            types = {field.api_name: field.data_type for field in fields}
            assert types["Last_Name"] == "text"
            assert types["Owner"] == "ownerlookup"
            assert await client.count("Leads") == 25
            before = sandbox.now - timedelta(seconds=5)
            gone = [row["Id"] for row in sandbox.rows("Leads", ["Id"])][:3]
            for record_id in gone:
                sandbox.delete("Leads", record_id)
            found = [record async for record in client.deleted("Leads", before)]
            assert {record.id for record in found} == set(gone)
            assert all(record.deleted_time for record in found)

    run_flow(main())


@pytest.mark.parametrize("placement", ["data", "top"])
def test_a_refusal_is_one_wherever_it_stands(placement: str) -> None:
    """An unknown field and an unknown module have their codes."""

    async def main() -> None:
        async with client_of(create_errors=placement) as (client, sandbox):
            for query in ({"module": {"api_name": "Nothing"}}, {**LEADS["query"], "fields": ["X"]}):
                with pytest.raises(CreateRefused) as caught:
                    await client.create({"query": query})
                assert caught.value.code in ("MODULE_NOT_AVAILABLE", "FIELD_NOT_AVAILABLE")
                assert caught.value.permanent
            assert not sandbox.created()

    run_flow(main())


def test_another_limit_of_creates_pauses_and_nothing_is_made_twice() -> None:
    """A 429 is told with its time; the next call waits for it."""

    async def main() -> None:
        limits = ControlLimits(creates_per_minute=100)
        async with client_of(limits, creates_per_minute=2, retry_after="seconds") as (
            client,
            sandbox,
        ):
            for _ in range(2):
                await client.create(LEADS)
            with pytest.raises(ControlPaused):
                await client.create(LEADS)
            await client.create(LEADS)
            assert len(sandbox.created()) == 3
            assert client.credits == sandbox.credits_spent()

    run_flow(main())


def test_credits_that_run_out_stop_creates_before_everything_else() -> None:
    """First the reserve is kept; without one, what remains is none."""

    async def main() -> None:
        async with client_of(ControlLimits(credits_reserve=70), credits_per_day=250) as (
            client,
            sandbox,
        ):
            jobs = [await client.create(LEADS) for _ in range(4)]
            with pytest.raises(CreditsSpent):
                await client.create(LEADS)
            assert len(sandbox.created()) == 4
            assert client.credits_remaining == 50
            # What was created is still asked for.
            assert (await ended(client, jobs[-1].job_id)).state == "COMPLETED"

    run_flow(main())


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", sorted(FAULTS))
@pytest.mark.parametrize("accepted", [True, False])
def test_no_answer_to_a_create_is_taken_for_another(name: str, accepted: bool) -> None:
    """A job that came back is the server's; one that may exist is never said not to.

    The exceptions are answers that refuse in so many words, as no server does that has accepted.
    """

    async def main() -> tuple[Created | BulkfetchError, list[str], int]:
        async with client_of(
            faults={"create": ((name if accepted else f"unaccepted:{name}"),)}
        ) as (
            client,
            sandbox,
        ):
            result: Created | BulkfetchError
            try:
                result = await client.create(LEADS)
            except BulkfetchError as error:
                result = error
            made = [job.id for job in sandbox.created()]
            return result, made, len(sandbox.arrivals("create"))

    result, made, asked = run_flow(main())
    match result:
        case Created():
            assert result.job_id in made
        case CreateUnknown():
            pass
        case _:
            refused_in_words = result.http is not None and 300 <= result.http < 500
            assert not made or refused_in_words or isinstance(result, ControlPaused | CreateRefused)
    renewed = name in ("INVALID_TOKEN", "error_401_oauthtoken")
    assert asked == (2 if renewed else 1)


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_question_survives_what_passes(name: str) -> None:
    """After one bad answer the next tells the state, unless the bad one was a plain refusal."""

    async def main() -> None:
        async with client_of(prepare_s=0.0) as (client, sandbox):
            created = await client.create(LEADS)
            sandbox.fault("status", name)
            found: JobStatus | BulkfetchError
            try:
                found = await client.status(created.job_id)
            except BulkfetchError as error:
                found = error
            match found:
                case JobStatus():
                    assert (found.state, found.count) == ("COMPLETED", 25)
                case JobError():
                    assert isinstance(found, ControlPaused) or not found.retryable
                case _:
                    assert not isinstance(found, TokenRejected)
            assert len(sandbox.arrivals("status")) <= 2

    run_flow(main())


def test_a_token_that_expires_between_calls_is_renewed() -> None:
    """The call is repeated with the new one; nothing is created twice."""

    async def main() -> None:
        tokens = Tokens()
        async with Sandbox(SandboxOptions(auth=True, prepare_s=0.0)) as sandbox:
            tokens.next = [sandbox.issue_token() for _ in range(2)]
            await tokens.renew(await tokens.token())
            async with control_client(sandbox.url, tokens=tokens) as client:
                created = await client.create(LEADS)
                sandbox.expire_tokens()
                tokens.next = [sandbox.issue_token()]
                assert (await client.status(created.job_id)).state == "COMPLETED"
                assert tokens.renewed == 2

    run_flow(main())

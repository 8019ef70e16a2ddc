"""The questions: what goes out, what comes back in every form, and how often is asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any

import pytest
from tests.support.control_server import (
    FRESH,
    TOKEN,
    Answered,
    Tokens,
    ask,
    control_client,
    control_server,
    error,
    status,
)
from tests.support.flow_clock import flow_loop, run_flow

from bulkfetch.control import calls
from bulkfetch.control.client import ControlClient
from bulkfetch.control.responses import DeletedRecord, Module, ModuleField, read_status
from bulkfetch.control.retry import REFUSALS, TRIES
from bulkfetch.errors import (
    AuthenticationFailure,
    BadResponse,
    BulkfetchError,
    ConfigError,
    ConnectionLost,
    ControlPaused,
    CreditsSpent,
    InvalidJobId,
    InvalidToken,
    NoPermission,
    Redirected,
    ResourceNotFound,
    ServerError,
    UnexpectedStatus,
)
from bulkfetch.models import Failure

JOB = "5725767000000859031"


async def collect(client: ControlClient, since: datetime) -> list[DeletedRecord]:
    return [record async for record in client.deleted("Leads", since)]


# --- what is asked, and what the answers say ------------------------------------------------------

RESULT = {
    "page": 1,
    "per_page": 200000,
    "count": 127,
    "download_url": "/crm/bulk/v8/read/4150868000004716016/result",
    "more_records": True,
    "next_page_token": "bca6fb",
}


def test_a_completed_job_tells_its_result() -> None:
    """Zoho's own sample, with more pages to come; the token is not shown by chance."""
    answer = status(
        state="COMPLETED",
        result=RESULT,
        query={"module": {"id": "1", "api_name": "Leads"}, "page": 1},
        created_time="2021-07-25T02:13:17-07:00",
        file_type="csv",
    )
    found, server = ask(lambda client: client.status(JOB), Answered(200, answer))
    assert server.lines() == [f"GET /crm/bulk/v8/read/{JOB}"]
    assert not isinstance(found, BulkfetchError)
    assert (found.state, found.count, found.page) == ("COMPLETED", 127, 1)
    assert (found.more_records, found.next_page_token) == (True, "bca6fb")
    assert (found.module, found.file_type) == ("Leads", "csv")
    assert found.created_time == "2021-07-25T02:13:17-07:00"
    assert "bca6fb" not in repr(found)


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("ADDED", "ADDED"),
        ("QUEUED", "QUEUED"),
        ("IN PROGRESS", "IN PROGRESS"),
        ("IN_PROGRESS", "IN PROGRESS"),
        ("InProgress", "IN PROGRESS"),
        ("FAILED", "FAILURE"),
    ],
)
def test_only_the_state_tells_how_far_a_job_is(said: str, state: str) -> None:
    """A result on an unfinished job is no result; states may be spelled in other ways."""
    found = read_status(status(state=said, result=RESULT), JOB)
    assert found.state == state
    assert (found.count, found.more_records, found.next_page_token) == (None, False, None)


@pytest.mark.parametrize("result", [None, [], "x", {}, {"count": None}, {"count": -1}])
def test_a_missing_result_is_not_guessed(result: object) -> None:
    """COMPLETED without a count says so; a count as text is one, and 0 is one too."""
    assert read_status(status(state="COMPLETED", result=result), JOB).count is None
    for count in ("0", 0):
        found = read_status(status(state="COMPLETED", result={"count": count}), JOB)
        assert found.count == 0


def test_an_id_may_come_as_a_number_and_the_module_as_a_text() -> None:
    """As in v2, and as some JSON writers do."""
    answer = {"data": {"id": int(JOB), "state": "ADDED", "query": {"module": "Leads"}}}
    found = read_status(answer, JOB)
    assert (found.job_id, found.module) == (JOB, "Leads")


@pytest.mark.parametrize(
    ("more", "failure"),
    [
        (
            {"result": {"error_message": error("INTERNAL_SERVER_ERROR", "It\nbroke.", limit=5)}},
            ("INTERNAL_SERVER_ERROR", "It\\nbroke.: limit: 5"),
        ),
        ({"result": {"error_message": "It broke."}}, ("FAILURE", "It broke.")),
        ({"error_message": error("SOME_CODE", "words")}, ("SOME_CODE", "words")),
        ({"result": error("SOME_CODE", "words")}, ("SOME_CODE", "words")),
        ({}, ("FAILURE", "the service gave no reason")),
        ({"result": {"error_message": []}}, ("FAILURE", "the service gave no reason")),
    ],
)
def test_a_failure_keeps_its_reason(more: dict[str, Any], failure: tuple[str, str]) -> None:
    """Zoho's code and message, wherever they stand, escaped."""
    found = read_status(status(state="FAILURE", **more), JOB)
    assert isinstance(found.failure, Failure)
    assert (found.failure.code, found.failure.message) == failure


@pytest.mark.parametrize(
    "answer", [{"data": []}, [], 5, status(job_id="77"), status(state="DREAMING"), status(state="")]
)
def test_another_jobs_status_is_refused(answer: object) -> None:
    """An answer that does not tell of this job, or in no known word, is none."""
    with pytest.raises(BadResponse):
        read_status(answer, JOB)


def test_modules_and_fields_are_read() -> None:
    """What exports need to know, and nothing missing is invented."""
    lead = {"api_name": "Leads", "api_supported": True, "viewable": True, "visible": "true"}
    modules, server = ask(
        lambda client: client.modules(), Answered(200, {"modules": [lead, {"id": "5"}, "x"]})
    )
    assert modules == (Module("Leads", api_supported=True, viewable=True, visible=True),)
    assert server.lines() == ["GET /crm/v8/settings/modules"]
    fields = [
        {"api_name": "Owner", "data_type": "ownerlookup", "lookup": {"module": {"api_name": "U"}}},
        {"api_name": "F", "data_type": "formula", "formula": {"return_type": "double"}},
        {"api_name": "L", "data_type": "lookup", "lookup": {"module": "Accounts"}, "length": 120},
        {"api_name": "P", "data_type": "text", "lookup": {}, "custom_field": True},
    ]
    found, server = ask(lambda client: client.fields("Leads"), Answered(200, {"fields": fields}))
    assert found == (
        ModuleField("Owner", "ownerlookup", lookup_module="U"),
        ModuleField("F", "formula", formula_type="double"),
        ModuleField("L", "lookup", lookup_module="Accounts", length=120),
        ModuleField("P", "text", custom_field=True),
    )
    assert server.lines() == ["GET /crm/v8/settings/fields?module=Leads"]


def test_no_content_is_no_error() -> None:
    """204 for fields means that nothing is known, for the others that nothing is there."""
    none = Answered(204, b"")
    assert ask(lambda client: client.fields("Leads"), none)[0] is None
    assert ask(lambda client: client.modules(), none)[0] == ()
    assert ask(lambda client: client.count("Leads"), none)[0] == 0
    since = datetime(2026, 1, 1, tzinfo=UTC)
    for http in (204, 304):
        assert ask(lambda client: collect(client, since), Answered(http, b""))[0] == []


def test_a_count_is_read() -> None:
    """As a number, or as a text."""
    found, server = ask(lambda client: client.count("Leads"), Answered(200, {"count": "17"}))
    assert (found, server.lines()) == (17, ["GET /crm/v8/Leads/actions/count"])


def test_deletions_come_page_by_page() -> None:
    """By number, or by token where the service gives one; the time goes out in UTC."""
    first = {
        "data": [{"id": 5, "display_name": None, "deleted_by": {"name": "P", "id": "1"}}],
        "info": {"more_records": True},
    }
    second = {
        "data": [{"id": "6", "type": "permanent", "deleted_time": "2026-01-02T00:00:00+00:00"}],
        "info": {"more_records": True, "next_page_token": "tok"},
    }
    third = {"data": [{"id": "7"}], "info": {"more_records": False}}
    since = datetime(2026, 1, 1, 1, 2, 3, 999, tzinfo=timezone(timedelta(hours=2)))
    answers = [Answered(200, body) for body in (first, second, third)]
    found, server = ask(lambda client: collect(client, since), *answers)
    assert found == [
        DeletedRecord("5", deleted_by="P"),
        DeletedRecord("6", type="permanent", deleted_time="2026-01-02T00:00:00+00:00"),
        DeletedRecord("7"),
    ]
    path = "GET /crm/v8/Leads/deleted?type=all"
    assert server.lines() == [
        f"{path}&page=1&per_page=200",
        f"{path}&page=2&per_page=200",
        f"{path}&page_token=tok&per_page=200",
    ]
    assert server.asked[0].headers["If-Modified-Since"] == "2025-12-31T23:02:03+00:00"


@pytest.mark.parametrize("data", [[], [{"id": "5"}]])
def test_deletions_that_never_end_are_refused(data: list[object]) -> None:
    """An empty page that promises more, or a token seen before, is a loop."""
    body = {"data": data, "info": {"more_records": True, "next_page_token": "tok"}}
    since = datetime(2026, 1, 1, tzinfo=UTC)
    failure, server = ask(lambda client: collect(client, since), Answered(200, body))
    assert isinstance(failure, BadResponse)
    assert len(server.asked) <= 3


def test_what_is_no_name_is_never_asked() -> None:
    """Neither a job's id nor a module's name can change the address."""
    for name in ("../org", "Leads/../x", "Leads?x", "", "Léads", "a" * 101):
        for make in (calls.fields_call, calls.count_call):
            with pytest.raises(ConfigError):
                make("v8", name)
    for job_id in ("", "5/result", "٥", "1" * 21):
        with pytest.raises(InvalidJobId):
            calls.status_call("v8", job_id)
    with pytest.raises(ValueError, match="zone"):
        calls.deleted_call("v8", "Leads", datetime(2026, 1, 1), 1, None)


# --- when things go wrong -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answered(404, error("RESOURCE_NOT_FOUND")), ResourceNotFound),
        (Answered(400, error("RESOURCE_NOT_FOUND")), ResourceNotFound),
        (Answered(404, b""), ResourceNotFound),
        (Answered(403, error("NO_PERMISSION")), NoPermission),
        (Answered(400, error("INVALID_MODULE")), UnexpectedStatus),
        (Answered(302, b"", {"Location": "https://elsewhere.example/"}), Redirected),
    ],
)
def test_a_plain_refusal_is_final(answer: Answered, kind: type[BulkfetchError]) -> None:
    """It is not asked again what has been answered."""
    failure, server = ask(lambda client: client.status(JOB), answer)
    assert type(failure) is kind
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answered(500, error("INTERNAL_ERROR")), ServerError),
        (Answered(503, b"<html>"), ServerError),
        (Answered(200, None), ConnectionLost),
        (Answered(200, b"<html>login</html>"), BadResponse),
        (Answered(200, b'{"data":['), BadResponse),
        (Answered(200, b""), BadResponse),
        (Answered(200, status(state="DREAMING")), BadResponse),
        (Answered(200, b"{}" + b" " * 1_000_001), BadResponse),
    ],
)
def test_trouble_is_asked_again_with_a_backoff(
    answer: Answered, kind: type[BulkfetchError]
) -> None:
    """A question is repeated a few times, later and later, and then fails with its last error."""
    found, server = ask(lambda client: client.status(JOB), answer, Answered(200, status()))
    assert not isinstance(found, BulkfetchError)
    assert len(server.asked) == 2
    failure, server = ask(lambda client: client.status(JOB), answer)
    assert type(failure) is kind
    assert len(server.asked) == TRIES
    assert server.at[-1] - server.at[0] <= 1 + 2 + 4 + 8


def test_retry_after_is_waited_for() -> None:
    """Of a 503 as of a 429; what would take too long is told instead."""
    for http, code in ((503, "INTERNAL_ERROR"), (429, "TOO_MANY_REQUESTS")):
        answer = Answered(http, error(code), {"Retry-After": "40"})
        found, server = ask(lambda client: client.status(JOB), answer, Answered(200, status()))
        assert not isinstance(found, BulkfetchError)
        assert 41 <= server.at[1] - server.at[0] <= 43
        answer = Answered(http, error(code), {"Retry-After": "4000"})
        failure, server = ask(lambda client: client.status(JOB), answer)
        assert isinstance(failure, BulkfetchError)
        assert len(server.asked) == 1


def test_a_429_that_stays_is_told_in_the_end() -> None:
    """A few minutes are waited out, not more."""
    failure, server = ask(lambda client: client.status(JOB), Answered(429, b""))
    assert isinstance(failure, ControlPaused)
    assert len(server.asked) == REFUSALS


@pytest.mark.parametrize("code", ["INVALID_TOKEN", "AUTHENTICATION_FAILURE"])
def test_a_refused_token_is_renewed_once(code: str) -> None:
    """One refresh, one repeat; a second refusal ends it, and that token is never used again."""
    refused, tokens = Answered(401, error(code)), Tokens()
    found, server = ask(
        lambda client: client.status(JOB), refused, Answered(200, status()), tokens=tokens
    )
    assert not isinstance(found, BulkfetchError)
    assert server.tokens() == [TOKEN, FRESH]
    tokens = Tokens()
    failure, server = ask(lambda client: client.status(JOB), refused, tokens=tokens)
    assert isinstance(failure, InvalidToken | AuthenticationFailure)
    assert server.tokens() == [TOKEN, FRESH]
    assert [secret.reveal() for secret in tokens.refused] == [FRESH]


def test_a_page_token_of_deletions_is_in_no_message() -> None:
    """What the server sends back of the address is struck out."""
    since = datetime(2026, 1, 1, tzinfo=UTC)
    page_token = "0123456789abcdef"
    first = {"data": [{"id": "5"}], "info": {"more_records": True, "next_page_token": page_token}}
    failure, _ = ask(
        lambda client: collect(client, since),
        Answered(200, first),
        Answered(400, error("INVALID_DATA", f"bad {page_token}")),
    )
    assert isinstance(failure, UnexpectedStatus)
    assert page_token not in failure.message


def test_what_is_spent_and_what_remains_is_known() -> None:
    """Creates count 50, deletions 2, all else 1, a 429 nothing; the header is remembered."""

    async def main() -> None:
        said = {"X-API-CREDITS-REMAINING": "2345"}
        async with (
            control_server(Answered(200, status(), said)) as server,
            control_client(server.url) as client,
        ):
            assert (client.credits, client.credits_remaining) == (0, None)
            await client.status(JOB)
            assert (client.credits, client.credits_remaining) == (1, 2345)
            server.answers = [Answered(429, b""), Answered(200, {"count": 5})]
            await client.count("Leads")
            assert (client.credits, client.credits_remaining) == (2, None)
            server.answers = [Answered(200, {"data": [], "info": {}})]
            await collect(client, datetime(2026, 1, 1, tzinfo=UTC))
            assert client.credits == 4

    run_flow(main())


def test_a_429_of_both_doors_means_credits() -> None:
    """Within a minute of each other they are for neither's pace; else they are."""

    async def main() -> None:
        refused = Answered(429, b"", {"Retry-After": "4000"})
        async with control_server(refused) as server, control_client(server.url) as client:
            assert not await client.window_refused()
            flow_loop().now += 61
            with pytest.raises(ControlPaused):
                await client.status(JOB)
            flow_loop().now += 59
            assert await client.window_refused()
            with pytest.raises(CreditsSpent):
                await client.create({})
            flow_loop().now += 3602
            assert not await client.window_refused()
            with pytest.raises(CreditsSpent):
                await client.create({})
            assert len(server.asked) == 2

    run_flow(main())


def test_the_backoff_is_full_jitter() -> None:
    """Two clients that failed together do not come back together."""

    async def gaps(seed: int) -> list[float]:
        async with (
            control_server(Answered(500, b"")) as server,
            control_client(server.url) as client,
        ):
            client._random = Random(seed)
            with pytest.raises(ServerError):
                await client.status(JOB)
            return [b - a for a, b in zip(server.at, server.at[1:], strict=False)]

    one, other = run_flow(gaps(1)), run_flow(gaps(2))
    assert all(abs(a - b) > 0.001 for a, b in zip(one, other, strict=True))

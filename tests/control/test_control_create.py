"""Creating exports: one request, and what every answer to it means."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.control_server import (
    CREATED,
    FRESH,
    TOKEN,
    Answered,
    ControlServer,
    Tokens,
    ask,
    control_client,
    control_server,
    error,
)
from tests.support.flow_clock import run_flow

from bulkfetch.control.allowance import ControlLimits
from bulkfetch.control.create_errors import CREATE_ERRORS, created_or_error
from bulkfetch.control.responses import Created
from bulkfetch.errors import (
    AccountError,
    AuthenticationFailure,
    AuthorizationFailed,
    BulkfetchError,
    ConnectFailed,
    ControlPaused,
    CreateRefused,
    CreateUnknown,
    InvalidToken,
    InvalidUrlPattern,
    LimitReached,
    NoPermission,
    Redirected,
    ScopeMismatch,
    UnexpectedStatus,
    is_permanent,
)
from bulkfetch.zoho.responses import Head

BODY = {"query": {"module": {"api_name": "Leads"}, "page": 1}}
JOB = Created("5725767000000859031", "2021-07-25T02:13:17-07:00", "ADDED")


def create(
    *answers: Answered, body: dict[str, Any] = BODY, tokens: Tokens | None = None
) -> tuple[Created | BulkfetchError, ControlServer]:
    """Create an export at a server that answers so; return what came of it."""
    return ask(lambda client: client.create(body), *answers, tokens=tokens)


def test_a_create_is_one_post_of_json() -> None:
    """The body goes out as it is, with its type and the token, and the job comes back."""
    created, server = create(Answered(201, CREATED))
    assert created == JOB
    assert server.lines() == ["POST /crm/bulk/v8/read"]
    assert server.bodies == [BODY]
    assert server.asked[0].headers["Content-Type"] == "application/json"
    assert server.tokens() == [TOKEN]


@pytest.mark.parametrize(
    ("answer", "job"),
    [
        ({"data": CREATED["data"][0]}, JOB),  # type: ignore[index]
        (CREATED["data"], JOB),
        ({"data": [{"status": "success", "details": {"id": 5725767000000859031}}]},
         Created(JOB.job_id, "", "ADDED")),
        ({"code": "ADDED_SUCCESSFULLY", "details": {"id": "5", "state": "QUEUED"}},
         Created("5", "", "QUEUED")),
    ],
)  # fmt: skip
def test_a_job_is_found_wherever_the_answer_has_it(answer: object, job: Created) -> None:
    """One object instead of a list, no `data` at all, an id as a number."""
    assert created_or_error(Head(201), json.dumps(answer).encode()) == job


@pytest.mark.parametrize("code", CREATE_ERRORS)
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("http", [400, 202])
def test_every_documented_refusal_has_its_code_and_hint(code: str, inside: bool, http: int) -> None:
    """At top level or inside `data`, whatever the status: refused for good, with what to do."""
    said = error(code, "not so", api_name="X")
    answer = {"data": [said]} if inside else said
    refused = created_or_error(Head(http), json.dumps(answer).encode())
    assert isinstance(refused, CreateRefused)
    assert (refused.code, refused.message, refused.http) == (code, "not so; api_name: X", http)
    assert refused.hint
    assert refused.permanent
    assert is_permanent(code)


def test_details_are_told_and_harmless() -> None:
    """The comparators that a field takes are in the message; nothing in it moves a terminal."""
    said = error(
        "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED",
        "no\x1b[2J",
        supported=["equal", "not_equal"],
        field={"api_name": "Age"},
    )
    refused = created_or_error(Head(400), json.dumps(said).encode())
    assert isinstance(refused, CreateRefused)
    assert refused.message == "no\\x1b[2J; supported: equal, not_equal; field: Age"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answered(400, error("NEW_CODE")), CreateRefused),
        (Answered(201, {"data": [error("NEW_CODE")]}), CreateRefused),
        (Answered(404, error("RESOURCE_NOT_FOUND")), CreateRefused),
        (Answered(400, error("LIMIT_REACHED")), LimitReached),
        (Answered(429, error("TOO_MANY_REQUESTS")), ControlPaused),
        (Answered(429, b"<html>"), ControlPaused),
        (Answered(403, error("NO_PERMISSION")), NoPermission),
        (Answered(400, error("AUTHORIZATION_FAILED")), AuthorizationFailed),
        (Answered(401, error("OAUTH_SCOPE_MISMATCH")), ScopeMismatch),
        (Answered(401, error("AUTHENTICATION_FAILURE")), AuthenticationFailure),
        (Answered(404, error("INVALID_URL_PATTERN")), InvalidUrlPattern),
        (Answered(404, b"<html>"), UnexpectedStatus),
        (Answered(400, b"<html>"), UnexpectedStatus),
        (Answered(302, b"", {"Location": "https://elsewhere.example/"}), Redirected),
        (Answered(500, error("INTERNAL_ERROR")), CreateUnknown),
        (Answered(503, b"<html>down</html>"), CreateUnknown),
        (Answered(201, b'{"data":[{"status":"succ'), CreateUnknown),
        (Answered(201, {"data": []}), CreateUnknown),
        (Answered(200, b""), CreateUnknown),
        (Answered(204, b""), CreateUnknown),
        (Answered(201, {"data": [error("INTERNAL_ERROR")]}), CreateUnknown),
        (Answered(201, None), CreateUnknown),
        (Answered(201, b"x" * 1_000_001), CreateUnknown),
    ],
)  # fmt: skip
def test_what_is_no_job_is_told_apart_and_never_asked_again(
    answer: Answered, kind: type[BulkfetchError]
) -> None:
    """Whether the export may exist depends on the answer alone; no create is repeated."""
    failure, server = create(answer)
    assert type(failure) is kind
    assert len(server.asked) == 1


def test_a_lost_body_leaves_the_export_unknown() -> None:
    """A connection that dies within the answer, after its good status, tells nothing."""

    async def main() -> None:
        async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b'HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n{"data":[')
            writer.close()

        server = await asyncio.start_server(half, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, control_client(f"http://127.0.0.1:{port}") as client:
            with pytest.raises(CreateUnknown):
                await client.create(BODY)

    run_flow(main())


def test_without_a_connection_nothing_was_created() -> None:
    """A refused connection is no unknown outcome, and costs no credits."""

    async def main() -> None:
        async with control_client("http://127.0.0.1:9") as client:
            with pytest.raises(ConnectFailed):
                await client.create(BODY)
            assert client.credits == 0

    run_flow(main())


def test_an_expired_token_is_renewed_and_the_create_sent_once_more() -> None:
    """INVALID_TOKEN comes before anything is created, so the second request cannot be one more."""
    tokens = Tokens()
    invalid = Answered(401, error("INVALID_TOKEN"))
    created, server = create(invalid, Answered(201, CREATED), tokens=tokens)
    assert created == JOB
    assert server.tokens() == [TOKEN, FRESH]
    failure, server = create(invalid)
    assert isinstance(failure, InvalidToken)
    assert len(server.asked) == 2


def test_a_429_says_when_to_come_again() -> None:
    """Retry-After is what the error gives; a minute where there is none, and a margin."""
    said = error("TOO_MANY_REQUESTS")
    failure, _ = create(Answered(429, said, {"Retry-After": "17"}))
    assert isinstance(failure, ControlPaused)
    assert failure.retry_after_s == 18
    failure, _ = create(Answered(429, said))
    assert isinstance(failure, ControlPaused)
    assert failure.retry_after_s == 61


def test_a_missing_scope_is_named() -> None:
    """The hint has the scopes of the very call."""
    failure, _ = create(Answered(401, error("OAUTH_SCOPE_MISMATCH")))
    assert isinstance(failure, AccountError)
    assert "ZohoCRM.modules.Leads.READ" in failure.hint


@pytest.mark.parametrize(
    "echo",
    [
        lambda token: Answered(400, error("INVALID_DATA", f"bad {token}")),
        lambda token: Answered(400, error("NEW_CODE", "bad", value=token)),
        lambda token: Answered(500, error("INTERNAL_ERROR", f"bad {token}")),
        lambda token: Answered(401, error("OAUTH_SCOPE_MISMATCH", f"bad {token}")),
    ],
)
def test_no_secret_is_in_any_message(echo: Callable[[str], Answered]) -> None:
    """A server that sends back the access token, or the page token, brings neither to light."""
    page_token = "bca6fb0011223344556677"
    for secret in (TOKEN, page_token):
        failure, _ = create(echo(secret), body={"query": {"page_token": page_token}})
        assert isinstance(failure, BulkfetchError)
        shown = f"{failure.message} {failure.hint} {failure!r} {failure.args}"
        assert secret not in shown
        assert "***" in shown


def test_it_is_known_that_a_create_leaves_before_it_does() -> None:
    """`before` is awaited within the budget, before the server sees anything; what it raises stops
    the call."""

    async def main() -> None:
        async with (
            control_server(Answered(201, CREATED)) as server,
            control_client(server.url, ControlLimits(creates_per_minute=1)) as client,
        ):
            seen: list[tuple[float, int]] = []
            start = asyncio.get_running_loop().time()

            async def before() -> None:
                now = asyncio.get_running_loop().time()
                seen.append((round(now - start), len(server.asked)))

            await client.create(BODY, before=before)
            await client.create(BODY, before=before)
            assert seen == [(0, 0), (61, 1)]  # a minute, and a margin

            async def refuse() -> None:
                raise NoPermission("not now")

            with pytest.raises(NoPermission):
                await client.create(BODY, before=refuse)
            assert len(server.asked) == 2

    run_flow(main())

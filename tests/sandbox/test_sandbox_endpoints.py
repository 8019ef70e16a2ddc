"""Create, status, result and token, as Zoho answers them."""

from __future__ import annotations

import asyncio
import io
import ssl
import zipfile
from dataclasses import replace

import pytest
import trustme
from tests.support.sandbox_http import RESULT, Answer, ask, ended, raw
from tests.support.virtual_clock import run_virtual

from bulkfetch.sandbox import AccountSpec, JobSpec, Sandbox, SandboxOptions, SandboxThread

pytestmark = pytest.mark.anyio

ID = "554023000000568002"
READ = "/crm/bulk/v8/read"
SMALL = SandboxOptions(records=3, prepare_s=0.0)
LEADS = {"query": {"module": {"api_name": "Leads"}, "page": 1}}


def code_of(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["code"]


async def test_a_result_comes_as_zoho_sends_it() -> None:
    """A ZIP with a quoted file name, a length, and the file called after the job."""
    async with Sandbox(SMALL) as sandbox:
        answer = await ask(sandbox.url, RESULT.format(ID))
        assert answer.status == 200
        assert answer.headers["content-disposition"] == f'attachment; filename="{ID}.zip"'
        assert answer.headers["content-type"] == "application/zip"
        assert int(answer.headers["content-length"]) == len(answer.body)
        with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
            assert archive.namelist() == [f"{ID}.csv"]
            assert archive.read(f"{ID}.csv") == sandbox.file_of(ID)
        await ended(sandbox)
        (arrival,) = sandbox.results(ID)
        assert arrival.whole
        assert arrival.counted
        assert arrival.sent_bytes == len(answer.body)


async def test_a_job_goes_from_added_to_completed_and_is_gone_after_its_day() -> None:
    """States follow the clock; the result is there only when completed, and for keep_s."""
    async with Sandbox(SandboxOptions(records=3, prepare_s=60.0, keep_s=100.0)) as sandbox:
        made = await ask(sandbox.url, READ, method="POST", json=LEADS)
        details = made.json["data"][0]["details"]
        assert made.status == 201
        assert made.json["data"][0]["code"] == "ADDED_SUCCESSFULLY"
        assert details["state"] == "ADDED"
        job = sandbox.job(details["id"])
        # A whole birth time, so that no sum of ages is rounded across an edge.
        same = replace(job, born_s=1000.0)
        states = [same.state(1000.0 + age, 100.0) for age in (0.0, 30.0, 60.0, 159.0, 160.0)]
        assert states == ["ADDED", "IN PROGRESS", "COMPLETED", "COMPLETED", None]
        assert code_of(await ask(sandbox.url, RESULT.format(job.id))) == (404, "RESOURCE_NOT_FOUND")


async def test_the_status_tells_count_and_a_relative_download_url() -> None:
    """A completed job names its records and a path on the same host."""
    async with Sandbox(SMALL) as sandbox:
        made = await ask(sandbox.url, READ, method="POST", json=LEADS)
        job_id = made.json["data"][0]["details"]["id"]
        (job,) = (await ask(sandbox.url, f"{READ}/{job_id}")).json["data"]
        assert job["state"] == "COMPLETED"
        assert job["result"] == {
            "page": 1,
            "per_page": 200_000,
            "count": 3,
            "download_url": f"{READ}/{job_id}/result",
            "more_records": False,
        }
        assert job["file_type"] == "csv"
        assert (await ask(sandbox.url, job["result"]["download_url"])).status == 200


async def test_pages_follow_one_another_by_token() -> None:
    """With more records than a page holds, next_page_token alone creates the next page's job."""
    options = SandboxOptions(prepare_s=0.0, module_records=5, per_page=2)
    async with Sandbox(options) as sandbox:
        query: dict[str, object] = LEADS["query"]
        counts = []
        while query:
            made = await ask(sandbox.url, READ, method="POST", json={"query": query})
            job_id = made.json["data"][0]["details"]["id"]
            result = (await ask(sandbox.url, f"{READ}/{job_id}")).json["data"][0]["result"]
            counts.append(result["count"])
            token = result.get("next_page_token")
            assert result["more_records"] == (token is not None)
            query = {"page_token": token} if token else {}
        assert counts == [2, 2, 1]
        foreign = {"query": {"page_token": "made-up"}}
        refused = await ask(sandbox.url, READ, method="POST", json=foreign)
        assert refused.json["data"][0]["code"] == "INVALID_DATA"


async def test_calendars_are_made_of_events_only() -> None:
    """file_type ics is taken for the module Events and refused for others."""
    async with Sandbox(SMALL) as sandbox:
        events = {"query": {"module": {"api_name": "Events"}}, "file_type": "ics"}
        made = await ask(sandbox.url, READ, method="POST", json=events)
        job_id = made.json["data"][0]["details"]["id"]
        assert sandbox.file_of(job_id).startswith(b"BEGIN:VCALENDAR\r\n")
        refused = await ask(sandbox.url, READ, method="POST", json={**LEADS, "file_type": "ics"})
        assert refused.status == 400


async def test_create_wants_json_and_a_module() -> None:
    """Not JSON: 415; no module: MANDATORY_NOT_FOUND inside data; v2 names it plainly."""
    async with Sandbox(SMALL) as sandbox:
        plain = await ask(sandbox.url, READ, method="POST", data=b"{}")
        assert code_of(plain) == (415, "MEDIA_TYPE_NOT_SUPPORTED")
        empty = await ask(sandbox.url, READ, method="POST", json={"query": {}})
        assert empty.json["data"][0]["code"] == "MANDATORY_NOT_FOUND"
        old = {"query": {"module": "Leads"}}
        made = await ask(sandbox.url, "/crm/bulk/v2/read", method="POST", json=old)
        assert made.status == 201


async def test_addresses_and_methods_that_do_not_exist_are_refused_in_zohos_words() -> None:
    """Wrong path: INVALID_URL_PATTERN; wrong method: INVALID_REQUEST_METHOD, and it is counted."""
    async with Sandbox(SandboxOptions(records=3, paths="bulk")) as sandbox:
        for path in ("/", "/crm/v8/read/1/result", "/crm/bulk/v9/read/1", "/crm/bulk/v8/read/x1"):
            assert code_of(await ask(sandbox.url, path)) == (404, "INVALID_URL_PATTERN")
        posted = await ask(sandbox.url, RESULT.format(ID), method="POST")
        assert code_of(posted) == (400, "INVALID_REQUEST_METHOD")
        assert (await ask(sandbox.url, RESULT.format(ID), method="HEAD")).status == 400
        assert [arrival.counted for arrival in sandbox.results()] == [True, True]


@pytest.mark.parametrize(
    ("spec", "status", "code"),
    [
        (JobSpec(error="NO_PERMISSION"), 403, "NO_PERMISSION"),
        (JobSpec(expired=True), 404, "RESOURCE_NOT_FOUND"),
        (JobSpec(state="FAILURE"), 404, "RESOURCE_NOT_FOUND"),
        (JobSpec(ready_after_s=1e9), 404, "RESOURCE_NOT_FOUND"),
        (JobSpec(account="other"), 404, "RESOURCE_NOT_FOUND"),
    ],
)
async def test_jobs_that_cannot_be_had(spec: JobSpec, status: int, code: str) -> None:
    """Forbidden, expired, failed, unfinished and other people's jobs have no result."""
    async with Sandbox(SandboxOptions(jobs={ID: spec}, implicit=False)) as sandbox:
        assert code_of(await ask(sandbox.url, RESULT.format(ID))) == (status, code)
        assert code_of(await ask(sandbox.url, RESULT.format(9))) == (404, "RESOURCE_NOT_FOUND")


@pytest.mark.parametrize(("kind", "status"), [("202", 202), ("204", 204), ("empty", 200)])
async def test_an_unfinished_job_can_be_answered_in_every_way(kind: str, status: int) -> None:
    """not_ready chooses among the forms that clients must tolerate."""
    options = SandboxOptions(jobs={ID: JobSpec(state="IN PROGRESS")}, not_ready=kind)  # type: ignore[arg-type]
    async with Sandbox(options) as sandbox:
        answer = await ask(sandbox.url, RESULT.format(ID))
        assert (answer.status, answer.body) == (status, b"")
        await ended(sandbox)
        assert not sandbox.results()[0].whole


async def test_a_failed_job_says_so_in_its_status() -> None:
    """FAILURE comes with Zoho's error_message and without a download_url."""
    async with Sandbox(SandboxOptions(jobs={ID: JobSpec(state="FAILURE")})) as sandbox:
        (job,) = (await ask(sandbox.url, f"{READ}/{ID}")).json["data"]
        assert job["result"]["error_message"]["code"] == "INTERNAL_SERVER_ERROR"


async def test_named_ids_behave_as_their_endings_say() -> None:
    """…990404 is unknown, …990777 a calendar; with named_ids off both are plain."""
    async with Sandbox(SMALL) as sandbox:
        assert (await ask(sandbox.url, RESULT.format("554023000000990404"))).status == 404
        assert sandbox.file_of("554023000000990777").startswith(b"BEGIN:VCALENDAR")
    async with Sandbox(SandboxOptions(records=3, named_ids=False)) as sandbox:
        assert (await ask(sandbox.url, RESULT.format("554023000000990404"))).status == 200
        assert sandbox.file_of("554023000000990777").startswith(b"Id,")


async def test_the_eleventh_download_is_refused_and_the_log_knows_it() -> None:
    """Ten pass, then 429 with Retry-After; all eleven arrivals are in the log, ten counted."""
    async with Sandbox(SandboxOptions(records=3, retry_after="seconds")) as sandbox:
        answers = [await ask(sandbox.url, RESULT.format(n)) for n in range(11)]
        assert [answer.status for answer in answers] == [200] * 10 + [429]
        assert code_of(answers[-1]) == (429, "TOO_MANY_REQUESTS")
        assert answers[-1].headers["retry-after"] == "60"
        assert sandbox.worst_in() == 11
        assert sum(arrival.counted for arrival in sandbox.log) == 10


async def test_every_account_has_its_own_window() -> None:
    """Tokens tell accounts apart; one account's lock-out is no other's."""
    options = SandboxOptions(records=3, requests=1)
    async with Sandbox(options) as sandbox:
        statuses = [
            (await ask(sandbox.url, RESULT.format(1), token=token)).status
            for token in ("a", "b", "a", None)
        ]
        assert statuses == [200, 200, 429, 200]
        assert sandbox.worst_in() == 2
        assert len({arrival.account for arrival in sandbox.log}) == 3
        assert not any(arrival.account in ("a", "b") for arrival in sandbox.log)


async def test_too_many_downloads_at_once_are_refused_with_the_same_code() -> None:
    """The concurrency cap answers 429 although the window has room."""
    options = SandboxOptions(records=3, concurrency=1, faults={"1": ("stall_before_head",)})
    async with Sandbox(options) as sandbox:
        first = asyncio.create_task(raw(sandbox.url, RESULT.format(1)))
        while not sandbox.log:
            await asyncio.sleep(0.01)
        assert code_of(await ask(sandbox.url, RESULT.format(2))) == (429, "TOO_MANY_REQUESTS")
        first.cancel()


async def test_somebody_else_takes_his_share_of_the_window() -> None:
    """A foreigner's requests count for the account, but are not the client's in the log."""
    async with Sandbox(SandboxOptions(records=3, requests=2, foreigners={"default": 1})) as sandbox:
        while not sandbox.log:
            await asyncio.sleep(0)
        statuses = [(await ask(sandbox.url, RESULT.format(1))).status for _ in range(2)]
        assert statuses == [200, 429]
        assert sandbox.worst_in() == 2


AUTH = SandboxOptions(
    records=3,
    requests=1000,
    auth=True,
    accounts={
        "default": AccountSpec(refresh_tokens=("r",), client_id="c", client_secret="s"),
        "wrong-scope": AccountSpec(access_tokens=("w",), error="OAUTH_SCOPE_MISMATCH"),
    },
)
FORM = {"grant_type": "refresh_token", "refresh_token": "r", "client_id": "c", "client_secret": "s"}


async def refresh(sandbox: Sandbox, **changes: str) -> Answer:
    form = {**FORM, **changes}
    return await ask(sandbox.url, "/oauth/v2/token", method="POST", data=form)


async def test_a_refreshed_token_opens_what_a_foreign_one_does_not() -> None:
    """With auth on: no token, an unknown one, a fresh one, an expired one."""
    async with Sandbox(AUTH) as sandbox:
        path = RESULT.format(ID)
        assert code_of(await ask(sandbox.url, path)) == (401, "INVALID_TOKEN")
        assert code_of(await ask(sandbox.url, path, token="x")) == (401, "INVALID_TOKEN")
        fresh = (await refresh(sandbox)).json
        assert fresh["api_domain"] == sandbox.url
        assert fresh["expires_in"] == 3600
        assert "refresh_token" not in fresh
        token = fresh["access_token"]
        assert (await ask(sandbox.url, path, token=token)).status == 200
        sandbox.expire_tokens()
        assert code_of(await ask(sandbox.url, path, token=token)) == (401, "INVALID_TOKEN")
        wrong = await ask(sandbox.url, path, token="w")
        assert code_of(wrong) == (401, "OAUTH_SCOPE_MISMATCH")
        assert [arrival.account for arrival in sandbox.results()][2:] == ["default"] * 2 + [
            "wrong-scope"
        ]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_id": "x"}, "invalid_client"),
        ({"client_secret": "x"}, "invalid_client_secret"),
        ({"refresh_token": "x"}, "invalid_code"),
    ],
)
async def test_the_token_endpoint_says_its_errors_with_status_200(
    changes: dict[str, str], error: str
) -> None:
    """Zoho's errors of the token endpoint are in the body only."""
    async with Sandbox(AUTH) as sandbox:
        answer = await refresh(sandbox, **changes)
        assert (answer.status, answer.json) == (200, {"error": error})


async def test_a_revoked_refresh_token_gives_nothing_more() -> None:
    """After revoke: invalid_code, and the access tokens are dead."""
    async with Sandbox(AUTH) as sandbox:
        token = (await refresh(sandbox)).json["access_token"]
        sandbox.revoke()
        assert (await refresh(sandbox)).json == {"error": "invalid_code"}
        assert (await ask(sandbox.url, RESULT.format(ID), token=token)).status == 401


async def test_the_eleventh_refresh_in_ten_minutes_is_denied() -> None:
    """Ten access tokens per refresh token, then "Access Denied" with the status asked for."""
    async with Sandbox(AUTH) as sandbox:
        answers = [await refresh(sandbox) for _ in range(11)]
        assert all("access_token" in answer.json for answer in answers[:10])
        assert answers[10].status == 400
        assert answers[10].json["error"] == "Access Denied"


async def test_a_token_can_end_after_so_many_calls() -> None:
    """token_life_requests: good twice, then INVALID_TOKEN until the next refresh."""
    options = SandboxOptions(records=3, auth=True, token_life_requests=2)
    async with Sandbox(options) as sandbox:
        token = sandbox.issue_token()
        statuses = [
            (await ask(sandbox.url, RESULT.format(1), token=token)).status for _ in range(3)
        ]
        assert statuses == [200, 200, 401]


async def test_the_sixteenth_token_kills_the_oldest() -> None:
    """Fifteen access tokens are alive at once."""
    async with Sandbox(SandboxOptions(records=3, requests=99, auth=True)) as sandbox:
        tokens = [sandbox.issue_token() for _ in range(16)]
        path = RESULT.format(1)
        assert (await ask(sandbox.url, path, token=tokens[0])).status == 401
        assert (await ask(sandbox.url, path, token=tokens[1])).status == 200


async def test_ranges_are_honoured_where_offered_and_guarded_by_if_range() -> None:
    """206 for a range; the whole for another If-Range or where not offered; 416 beyond the end."""
    path = RESULT.format(ID)
    async with Sandbox(SandboxOptions(records=3, ranges=True, etag=True)) as sandbox:
        whole = await ask(sandbox.url, path)
        etag = whole.headers["etag"]
        asked = {"Range": "bytes=100-", "If-Range": etag}
        rest = await ask(sandbox.url, path, headers=asked)
        total = len(whole.body)
        assert rest.status == 206
        assert rest.headers["content-range"] == f"bytes 100-{total - 1}/{total}"
        assert rest.body == whole.body[100:]
        middle = await ask(sandbox.url, path, headers={"Range": "bytes=5-9"})
        assert middle.body == whole.body[5:10]
        changed = await ask(sandbox.url, path, headers={**asked, "If-Range": '"other"'})
        assert (changed.status, changed.body) == (200, whole.body)
        beyond = await ask(sandbox.url, path, headers={"Range": f"bytes={total}-"})
        assert beyond.status == 416
        assert sandbox.results()[1].range == "bytes=100-"
    async with Sandbox(SandboxOptions(records=3)) as sandbox:
        plain = await ask(sandbox.url, path, headers={"Range": "bytes=100-"})
        assert (plain.status, plain.body) == (200, whole.body)
        assert "accept-ranges" not in plain.headers


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_all_framings_carry_the_same_bytes(framing: str) -> None:
    """Content-Length, chunks and close-delimited bodies are equal, slowed down or not."""
    options = SandboxOptions(records=300, framing=framing, bandwidth_bytes_per_s=1e6)  # type: ignore[arg-type]
    async with Sandbox(options) as sandbox:
        answer = await ask(sandbox.url, RESULT.format(ID))
        body = sandbox.zip_of(ID)
        assert answer.body == body.read(0, body.length)
        assert ("content-length" in answer.headers) == (framing == "length")
        await ended(sandbox)
        assert sandbox.results()[0].whole


async def test_it_serves_over_tls() -> None:
    """With an SSL context the URL is https, and a body of megabytes comes whole."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    options = SandboxOptions(jobs={ID: JobSpec(payload_bytes=5 << 20)})
    async with Sandbox(options, ssl_context=server) as sandbox:
        assert sandbox.url.startswith("https://127.0.0.1:")
        answer = await ask(sandbox.url, RESULT.format(ID), ssl=client)
        assert len(answer.body) == sandbox.zip_of(ID).length
        await ended(sandbox)
        assert sandbox.results()[0].whole


async def test_it_runs_in_a_thread_of_its_own() -> None:
    """SandboxThread serves whatever the client's loop does, and takes changes through call."""
    async with SandboxThread(SMALL) as thread:
        thread.call(lambda sandbox: sandbox.fault(ID, "NO_PERMISSION"))
        assert (await ask(thread.url, RESULT.format(ID))).status == 403
        assert (await ask(thread.url, RESULT.format(ID))).status == 200
        assert thread.worst_in() == len(thread.log) == 2


async def test_jobs_change_while_it_runs() -> None:
    """put_job replaces what an id stands for, its script of faults included."""
    async with Sandbox(SMALL) as sandbox:
        sandbox.put_job(ID, JobSpec(content=b"literal", faults=("NO_PERMISSION",)))
        assert (await ask(sandbox.url, RESULT.format(ID))).status == 403
        assert (await ask(sandbox.url, RESULT.format(ID))).body == b"literal"


def test_its_windows_move_with_the_clock_of_its_loop() -> None:
    """On a virtual clock a minute's lock-out passes in no time, and not before a minute."""

    async def main() -> list[int]:
        async with Sandbox(SMALL) as sandbox:
            statuses = [(await ask(sandbox.url, RESULT.format(n))).status for n in range(11)]
            await asyncio.sleep(59)
            statuses.append((await ask(sandbox.url, RESULT.format(11))).status)
            await asyncio.sleep(1.1)
            statuses.append((await ask(sandbox.url, RESULT.format(12))).status)
            assert sandbox.worst_in() == 12
            return statuses

    assert run_virtual(main()) == [200] * 10 + [429, 429, 200]

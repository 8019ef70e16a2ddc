"""Calls that are not downloads: bodies, refusals, lost answers, budgets, callbacks, scopes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.support.sandbox_calls import READ, create, created, query, status
from tests.support.sandbox_http import RESULT, Answer, ask
from tests.support.virtual_clock import run_virtual

from bulkfetch.sandbox import AccountSpec, JobPlan, ModuleSpec, Sandbox, SandboxOptions

pytestmark = pytest.mark.anyio

LEADS = query("Leads")
GETTING = {"method": "get", "url": "http://a"}
FTP = {"method": "post", "url": "ftp://a"}


def org(**more: Any) -> SandboxOptions:
    return SandboxOptions(**{"records": 5, "prepare_s": 0.0, **more})


# As Zoho's own SDK sends them.
GOLDEN = [
    '{"query":{"cvid":5725767000000087501,"criteria":{"group_operator":"and","group":[{"comparator":'
    '"between","field":{"api_name":"Modified_Time"},"value":["2021-02-22T15:39:26+05:30",'
    '"2021-07-20T09:00:00+05:30"]},{"comparator":"equal","field":{"api_name":"$converted"},"value":'
    'false}]},"module":{"api_name":"Leads"},"page":1,"fields":["Last_Name","Owner.last_name"]},'
    '"callback":{"method":"post","url":"https://www.example.com/callback"}}',
    '{"query":{"criteria":{"comparator":"equal","field":{"api_name":"Last_Name"},"value":"Boyle"},'
    '"module":{"api_name":"Contacts"}}}',
    '{"file_type":"ics","query":{"module":{"api_name":"Events"}}}',
]


@pytest.mark.parametrize("body", GOLDEN, ids=["criteria", "criterion", "ics"])
async def test_bodies_of_zohos_sdk_are_taken(body: str) -> None:
    """Custom view as a number, groups, fields, callback, calendars: 201, and the query echoed."""
    async with Sandbox(org()) as sandbox:
        asked = json.loads(body)
        job = await status(sandbox, await created(sandbox, asked))
        told = job["query"]
        assert told["module"].pop("id")
        assert told == {"page": 1} | asked["query"]
        assert job["file_type"] == asked.get("file_type", "csv")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "REQUEST_BODY_IS_EMPTY"),
        (b"{", "REQUEST_BODY_NOT_READABLE"),
        (b"[" * 5000, "REQUEST_BODY_NOT_READABLE"),
        (b"[]", "REQUEST_BODY_NOT_SUPPORTED"),
        (b'{"query":{},"x":1}', "REQUEST_BODY_NOT_SUPPORTED"),
        (b'{"query":[]}', "MANDATORY_NOT_FOUND"),
        (json.dumps({**LEADS, "callback": GETTING}), "INVALID_CALLBACK_METHOD"),
        (json.dumps({**LEADS, "callback": FTP}), "INVALID_CALLBACK_URL"),
        (json.dumps(query("Leads", page=0)), "INVALID_DATA"),
        (json.dumps(query("Leads", page=True)), "INVALID_DATA"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["data", "top"])
async def test_refusals_stand_where_told(body: bytes, code: str, place: str) -> None:
    """create_errors: inside `data`, or at the top level."""
    async with Sandbox(org(create_errors=place)) as sandbox:
        headers = {"Content-Type": "application/json"}
        answer = await ask(sandbox.url, READ, method="POST", data=body, headers=headers)
        assert answer.status == 400
        (told,) = answer.json["data"] if place == "data" else [answer.json]
        assert (told["code"], told["status"]) == (code, "error")
        assert sandbox.created() == []


def test_a_job_goes_through_five_states() -> None:
    """ADDED, QUEUED, IN PROGRESS, then COMPLETED or FAILURE; a module can take its own time."""

    async def main() -> None:
        modules = {"Deals": ModuleSpec(prepare_s=60.0)}
        plans = {"Deals": (JobPlan(), JobPlan(state="FAILURE"))}
        async with Sandbox(org(modules=modules, plans=plans)) as sandbox:
            jobs = [await created(sandbox, query("Deals")) for _ in range(2)]
            seen: list[list[str]] = [[], []]
            for _ in range(7):
                for number, job in enumerate(jobs):
                    told = await status(sandbox, job)
                    seen[number].append(told["state"])
                    assert ("result" in told) == (told["state"] in ("COMPLETED", "FAILURE"))
                await asyncio.sleep(10)
            way = ["ADDED", "QUEUED", *["IN PROGRESS"] * 4]
            assert seen == [[*way, "COMPLETED"], [*way, "FAILURE"]]
            leads = await status(sandbox, await created(sandbox, LEADS))
            assert leads["state"] == "COMPLETED"

    run_virtual(main())


@pytest.mark.parametrize("token", [False, True])
async def test_an_unfinished_job_can_have_a_result_already(token: bool) -> None:
    """unfinished_result and token_on_unfinished: what only the state tells apart."""
    options = org(prepare_s=1e6, per_page=2, unfinished_result=True, token_on_unfinished=token)
    async with Sandbox(options) as sandbox:
        job = await status(sandbox, await created(sandbox, LEADS))
        assert job["state"] == "ADDED"
        assert job["result"]["more_records"]
        assert ("next_page_token" in job["result"]) == token


@pytest.mark.parametrize("fault", ["close_before_head", "reset_before_head", "INTERNAL_ERROR"])
@pytest.mark.parametrize("accepted", [True, False])
async def test_an_answer_is_lost_after_or_before_the_call_was_carried_out(
    fault: str, accepted: bool
) -> None:
    """A fault under "create" strikes when the job is made; with `unaccepted:` there is none."""
    name = fault if accepted else f"unaccepted:{fault}"
    async with Sandbox(org(faults={"create:Leads": (name,)})) as sandbox:
        assert (await create(sandbox, query("Deals"))).status == 201
        if fault == "INTERNAL_ERROR":
            assert (await create(sandbox, LEADS)).status == 500
        else:
            with pytest.raises(aiohttp.ClientError):
                await create(sandbox, LEADS)
        assert len(sandbox.created("Leads")) == accepted
        assert (await create(sandbox, LEADS)).status == 201
        first, second = sandbox.arrivals("create", module="Leads")
        assert (first.job_id is not None) == accepted
        assert first.credits == second.credits == 50
        assert second.job_id


async def test_unaccepted_names_a_fault_that_exists() -> None:
    """A slip behind the colon is found at once, too."""
    with pytest.raises(ValueError, match="did you mean 'INTERNAL_ERROR'"):
        Sandbox(org(faults={"create": ("unaccepted:INTERNAL_EROR",)}))


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("status", f"{READ}/554023000000568002"),
        ("modules", "/crm/v8/settings/modules"),
        ("fields", "/crm/v8/settings/fields?module=Leads"),
        ("count", "/crm/v8/Leads/actions/count"),
        ("deleted:Leads", "/crm/v8/Leads/deleted?type=all"),
    ],
)
async def test_every_call_can_go_wrong_by_script(kind: str, path: str) -> None:
    """Scripts under the kind of a call strike once; a wrong method is refused."""
    async with Sandbox(org(faults={kind: ("html_502", "zoho_error:LIMIT_REACHED")})) as sandbox:
        assert (await ask(sandbox.url, path)).status == 502
        assert (await ask(sandbox.url, path)).json["code"] == "LIMIT_REACHED"
        assert (await ask(sandbox.url, path)).status in (200, 204)
        wrong = await ask(sandbox.url, path, method="PUT")
        assert wrong.json["code"] == "INVALID_REQUEST_METHOD"


def remaining(answer: Answer) -> str | None:
    return answer.headers.get("x-api-credits-remaining")


def test_credits_run_out_and_come_back_after_a_day() -> None:
    """A create is 50, deleted ids 2, all else 1; told from half on; then 429 for a day."""

    async def main() -> None:
        async with Sandbox(org(credits_per_day=104)) as sandbox:
            assert remaining(await ask(sandbox.url, "/crm/v8/settings/modules")) is None
            made = await create(sandbox, LEADS)
            assert (made.status, remaining(made)) == (201, None)
            gone = await ask(sandbox.url, "/crm/v8/Leads/deleted?type=all")
            assert (gone.status, remaining(gone)) == (204, "51")
            await asyncio.sleep(3600)
            second = await create(sandbox, LEADS)
            assert (second.status, remaining(second)) == (201, "1")
            third = await create(sandbox, LEADS)
            assert (third.status, third.json["code"]) == (429, "TOO_MANY_REQUESTS")
            assert remaining(third) == "1"
            assert remaining(await ask(sandbox.url, RESULT.format(9))) == "0"
            assert (await ask(sandbox.url, RESULT.format(9))).status == 429
            assert sandbox.credits_spent() == 104
            assert len(sandbox.created()) == 2
            await asyncio.sleep(86_400 - 3600)
            assert (await create(sandbox, LEADS)).status == 201

    run_virtual(main())


def test_creates_per_minute_are_limited_apart_from_the_window() -> None:
    """Two creates pass in a minute; the window of downloads is not touched by the third."""

    async def main() -> None:
        options = org(creates_per_minute=2, retry_after="seconds", requests=1)
        async with Sandbox(options) as sandbox:
            answers = [await create(sandbox, LEADS) for _ in range(3)]
            assert [answer.status for answer in answers] == [201, 201, 429]
            assert answers[2].headers["retry-after"] == "60"
            assert (await ask(sandbox.url, RESULT.format(1))).status == 200
            await asyncio.sleep(60)
            assert (await create(sandbox, LEADS)).status == 201

    run_virtual(main())


async def test_the_cap_on_calls_at_once_counts_all_of_them() -> None:
    """While a status call hangs, a download and a create are one too many; tokens are not."""
    options = org(concurrency=1, faults={"status": ("stall_before_head",)})
    async with Sandbox(options) as sandbox:
        hanging = asyncio.create_task(ask(sandbox.url, f"{READ}/5"))
        while not sandbox.log:
            await asyncio.sleep(0.01)
        assert (await ask(sandbox.url, RESULT.format(2))).status == 429
        assert (await create(sandbox, LEADS)).status == 429
        form = {"grant_type": "refresh_token", "refresh_token": "r"}
        token = await ask(sandbox.url, "/oauth/v2/token", method="POST", data=form)
        assert "access_token" in token.json
        assert sandbox.credits_spent() == 1
        hanging.cancel()


async def test_the_end_of_a_job_is_posted_to_its_callback() -> None:
    """On completion and on failure, the very body of the status call."""
    got: list[Any] = []

    async def receive(request: web.BaseRequest) -> web.Response:
        got.append(await request.json())
        return web.Response(status=200)

    runner = web.ServerRunner(web.Server(receive))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/done"
    try:
        plans = {"Leads": (JobPlan(), JobPlan(state="FAILURE"))}
        async with Sandbox(org(plans=plans, prepare_s=0.05)) as sandbox:
            body = {**LEADS, "callback": {"method": "post", "url": url}}
            ids = [await created(sandbox, body) for _ in range(2)]
            while len(sandbox.callbacks) < 2:
                await asyncio.sleep(0.01)
            assert got == [each.body for each in sandbox.callbacks]
            for job_id, told in zip(ids, got, strict=True):
                assert told == {"data": [await status(sandbox, job_id)]}
            assert [each["data"][0]["state"] for each in got] == ["COMPLETED", "FAILURE"]
            assert {each.status for each in sandbox.callbacks} == {200}
    finally:
        await runner.cleanup()


async def test_a_callback_to_another_machine_is_noted_and_not_sent() -> None:
    """Nothing leaves this machine, whatever address a create call names."""
    async with Sandbox(org()) as sandbox:
        await created(sandbox, json.loads(GOLDEN[0]))
        while not sandbox.callbacks:
            await asyncio.sleep(0.01)
        (post,) = sandbox.callbacks
        assert (post.url, post.status) == ("https://www.example.com/callback", None)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("ZohoCRM.bulk.read", {"status"}),
        ("ZohoCRM.bulk.read,ZohoCRM.modules.ALL", {"status", "create", "count", "deleted"}),
        ("ZohoCRM.bulk.read, ZohoCRM.modules.Leads.READ", {"status", "create", "count", "deleted"}),
        ("ZohoCRM.bulk.read,ZohoCRM.modules.Deals.READ", {"status"}),
        ("ZohoCRM.modules.READ", {"status", "count", "deleted"}),
        ("ZohoCRM.settings.fields.READ", {"fields"}),
        ("ZohoCRM.settings.ALL", {"fields", "modules"}),
    ],
)
async def test_each_call_wants_its_scope(scope: str, expected: set[str]) -> None:
    """check_scopes: without it, 401 OAUTH_SCOPE_MISMATCH, and nothing is charged."""
    spec = AccountSpec(access_tokens=("t",), scope=scope)
    async with Sandbox(org(check_scopes=True, accounts={"it": spec})) as sandbox:
        paths = {
            "status": f"{READ}/7",
            "modules": "/crm/v8/settings/modules",
            "fields": "/crm/v8/settings/fields?module=Leads",
            "count": "/crm/v8/Leads/actions/count",
            "deleted": "/crm/v8/Leads/deleted?type=all",
        }
        answers = {kind: await ask(sandbox.url, path, token="t") for kind, path in paths.items()}
        answers["create"] = await create(sandbox, LEADS, token="t")
        allowed = {kind for kind, answer in answers.items() if answer.status < 400}
        assert allowed == expected
        refused = {each.json["code"] for kind, each in answers.items() if kind not in expected}
        assert refused == {"OAUTH_SCOPE_MISMATCH"}
        assert {each.kind for each in sandbox.log if each.credits} == expected


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("?type=some", {}),
        ("", {}),
        ("?type=all&per_page=201", {}),
        ("?type=all&page=0", {}),
        ("?type=all&page=x", {}),
        ("?type=all", {"If-Modified-Since": "yesterday"}),
    ],
)
async def test_deleted_records_are_asked_for_as_documented(
    path: str, headers: dict[str, str]
) -> None:
    """A type is needed, 200 a page at most, a date-time as the lower bound."""
    async with Sandbox(org()) as sandbox:
        answer = await ask(sandbox.url, f"/crm/v8/Leads/deleted{path}", headers=headers)
        assert (answer.status, answer.json["code"]) == (400, "INVALID_DATA")

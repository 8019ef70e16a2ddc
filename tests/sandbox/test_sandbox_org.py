"""The org: records, fields, pages and what changes while a chain runs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.sandbox_calls import chain, create, created, found, query, result_rows, status
from tests.support.sandbox_http import ask
from tests.support.virtual_clock import run_virtual

from bulkfetch.sandbox import FieldSpec, JobPlan, ModuleSpec, Sandbox, SandboxOptions

pytestmark = pytest.mark.anyio

EPOCH = datetime(2026, 9, 30, 2, 0, tzinfo=UTC)


def org(**more: Any) -> SandboxOptions:
    return SandboxOptions(**{"module_records": 25, "prepare_s": 0.0, "requests": 1000, **more})


async def test_a_job_without_fields_holds_every_record_with_all_columns_it_can() -> None:
    """Id comes first; unlisted columns are there, `$converted` and refused types are not."""
    async with Sandbox(org()) as sandbox:
        rows = await found(sandbox, query("Leads"))
        assert rows == sandbox.rows("Leads")
        assert len({row["Id"] for row in rows}) == len(rows) == 25
        columns = list(rows[0])
        assert columns[0] == "Id"
        assert {"Owner", "Created_Time", "Change_Log_Time__s", "Score"} <= set(columns)
        assert not {"$converted", "Resume"} & set(columns)


async def test_fields_come_in_the_order_asked_for_behind_the_id() -> None:
    """Lookups are ids, dotted names are the parent's values, `$converted` can be had by name."""
    asked = ["Email", "Account_Name", "Account_Name.Phone", "Owner.last_name", "Id"]
    async with Sandbox(org()) as sandbox:
        rows = await found(sandbox, query("Contacts", fields=asked))
        assert list(rows[0]) == ["Id", *asked[:-1]]
        phones = {row["Id"]: row["Phone"] for row in sandbox.rows("Accounts")}
        owners = {row["Id"]: row["last_name"] for row in sandbox.rows("users")}
        owned = sandbox.rows("Contacts", ["Owner"])
        for row, whose in zip(rows, owned, strict=True):
            assert row["Account_Name.Phone"] == phones.get(row["Account_Name"], "")
            assert row["Owner.last_name"] == owners[whose["Owner"]]
        converted = await found(sandbox, query("Leads", fields=["$converted"]))
        assert {row["$converted"] for row in converted} <= {"true", "false"}


def test_what_changes_is_exported_and_stamped_by_the_servers_clock() -> None:
    """insert, modify and delete show in the next job, with Modified_Time on the virtual clock."""

    async def main() -> None:
        async with Sandbox(org(epoch=EPOCH, csv_zone="utc")) as sandbox:
            assert sandbox.now == EPOCH
            first, second = (row["Id"] for row in sandbox.rows("Leads")[:2])
            await asyncio.sleep(3600)
            new = sandbox.insert("Leads", {"Last_Name": "New, one", "Annual_Revenue": 5})
            sandbox.modify("Leads", first, {"City": 'Os"lo'})
            sandbox.modify("Leads", second, {"Score": 1.5}, touch=False)
            sandbox.delete("Leads", sandbox.rows("Leads")[2]["Id"])
            rows = {row["Id"]: row for row in await found(sandbox, query("Leads"))}
            assert len(rows) == 25
            assert rows[new]["Last_Name"] == "New, one"
            assert rows[new]["Created_Time"] == "2026-09-30T03:00:00+00:00"
            assert rows[first]["Modified_Time"] == "2026-09-30T03:00:00+00:00"
            assert rows[first]["City"] == 'Os"lo'
            assert rows[second]["Score"] == "1.5"
            assert rows[second]["Modified_Time"] < "2026"
            job = await status(sandbox, await created(sandbox, query("Leads")))
            assert job["created_time"] == "2026-09-29T20:00:00-07:00"
            answer = await ask(sandbox.url, "/crm/v8/settings/modules")
            assert answer.headers["date"] == "Wed, 30 Sep 2026 03:00:00 GMT"

    run_virtual(main())


async def test_a_chain_that_is_a_snapshot_sees_no_change() -> None:
    """Pages of one chain are cut out of what page 1 saw."""
    async with Sandbox(org(per_page=10)) as sandbox:
        before = sandbox.rows("Leads")
        job_id = await created(sandbox, query("Leads"))
        token = (await status(sandbox, job_id))["result"]["next_page_token"]
        sandbox.insert("Leads", {"Last_Name": "X"})
        sandbox.delete("Leads", before[3]["Id"])
        sandbox.modify("Leads", before[12]["Id"], {"Last_Name": "Y"})
        second = await found(sandbox, {"query": {"page_token": token}})
        assert second == before[10:20]
        assert await chain(sandbox, query("Leads")) != [before[:10], before[10:20], before[20:]]


@pytest.mark.parametrize(("mode", "second"), [("live", [10, 11]), ("shifting", [11, 12])])
async def test_live_pages_go_on_behind_the_last_record_or_so_many_records(
    mode: str, second: list[int]
) -> None:
    """After a deletion in page 1, `live` leaves nothing out and `shifting` one record."""
    async with Sandbox(org(per_page=10, pages=mode)) as sandbox:
        before = [row["Id"] for row in sandbox.rows("Leads")]
        job_id = await created(sandbox, query("Leads"))
        token = (await status(sandbox, job_id))["result"]["next_page_token"]
        sandbox.delete("Leads", before[0])
        rows = await found(sandbox, {"query": {"page_token": token}})
        assert [row["Id"] for row in rows[:2]] == [before[n] for n in second]
        # What the first job found stays what it was.
        assert [row["Id"] for row in await result_rows(sandbox, job_id)] == before[:10]


async def test_before_version_7_pages_have_numbers_and_no_tokens() -> None:
    """Each numbered page is a query of its own; a page behind the last is empty."""
    path = "/crm/bulk/v6/read"
    async with Sandbox(org(per_page=10)) as sandbox:
        seen = []
        for page in (1, 2, 3, 4):
            job_id = await created(sandbox, query("Leads", page=page), path=path)
            result = (await status(sandbox, job_id, path=path))["result"]
            assert "next_page_token" not in result
            assert result["page"] == page
            assert result["more_records"] == (page < 3)
            seen += await result_rows(sandbox, job_id)
        assert seen == sandbox.rows("Leads")
        far = await create(sandbox, query("Leads", page=51), path=path)
        assert far.json["data"][0]["code"] == "PAGE_RANGE_EXCEEDED"


@pytest.mark.parametrize(("kind", "page"), [("same", 1), ("next", 2), ("refused", None)])
async def test_a_page_number_on_v8_does_what_is_told(kind: str, page: int | None) -> None:
    """page_on_v7: page 1 again, page 2, or PAGE_NOT_SUPPORTED."""
    async with Sandbox(org(per_page=10, page_on_v7=kind)) as sandbox:
        answer = await create(sandbox, query("Leads", page=2))
        if page is None:
            assert answer.json["data"][0]["code"] == "PAGE_NOT_SUPPORTED"
        else:
            job_id = answer.json["data"][0]["details"]["id"]
            assert (await status(sandbox, job_id))["result"]["page"] == page


def test_a_token_is_good_once_or_often_for_its_user_and_its_day() -> None:
    """token_reuse, another account, a token too many keys beside it, one that is too old."""

    async def main() -> None:
        options = org(
            per_page=10,
            token_reuse=False,
            page_token_life_s=100.0,
            page_token_error="INVALID_REQUEST",
        )
        async with Sandbox(options) as sandbox:

            async def first() -> dict[str, Any]:
                job_id = await created(sandbox, query("Leads"))
                token = (await status(sandbox, job_id))["result"]["next_page_token"]
                return {"query": {"page_token": token}}

            body = await first()
            assert (await create(sandbox, body, token="somebody-else")).status == 400
            assert (await create(sandbox, {"query": {**body["query"], "page": 2}})).status == 400
            assert (await create(sandbox, body)).status == 201
            again = await create(sandbox, body)
            assert again.json["data"][0]["code"] == "INVALID_REQUEST"
            body = await first()
            await asyncio.sleep(101)
            assert (await create(sandbox, body)).status == 400
            body = await first()
            sandbox.forget_page_tokens()
            assert (await create(sandbox, body)).status == 400

    run_virtual(main())


async def test_events_are_calendars_of_their_records_in_pages_of_their_own() -> None:
    """An event for each record; a calendar's page holds 20,000 at most."""
    async with Sandbox(org(ics_records=7, per_page=5)) as sandbox:
        job_id = await created(sandbox, {**query("Events"), "file_type": "ics"})
        assert (await status(sandbox, job_id))["result"]["more_records"]
        calendar = sandbox.file_of(job_id).decode()
        ids = [row["Id"] for row in sandbox.rows("Events")]
        assert calendar.count("BEGIN:VEVENT") == 5
        assert [f"UID:{each}@example.com" in calendar for each in ids] == [True] * 5 + [False] * 2
        refused = await create(sandbox, {**query("Events", fields=["Venue"]), "file_type": "ics"})
        assert refused.status == 400


async def test_modules_and_fields_are_told_and_some_modules_tell_none() -> None:
    """The metadata lists modules that bulk refuses; 204 where fields are not known."""
    modules = {"Tests__c": ModuleSpec(records=3, fields=(FieldSpec("Name"),), only_fields=True)}
    async with Sandbox(org(modules=modules)) as sandbox:
        told = (await ask(sandbox.url, "/crm/v8/settings/modules")).json["modules"]
        names = {each["api_name"]: each for each in told}
        assert {"Leads", "Tests__c", "Notes", "CTI_Entry"} <= set(names)
        assert "users" not in names
        assert names["Email_Analytics"]["api_supported"] is True
        fields = await ask(sandbox.url, "/crm/v8/settings/fields?module=Contacts")
        by_name = {each["api_name"]: each for each in fields.json["fields"]}
        assert by_name["Account_Name"]["lookup"]["module"]["api_name"] == "Accounts"
        assert by_name["id"]["data_type"] == "bigint"
        assert "Change_Log_Time__s" not in by_name
        assert (await ask(sandbox.url, "/crm/v8/settings/fields?module=CTI_Entry")).status == 204
        unknown = await ask(sandbox.url, "/crm/v8/settings/fields?module=Nope")
        assert (unknown.status, unknown.json["code"]) == (400, "INVALID_MODULE")
        refused = await create(sandbox, query("Email_Analytics"))
        assert refused.json["data"][0]["code"] == "MODULE_NOT_SUPPORTED"
        assert list((await found(sandbox, query("Tests__c")))[0])[:2] == ["Id", "Name"]


async def test_fields_come_and_go_while_it_runs() -> None:
    """put_field and drop_field change what is told and exported; page 1's columns stay."""
    async with Sandbox(org(per_page=20)) as sandbox:
        job_id = await created(sandbox, query("Leads"))
        token = (await status(sandbox, job_id))["result"]["next_page_token"]
        sandbox.put_field("Leads", FieldSpec("Shoe__c", "integer", custom=True))
        sandbox.drop_field("Leads", "Rating")
        rows = await found(sandbox, query("Leads"))
        assert "Shoe__c" in rows[0]
        assert "Rating" not in rows[0]
        assert "Rating" in (await found(sandbox, {"query": {"page_token": token}}))[0]
        gone = await create(sandbox, query("Leads", fields=["Rating"]))
        assert gone.json["data"][0]["code"] == "FIELD_NOT_AVAILABLE"


def test_a_count_lags_behind() -> None:
    """actions/count tells how many there were count_lag_s ago."""

    async def main() -> None:
        async with Sandbox(org(count_lag_s=60.0)) as sandbox:

            async def count() -> int:
                answer = await ask(sandbox.url, "/crm/v8/Leads/actions/count")
                return int(answer.json["count"])

            sandbox.insert("Leads", {"Last_Name": "X"})
            assert await count() == 25
            await asyncio.sleep(61)
            assert await count() == 26

    run_virtual(main())


def test_a_query_finds_what_was_there_a_while_ago() -> None:
    """query_lag_s: a record that is new, changed or deleted shows only after so long."""

    async def main() -> None:
        async with Sandbox(org(query_lag_s=30.0)) as sandbox:
            before = sandbox.rows("Leads")
            sandbox.insert("Leads", {"Last_Name": "X"})
            sandbox.modify("Leads", before[0]["Id"], {"Last_Name": "Y"})
            sandbox.delete("Leads", before[1]["Id"])
            assert await found(sandbox, query("Leads")) == before
            await asyncio.sleep(31)
            assert await found(sandbox, query("Leads")) == sandbox.rows("Leads") != before

    run_virtual(main())


def test_a_slip_in_a_record_leaves_the_org_as_it_was() -> None:
    """An unknown field, module or record raises KeyError and changes nothing."""

    async def main() -> None:
        async with Sandbox(org()) as sandbox:
            before = sandbox.rows("Leads")
            for slip in (
                lambda: sandbox.insert("Leads", {"Nme": "X"}),
                lambda: sandbox.insert("Leds", {}),
                lambda: sandbox.modify("Leads", "5", {}),
                lambda: sandbox.modify("Leads", before[0]["Id"], {"Nme": 1}),
                lambda: sandbox.delete("Deals", before[0]["Id"]),
            ):
                with pytest.raises(KeyError):
                    slip()
            assert sandbox.rows("Leads") == before

    run_virtual(main())


def test_deleted_records_are_told_by_time_and_kind_in_pages() -> None:
    """The lower bound counts; the bin forgets after 60 days, what went for good after 120."""

    async def main() -> None:
        async with Sandbox(org(epoch=EPOCH)) as sandbox:
            path = "/crm/v8/Leads/deleted?type={}&page={}&per_page=2"

            async def deleted(kind: str = "all", page: int = 1, **headers: str) -> Any:
                sent = {name.replace("_", "-"): value for name, value in headers.items()}
                answer = await ask(sandbox.url, path.format(kind, page), headers=sent)
                return (answer.status, answer.json and [each["id"] for each in answer.json["data"]])

            assert await deleted() == (204, None)
            ids = [row["Id"] for row in sandbox.rows("Leads")][:4]
            sandbox.delete("Leads", ids[0])
            sandbox.delete("Leads", ids[1], permanent=True)
            await asyncio.sleep(3600)
            sandbox.delete("Leads", ids[2])
            assert await deleted() == (200, [ids[2], ids[1]])
            assert await deleted(page=2) == (200, [ids[0]])
            assert await deleted("permanent") == (200, [ids[1]])
            since = "2026-09-29T20:00:00-07:00"
            assert await deleted(If_Modified_Since=since) == (200, [ids[2]])
            sandbox.delete("Leads", ids[0], permanent=True)
            assert (await deleted("permanent"))[1] == [ids[0], ids[1]]
            await asyncio.sleep(61 * 86_400)
            assert await deleted() == (200, [ids[0], ids[1]])
            await asyncio.sleep(60 * 86_400)
            assert await deleted() == (204, None)

    run_virtual(main())


async def test_a_plan_says_what_becomes_of_a_job() -> None:
    """FAILURE with its reason, a lying count, a short file, a next page told wrongly."""
    plans = {
        "Leads": (
            JobPlan(state="FAILURE", code="LIMIT_REACHED", message="Too large."),
            JobPlan(count_off=1),
            JobPlan(rows_off=1),
            JobPlan(next_page="no_token"),
            JobPlan(next_page="bad_token"),
        )
    }
    async with Sandbox(org(per_page=10, plans=plans)) as sandbox:
        ids = [await created(sandbox, query("Leads")) for _ in range(6)]
        jobs = [await status(sandbox, job_id) for job_id in ids]
        assert jobs[0]["result"] == {
            "error_message": {
                "code": "LIMIT_REACHED",
                "message": "Too large.",
                "details": {},
                "status": "error",
            }
        }
        assert jobs[1]["result"]["count"] == 11
        assert len(await result_rows(sandbox, ids[1])) == 10
        assert jobs[2]["result"]["count"] == 10
        assert len(await result_rows(sandbox, ids[2])) == 9
        assert jobs[3]["result"]["more_records"]
        assert "next_page_token" not in jobs[3]["result"]
        bad = {"query": {"page_token": jobs[4]["result"]["next_page_token"]}}
        assert (await create(sandbox, bad)).status == 400
        good = {"query": {"page_token": jobs[5]["result"]["next_page_token"]}}
        sandbox.plan("Leads", JobPlan(next_page="same_token"))
        second = await status(sandbox, await created(sandbox, good))
        assert second["result"]["next_page_token"] == good["query"]["page_token"]


async def test_the_log_says_which_pages_were_created() -> None:
    """Module, page, token, job and credits of each create stand in the log and in created()."""
    async with Sandbox(org(per_page=10)) as sandbox:
        await chain(sandbox, query("Leads"))
        await create(sandbox, query("Nope"))
        calls = sandbox.arrivals("create", module="Leads")
        assert [each.page for each in calls] == [1, 2, 3]
        assert [each.page_token is None for each in calls] == [True, False, False]
        assert [each.job_id for each in calls] == [job.id for job in sandbox.created("Leads")]
        assert {each.credits for each in calls} == {50}
        (refused,) = sandbox.arrivals("create", module="Nope")
        assert (refused.job_id, refused.status) == (None, 400)
        assert sandbox.credits_spent() == 4 * 50 + 6

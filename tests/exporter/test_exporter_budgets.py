"""Budgets apart: credits, 429s on either side, the window while polling at full rate."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.exporting import Exported, export, exporting, manifest, org, rows
from tests.support.flows import settings_for

from bulkfetch import Client, Export
from bulkfetch.sandbox import Sandbox
from bulkfetch.sandbox.org.specs import JobPlan, ModuleSpec
from bulkfetch.sandbox.quota import worst_in as worst_of

LEADS = Export(module="Leads")
SMALL = org(records=12)


@pytest.mark.slow
def test_our_ceiling_of_credits_in_mid_chain_lets_downloads_go_on(tmp_path: Path) -> None:
    """credits_per_day reached after two pages: both come home, exit 3; the next day goes on."""

    async def main(sandbox: Sandbox) -> None:
        control = {"credits_per_day": 130}
        seen = await export(sandbox, tmp_path, LEADS, control=control)
        report = seen.only()
        assert (report.status, seen.count("create"), seen.count("result")) == ("pending", 2, 2)
        assert report.error is not None
        assert report.error.code == "CREDITS_SPENT"
        assert len(seen.told("exports_held")) == 1
        await asyncio.sleep(90_000)
        again = await export(sandbox, tmp_path, LEADS, control=control)
        assert (again.only().status, again.count("create")) == ("done", 1)
        assert rows(tmp_path, "Leads") == sandbox.rows("Leads")
        assert sandbox.credits_spent(seen.log[0].account) == again.only().credits_spent

    # In Zoho the token would have expired with the day, and the chain begun again.
    exporting(main, org(page_token_life_s=172_800.0))


def test_the_services_credits_in_mid_chain_let_downloads_go_on(tmp_path: Path) -> None:
    """A 429 to everything for want of credits: what is ready comes later, no page is lost."""

    async def main(sandbox: Sandbox) -> None:
        control = {"credits_reserve": 60}
        seen = await export(sandbox, tmp_path, LEADS, control=control)
        report = seen.only()
        assert report.status == "pending"
        assert report.error is not None
        assert report.error.code == "CREDITS_SPENT"
        created = seen.count("create")
        assert created < 3
        await asyncio.sleep(80_000)
        again = await export(sandbox, tmp_path, LEADS, control=control)
        assert again.only().status == "done"
        assert rows(tmp_path, "Leads") == sandbox.rows("Leads")
        spent = sandbox.credits_spent(seen.log[0].account)
        assert manifest(tmp_path, "Leads")["credits"]["spent"] == spent

    exporting(main, org(credits_per_day=170))


def test_an_export_that_waits_for_its_minute_says_so(tmp_path: Path) -> None:
    """Between two creates the progress names the setting that holds the next one up."""

    async def main(sandbox: Sandbox) -> None:
        made = settings_for(sandbox.url, tmp_path, control={"creates_per_minute": 1})
        async with Client(made) as client:
            run = client.export(LEADS)
            ending = asyncio.create_task(run.reports())
            await asyncio.sleep(40)
            progress = run.progress()
            assert progress is not None
            assert progress.exports == (
                "Leads: page to be created, waits for creates_per_minute (1)",
            )
            await ending

    exporting(main, org(records=12, prepare_s=1.0))


@pytest.mark.parametrize("kind", ["create", "status"])
def test_a_429_on_a_control_call_closes_no_window(tmp_path: Path, kind: str) -> None:
    """The call waits and goes on; results are not held up, and no window is told closed."""

    async def main(sandbox: Sandbox) -> None:
        sandbox.fault(kind, "unaccepted:TOO_MANY_REQUESTS")
        seen = await export(sandbox, tmp_path, LEADS)
        assert seen.only().status == "done"
        assert seen.told("window_closed") == []
        assert len(sandbox.created()) == 2
        assert seen.only().credits_wasted == 0

    exporting(main, SMALL)


@pytest.mark.slow
def test_a_429_on_a_result_stops_no_polling(tmp_path: Path) -> None:
    """The window closes for a minute; pages are created and asked for meanwhile."""

    async def main(sandbox: Sandbox) -> None:
        sandbox.plan("Leads", JobPlan(faults=("limit_429",)))
        seen = await export(sandbox, tmp_path, LEADS, Export(module="Contacts"))
        assert {report.status for report in seen.reports.values()} == {"done"}
        assert len(seen.told("window_closed")) == 1
        refused = next(each.at_s for each in seen.log if each.status == 429)
        meanwhile = {each.kind for each in seen.log if refused < each.at_s < refused + 55}
        assert meanwhile == {"create", "status"}

    exporting(main, org(records=30, prepare_s=10.0))


def test_429s_on_both_sides_within_a_minute_mean_that_the_credits_are_spent(
    tmp_path: Path,
) -> None:
    """A result's and then a status call's: nothing more is asked for, it is told, exit 3."""

    async def main(sandbox: Sandbox) -> None:
        sandbox.plan("Leads", JobPlan(faults=("limit_429",), prepare_s=10.0))
        refusals = ["unaccepted:TOO_MANY_REQUESTS"] * 9
        asyncio.get_running_loop().call_later(20.0, sandbox.fault, "status", *refusals)
        seen = await export(sandbox, tmp_path, LEADS, Export(module="Contacts"))
        codes = {name: report.error and report.error.code for name, report in seen.reports.items()}
        assert codes["Contacts"] == "CREDITS_SPENT"
        assert any("CREDITS_SPENT" in text for text in seen.told("exports_held"))

    slow = ModuleSpec(prepare_s=100.0)
    exporting(main, org(records=4, modules={"Contacts": slow}))


@pytest.mark.slow
def test_the_window_holds_while_polling_at_its_full_rate(tmp_path: Path) -> None:
    """Two clients of one account: ten results in the worst minute, and polls beside them."""

    async def main(sandbox: Sandbox) -> None:
        async def one(number: int) -> Exported:
            names = [f"{number}{letter}" for letter in "abc"]
            exports = [Export(module="Leads", name=name) for name in names]
            return await export(
                sandbox,
                tmp_path / str(number),
                *exports,
                control={"creates_per_minute": 1000, "polls_per_minute": 60, "concurrency": 5},
                state_dir=tmp_path / "state",
            )

        first, second = await asyncio.gather(one(1), one(2))
        for seen in (first, second):
            assert {report.status for report in seen.reports.values()} == {"done"}
        results = sandbox.arrivals("result")
        assert len(results) == len(sandbox.created()) == 6 * 8
        assert all(each.status == 200 for each in results)
        assert worst_of([each.at_s for each in results], 60.0) == 10
        polls = sandbox.arrivals("status")
        assert worst_of([each.at_s for each in polls], 60.0) <= 60

    exporting(main, org(records=64, prepare_s=5.0))


@pytest.mark.slow
def test_no_more_calls_are_in_flight_than_the_org_bears(tmp_path: Path) -> None:
    """Three downloads and two control calls at once, where five are borne: nothing is refused."""

    async def main(sandbox: Sandbox) -> None:
        exports = [Export(module="Leads", name=name) for name in "abcdef"]
        seen = await export(
            sandbox,
            tmp_path,
            *exports,
            window={"concurrency": 3},
            control={"creates_per_minute": 100, "polls_per_minute": 100, "concurrency": 2},
        )
        assert {report.status for report in seen.reports.values()} == {"done"}
        assert [each.kind for each in seen.log if each.status == 429] == []

    exporting(main, org(records=16, prepare_s=5.0, concurrency=5, latency_s=(0.5, 1.0)))


@pytest.mark.slow
def test_thirty_jobs_of_an_account_are_under_way_at_most(tmp_path: Path) -> None:
    """Forty exports whose pages are never ready: ten of them are not created meanwhile."""

    async def main(sandbox: Sandbox) -> None:
        exports = [Export(module="Leads", name=f"part{number}") for number in range(40)]
        seen = await export(
            sandbox, tmp_path, *exports, wait=300, control={"creates_per_minute": 1000}
        )
        assert seen.count("create") == 30
        assert {report.status for report in seen.reports.values()} == {"pending"}

    exporting(main, org(records=4, prepare_s=1e5))


@pytest.mark.slow
def test_what_expires_first_is_fetched_first(tmp_path: Path) -> None:
    """More is ready than the window takes: results leave in the order in which they were ready."""

    async def main(sandbox: Sandbox) -> None:
        exports = [Export(module="Leads", name=f"part{number}") for number in range(30)]
        plans = [JobPlan(prepare_s=300.0 - number) for number in range(30)]
        sandbox.plan("Leads", *plans)
        control = {"creates_per_minute": 1000, "polls_per_minute": 10_000}
        seen = await export(sandbox, tmp_path, *exports, control=control)
        assert {report.status for report in seen.reports.values()} == {"done"}
        ready = [
            each.job_id
            for each in seen.log
            if each.kind == "status" and sandbox.job(each.job_id or "", each.account)
        ]
        last_poll = {job_id: place for place, job_id in enumerate(ready)}
        fetched = [last_poll[each.job_id] for each in seen.log if each.kind == "result"]
        # The first twenty are with the window at once; the others overtake nobody.
        assert fetched[20:] == sorted(fetched[20:])

    exporting(main, org(records=4))

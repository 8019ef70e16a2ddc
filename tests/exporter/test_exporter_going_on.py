"""Exports that are not done in one call: waiting, stops, what a later call goes on with."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from tests.support.exporting import EPOCH, export, exporting, manifest, org, rows
from tests.support.flows import settings_for

from bulkfetch import Client, Event, Export
from bulkfetch.models import ExportReport
from bulkfetch.sandbox import Sandbox
from bulkfetch.sandbox.org.specs import JobPlan, ModuleSpec

LEADS, CONTACTS = Export(module="Leads"), Export(module="Contacts")
SMALL = org(records=12)


def error_code(report: ExportReport) -> str | None:
    """The code of what keeps an export from its end."""
    return report.error.code if report.error else None


@pytest.mark.slow
def test_a_call_that_does_not_wait_creates_first_pages_and_each_next_one_goes_on(
    tmp_path: Path,
) -> None:
    """wait=0: one step of each chain per call, no page twice, everything ready brought home."""

    async def main(sandbox: Sandbox) -> None:
        creates, results, statuses = [], [], []
        for _ in range(4):
            seen = await export(sandbox, tmp_path, LEADS, CONTACTS, wait=0)
            assert seen.took_s < 5
            creates.append(seen.count("create"))
            results.append(seen.count("result"))
            statuses.append({report.status for report in seen.reports.values()})
            if statuses[-1] == {"pending"}:
                assert {error_code(each) for each in seen.reports.values()} == {"NOT_READY_IN_TIME"}
                assert {outcome.status for outcome in seen.outcomes} == {"pending"}
            await asyncio.sleep(300)
        assert creates == [2, 2, 2, 0]
        assert results == [0, 2, 2, 2]
        assert statuses == [{"pending"}] * 3 + [{"done"}]
        assert rows(tmp_path, "Leads") == sandbox.rows("Leads")

    exporting(main)


def test_when_the_time_to_wait_is_over_what_is_ready_still_comes(tmp_path: Path) -> None:
    """One of two exports is prepared in time: it is published, the other one is pending."""

    async def main(sandbox: Sandbox) -> None:
        seen = await export(sandbox, tmp_path, LEADS, CONTACTS, wait=300)
        assert seen.reports["Leads"].status == "done"
        late = seen.reports["Contacts"]
        assert (late.status, error_code(late)) == ("pending", "NOT_READY_IN_TIME")
        assert 240 < seen.took_s < 420
        assert seen.totals.aborted is not None

    slow = ModuleSpec(prepare_s=1000.0)
    exporting(main, org(records=12, modules={"Contacts": slow}))


@pytest.mark.slow
def test_a_job_that_is_never_ready_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    """Without a limit the end is the day for which Zoho keeps results."""

    async def main(sandbox: Sandbox) -> None:
        seen = await export(sandbox, tmp_path, LEADS)
        assert error_code(seen.only()) == "NOT_READY_IN_TIME"
        assert 80_000 < seen.took_s < 90_000

    exporting(main, org(prepare_s=1e6))


@pytest.mark.slow
def test_what_a_command_has_committed_is_not_exported_again_by_the_next_call(
    tmp_path: Path,
) -> None:
    """After a 3 the next call does only what is left; the one after that begins anew."""

    async def main(sandbox: Sandbox) -> None:
        first = await export(sandbox, tmp_path, LEADS, CONTACTS, wait=300)
        assert [each.status for each in first.reports.values()] == ["done", "pending"]
        await asyncio.sleep(1000)
        second = await export(sandbox, tmp_path, LEADS, CONTACTS)
        assert second.count("create") == 1
        leads = second.reports["Leads"]
        assert (leads.status, leads.skipped) == ("done", True)
        assert {o.page for o in second.outcomes if o.skipped and o.export == "Leads"} == {1, 2}
        assert all(Path(f.path).exists() for o in second.outcomes for f in o.files)
        assert (second.totals.done, second.totals.skipped) == (2, 2)
        third = await export(sandbox, tmp_path, LEADS, CONTACTS)
        assert third.count("create") == 4
        assert not any(report.skipped for report in third.reports.values())

    modules = {"Contacts": ModuleSpec(prepare_s=900.0)}
    exporting(main, org(records=12, modules=modules))


def test_a_stop_leaves_what_the_next_call_goes_on_with(tmp_path: Path) -> None:
    """Stopped while a page is prepared: nothing is published, no page is created again."""

    async def main(sandbox: Sandbox) -> None:
        async with Client(settings_for(sandbox.url, tmp_path)) as client:
            run = client.export(LEADS)
            reading = asyncio.create_task(run.report())
            await asyncio.sleep(90)
            run.stop()
            report = await reading
        assert (report.status, report.error) == ("pending", None)
        assert run.totals.interrupted
        again = await export(sandbox, tmp_path, LEADS)
        assert again.only().status == "done"
        assert len(sandbox.created()) == 3
        assert rows(tmp_path, "Leads") == sandbox.rows("Leads")
        spent = sandbox.credits_spent(again.log[0].account)
        assert manifest(tmp_path, "Leads")["credits"]["spent"] == spent

    exporting(main)


def test_a_changed_query_begins_anew(tmp_path: Path) -> None:
    """What was begun for another query is given up, and nothing of it is left."""

    async def main(sandbox: Sandbox) -> None:
        await export(sandbox, tmp_path, LEADS, wait=0)
        await asyncio.sleep(100)
        other = Export(module="Leads", fields=["Last_Name", "City"])
        seen = await export(sandbox, tmp_path, other)
        assert seen.count("create") == 2
        assert rows(tmp_path, "Leads") == sandbox.rows("Leads", ["Last_Name", "City"])
        assert list((tmp_path / ".bulkfetch" / "exports" / "Leads").iterdir()) == []

    exporting(main, SMALL)


@pytest.mark.slow
def test_full_gives_up_changes_that_were_begun(tmp_path: Path) -> None:
    """--full goes on with a full export, and not with one of changes."""

    async def main(sandbox: Sandbox) -> None:
        changes = Export(module="Leads", sync="changes")
        await export(sandbox, tmp_path, changes)
        await asyncio.sleep(3600)
        assert (await export(sandbox, tmp_path, changes, wait=0)).only().mode == "changes"
        begun = await export(sandbox, tmp_path, changes, full=True, wait=0)
        assert (begun.only().mode, begun.count("create")) == ("full", 1)
        await asyncio.sleep(100)
        seen = await export(sandbox, tmp_path, changes, full=True)
        assert (seen.only().mode, seen.count("create")) == ("full", 1)

    exporting(main, SMALL)


@pytest.mark.slow
def test_a_part_that_is_gone_is_fetched_once_more(tmp_path: Path) -> None:
    """Somebody removed the hidden folder between two calls: its page is not created again."""

    async def main(sandbox: Sandbox) -> None:
        sandbox.plan("Leads", JobPlan(), JobPlan(prepare_s=1000.0))
        seen = await export(sandbox, tmp_path, LEADS, wait=300)
        assert seen.count("result") == 1
        shutil.rmtree(tmp_path / ".bulkfetch" / "exports")
        again = await export(sandbox, tmp_path, LEADS)
        assert again.only().status == "done"
        assert (again.count("create"), again.count("result")) == (0, 2)
        assert rows(tmp_path, "Leads") == sandbox.rows("Leads")
        spent = sandbox.credits_spent(again.log[0].account)
        assert manifest(tmp_path, "Leads")["credits"]["spent"] == spent

    exporting(main, SMALL)


@pytest.mark.slow
def test_a_part_that_goes_during_a_call_has_the_export_begin_again(tmp_path: Path) -> None:
    """It shows before anything is described: no manifest without its parts."""

    async def main(sandbox: Sandbox) -> None:
        hidden = tmp_path / ".bulkfetch" / "exports" / "Leads"

        async def remove() -> None:
            while not list(hidden.rglob("part-*.csv")):
                await asyncio.sleep(1)
            for part in hidden.rglob("part-*.csv"):
                part.unlink()

        sandbox.plan("Leads", JobPlan(), JobPlan(prepare_s=1000.0))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(remove())
            seen = await export(sandbox, tmp_path, LEADS)
        assert seen.only().status == "done"
        assert len(seen.told("export_again")) == 1
        assert rows(tmp_path, "Leads") == sandbox.rows("Leads")

    exporting(main, SMALL)


def test_results_that_waited_for_more_than_a_day_are_created_again(tmp_path: Path) -> None:
    """Ready, and not downloaded for a day: not fetched in vain, created again, reported."""

    async def main(sandbox: Sandbox) -> None:
        def stop(event: Event) -> None:
            if event.kind == "page_ready":
                run.stop()

        async with Client(settings_for(sandbox.url, tmp_path), on_event=stop) as client:
            run = client.export(LEADS)
            assert [outcome.status async for outcome in run] == ["pending"]
        await asyncio.sleep(90_000)
        seen = await export(sandbox, tmp_path, LEADS)
        assert seen.only().status == "done"
        told = seen.told("page_again")
        assert told
        assert {each.status for each in seen.log if each.kind == "result"} == {200}
        assert told == [f"export Leads, {warning}" for warning in seen.only().warnings]
        assert rows(tmp_path, "Leads") == sandbox.rows("Leads")

    exporting(main, SMALL)


@pytest.mark.parametrize("version", ["v2", "v6", "v8"])
def test_every_version_has_its_pages(tmp_path: Path, version: str) -> None:
    """By number up to v6, by token from v7 on: each page once, all rows."""

    async def main(sandbox: Sandbox) -> None:
        seen = await export(sandbox, tmp_path, LEADS, version=version)
        assert seen.only().status == "done"
        assert rows(tmp_path, "Leads") == sandbox.rows("Leads")
        assert seen.count("create") == 3

    exporting(main)


@pytest.mark.slow
def test_chains_side_by_side_hold_every_record_once(tmp_path: Path) -> None:
    """split = 3: ranges of Created_Time that meet, no row twice, none missing."""

    async def main(sandbox: Sandbox) -> None:
        seen = await export(sandbox, tmp_path, Export(module="Leads", split=3))
        assert seen.only().status == "done"
        told = manifest(tmp_path, "Leads")
        assert {part["chain"] for part in told["parts"]} == {1, 2, 3}
        assert len(told["queries"]) == 3
        names = [part["file"] for part in told["parts"]]
        assert len(set(names)) == len(names)
        by_id = sorted(rows(tmp_path, "Leads"), key=lambda row: row["Id"])
        assert by_id == sorted(sandbox.rows("Leads"), key=lambda row: row["Id"])
        assert told["cursor"]["to"] is not None

    exporting(main, org(records=60, epoch=EPOCH))

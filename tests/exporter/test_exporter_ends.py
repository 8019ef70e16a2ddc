"""Exports whose account ends, whose reader leaves, or that are stopped in the middle of a call."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest
from tests.support.exporting import export, exporting, manifest, org, rows
from tests.support.flows import settings_for, token_of

from bulkfetch import Client, Export
from bulkfetch.sandbox import AccountSpec, Sandbox
from bulkfetch.sandbox.org.specs import ModuleSpec

LEADS = Export(module="Leads")
SMALL = org(records=12)


def test_an_export_that_may_not_create_still_downloads_what_is_ready(tmp_path: Path) -> None:
    """Refused for its scope at the second page: the first comes home, exit 3, the next goes on."""

    async def main(sandbox: Sandbox) -> None:
        sandbox.fault("create", "", "unaccepted:OAUTH_SCOPE_MISMATCH")
        seen = await export(sandbox, tmp_path, LEADS)
        report = seen.only()
        assert report.error is not None
        assert (report.status, report.error.code) == ("pending", "OAUTH_SCOPE_MISMATCH")
        assert "ZohoCRM.modules" in report.error.hint
        assert (seen.count("create"), seen.count("result")) == (2, 1)
        assert len(seen.told("exports_held")) == 1
        again = await export(sandbox, tmp_path, LEADS)
        assert (again.only().status, again.count("create")) == ("done", 1)
        assert rows(tmp_path, "Leads") == sandbox.rows("Leads")

    exporting(main, SMALL)


def test_a_scope_that_is_missing_for_a_module_hinders_no_other_module(tmp_path: Path) -> None:
    """One export is refused as it is created, one as it is asked for; the third is done, exit 3."""

    async def main(sandbox: Sandbox) -> None:
        sandbox.fault("create:Leads", "unaccepted:OAUTH_SCOPE_MISMATCH")
        sandbox.fault("status:Deals", "unaccepted:OAUTH_SCOPE_MISMATCH")
        others = Export(module="Deals"), Export(module="Contacts")
        seen = await export(sandbox, tmp_path, LEADS, *others)
        found = {name: report.status for name, report in seen.reports.items()}
        assert found == {"Leads": "pending", "Deals": "pending", "Contacts": "done"}
        assert seen.totals.exit_status == 3
        assert seen.told("account_ended") == []
        again = await export(sandbox, tmp_path, LEADS, *others)
        assert {report.status for report in again.reports.values()} == {"done"}
        assert again.count("create") == 1

    exporting(main, org(records=6))


def test_accounts_do_not_end_one_another(tmp_path: Path) -> None:
    """One account's token is refused: the other's export is done."""

    async def main(sandbox: Sandbox) -> None:
        exports = [Export(module="Leads", account=name, name=name) for name in ("eu", "us")]
        seen = await export(sandbox, tmp_path, *exports, accounts={"eu": {}, "us": {}})
        assert [report.status for report in seen.reports.values()] == ["pending", "done"]
        error = seen.reports["eu"].error
        assert error is not None
        assert error.code == "INVALID_TOKEN"
        assert seen.totals.aborted is not None

    accounts = {"us": AccountSpec(access_tokens=(token_of("us"),))}
    exporting(main, org(records=12, auth=True, accounts=accounts))


@pytest.mark.slow
def test_a_reader_that_leaves_frees_the_client_and_loses_nothing(tmp_path: Path) -> None:
    """Left by `break` and dropped: the next call of the same client goes on within a second."""

    async def main(sandbox: Sandbox) -> None:
        async with Client(settings_for(sandbox.url, tmp_path)) as client:
            run = client.export(LEADS, Export(module="Contacts"))
            async for _ in run:
                break
            with pytest.raises(RuntimeError, match="is fetching another list"):
                client.fetch(["1"])
            del run
            gc.collect()
            again = client.export(LEADS, Export(module="Contacts"))
            reports = await again.reports()
            assert [report.status for report in reports] == ["done", "done"]
            assert reports[0].skipped
        assert len(sandbox.created()) == 4
        assert rows(tmp_path, "Contacts") == sandbox.rows("Contacts")

    slow = ModuleSpec(prepare_s=200.0)
    exporting(main, org(records=12, modules={"Contacts": slow}))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "aclose", "leave"])
def test_a_stop_in_the_middle_of_a_create_call_costs_one_create_at_most(
    tmp_path: Path, how: str
) -> None:
    """The reply does not come: the end does not wait for it, and the page is created once more."""

    async def main(sandbox: Sandbox) -> None:
        sandbox.fault("create", "stall_before_head")
        loop = asyncio.get_running_loop()
        async with Client(settings_for(sandbox.url, tmp_path)) as client:
            run = client.export(LEADS)
            reading = asyncio.create_task(run.reports())
            await asyncio.sleep(20)
            began = loop.time()
            if how == "stop":
                run.stop()
                [report] = await reading
                assert (report.status, report.error) == ("pending", None)
            elif how == "aclose":
                await run.aclose()
                await reading
        assert loop.time() - began < (9 if how == "stop" else 2)
        reading.cancel()
        again = await export(sandbox, tmp_path, LEADS)
        assert again.only().status == "done"
        assert len(sandbox.created()) == 3
        assert manifest(tmp_path, "Leads")["credits"]["wasted"] == 50

    exporting(main, SMALL)


def test_spent_credits_end_the_polling_too(tmp_path: Path) -> None:
    """No credit is left to ask with: pending within minutes, and the next day goes on."""

    async def main(sandbox: Sandbox) -> None:
        seen = await export(sandbox, tmp_path, LEADS, control={"credits_reserve": 0})
        report = seen.only()
        assert report.error is not None
        assert (report.status, report.error.code) == ("pending", "CREDITS_SPENT")
        assert seen.took_s < 3600
        await asyncio.sleep(86_400)
        again = await export(sandbox, tmp_path, LEADS, control={"credits_reserve": 0})
        assert (again.only().status, again.count("create")) == ("done", 0)

    exporting(main, org(records=4, prepare_s=3000.0, credits_per_day=70))


def test_page_tokens_are_in_no_message_and_no_file_but_the_journal(tmp_path: Path) -> None:
    """Events, outcomes, reports, manifest: no token of a page, though one is refused."""

    async def main(sandbox: Sandbox) -> None:
        seen = await export(sandbox, tmp_path, LEADS)
        sandbox.forget_page_tokens()
        tokens = [each.page_token for each in seen.log if each.page_token]
        assert len(tokens) == 2
        told = repr((seen.events, seen.outcomes, seen.reports))
        files = [
            path.read_bytes()
            for path in tmp_path.rglob("*")
            if path.is_file() and "journal" not in path.name
        ]
        for token in tokens:
            assert token not in told
            assert not any(token.encode() in content for content in files)

    exporting(main)

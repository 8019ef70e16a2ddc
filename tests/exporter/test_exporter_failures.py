"""What becomes of exports where the service fails, loses replies, or tells what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.exporting import Exported, export, exporting, manifest, org, rows

from bulkfetch import Export
from bulkfetch.sandbox import Sandbox
from bulkfetch.sandbox.org.specs import JobPlan

LEADS = Export(module="Leads")
LOST = "close_before_head"
# Two pages.
SMALL = org(records=12)


def creates_by_query(sandbox: Sandbox) -> int:
    """Count the jobs that the service has."""
    return len(sandbox.created())


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("fault", [LOST, "INTERNAL_ERROR", "unaccepted:INTERNAL_ERROR"])
def test_a_lost_reply_costs_one_more_create(tmp_path: Path, lost: int, fault: str) -> None:
    """Lost once or twice, accepted or not: created again, told, counted as wasted; no row twice."""

    async def main(sandbox: Sandbox) -> None:
        sandbox.fault("create", *([fault] * lost))
        seen = await export(sandbox, tmp_path, LEADS)
        report = seen.only()
        assert report.status == "done"
        assert seen.count("create") == 2 + lost
        orphans = 0 if fault.startswith("unaccepted") else lost
        assert len(sandbox.created()) == 2 + orphans
        assert report.credits_wasted == 50 * lost
        assert len(seen.told("page_again")) == lost
        assert rows(tmp_path, "Leads") == sandbox.rows("Leads")
        assert manifest(tmp_path, "Leads")["credits"]["wasted"] == 50 * lost

    exporting(main, SMALL)


def test_three_lost_replies_are_enough_for_one_call(tmp_path: Path) -> None:
    """The third lost reply fails the export, with a code; the next call tries again."""

    async def main(sandbox: Sandbox) -> None:
        sandbox.fault("create", LOST, LOST, LOST)
        seen = await export(sandbox, tmp_path, LEADS)
        [failed] = seen.outcomes
        assert (failed.status, failed.page, failed.job_id) == ("failed", 1, "")
        assert failed.error is not None
        assert failed.error.code == "CREATE_LOST"
        assert (seen.only().status, seen.only().error) == ("failed", failed.error)
        assert seen.count("create") == 3
        assert seen.only().credits_wasted == 150
        again = await export(sandbox, tmp_path, LEADS)
        assert again.only().status == "done"
        assert again.count("create") == 2
        assert manifest(tmp_path, "Leads")["credits"]["wasted"] == 150

    exporting(main, SMALL)


def test_a_refused_query_fails_at_once(tmp_path: Path) -> None:
    """What Zoho says of the query reaches the user, and the next call may do better."""

    async def main(sandbox: Sandbox) -> None:
        sandbox.fault("create", "unaccepted:INVALID_DATA")
        seen = await export(sandbox, tmp_path, LEADS)
        error = seen.only().error
        assert error is not None
        assert (error.code, error.http) == ("INVALID_DATA", 400)
        assert seen.count("create") == 1
        assert (await export(sandbox, tmp_path, LEADS)).only().status == "done"

    exporting(main, SMALL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("next_page", "code"), [("no_token", "NO_PAGE_TOKEN"), ("same_token", "PAGING_LOOP")]
)
def test_a_chain_without_an_end_is_never_done(tmp_path: Path, next_page: str, code: str) -> None:
    """More records without a token, or a token that leads back: failed; the next begins anew."""

    async def main(sandbox: Sandbox) -> None:
        honest = JobPlan()
        # Of a first page no token leads back.
        plans = [honest] if code == "PAGING_LOOP" else []
        sandbox.plan("Leads", *plans, JobPlan(next_page=next_page))  # type: ignore[arg-type]
        seen = await export(sandbox, tmp_path, LEADS)
        error = seen.only().error
        assert error is not None
        assert (seen.only().status, error.code) == ("failed", code)
        assert not (tmp_path / "Leads").exists()
        again = await export(sandbox, tmp_path, LEADS)
        assert again.only().status == "done"
        assert again.count("create") == 3
        assert rows(tmp_path, "Leads") == sandbox.rows("Leads")

    exporting(main)


@pytest.mark.slow
def test_a_refused_token_has_the_chain_begin_again(tmp_path: Path) -> None:
    """A fresh generation replaces what was there; nothing of the old one is published."""

    async def main(sandbox: Sandbox) -> None:
        sandbox.plan("Leads", JobPlan(), JobPlan(next_page="bad_token"))
        seen = await export(sandbox, tmp_path, LEADS)
        assert seen.only().status == "done"
        assert len(seen.told("export_again")) == 1
        assert seen.count("create") == 2 + 1 + 3
        assert seen.only().credits_wasted == 100
        assert rows(tmp_path, "Leads") == sandbox.rows("Leads")
        jobs = {part["job_id"] for part in manifest(tmp_path, "Leads")["parts"]}
        assert jobs == {job.id for job in sandbox.created()[2:]}
        hidden = tmp_path / ".bulkfetch" / "exports" / "Leads"
        left = [path.name for path in hidden.iterdir()]
        await export(sandbox, tmp_path, LEADS)
        assert left != [path.name for path in hidden.iterdir()] or left == []

    exporting(main)


@pytest.mark.slow
def test_a_chain_begins_again_twice_at_most(tmp_path: Path) -> None:
    """A token that is refused three times fails the export."""

    async def main(sandbox: Sandbox) -> None:
        sandbox.plan("Leads", *[JobPlan(next_page="bad_token")] * 3)
        seen = await export(sandbox, tmp_path, LEADS)
        error = seen.only().error
        assert error is not None
        assert error.code == "CHAIN_BROKEN"
        assert seen.count("create") == 6
        assert (await export(sandbox, tmp_path, LEADS)).only().status == "done"

    exporting(main)


@pytest.mark.slow
def test_zohos_own_failure_gets_one_new_create(tmp_path: Path) -> None:
    """INTERNAL_SERVER_ERROR once: created again; twice: failed in Zoho's words."""

    async def main(sandbox: Sandbox) -> None:
        sandbox.plan("Leads", JobPlan(state="FAILURE"))
        seen = await export(sandbox, tmp_path / "one", LEADS)
        assert (seen.only().status, seen.count("create")) == ("done", 3)
        assert seen.only().credits_wasted == 50
        sandbox.plan("Leads", JobPlan(state="FAILURE"), JobPlan(state="FAILURE"))
        seen = await export(sandbox, tmp_path / "two", LEADS)
        assert (seen.only().status, seen.count("create")) == ("failed", 2)
        error = seen.only().error
        assert error is not None
        assert error.code == "INTERNAL_SERVER_ERROR"
        assert error.message == "Internal server error occurred."
        assert (await export(sandbox, tmp_path / "two", LEADS)).only().status == "done"

    exporting(main, SMALL)


def test_another_failure_reaches_the_user_in_zohos_words(tmp_path: Path) -> None:
    """FAILURE with a reason of its own is not created again in this call."""

    async def main(sandbox: Sandbox) -> None:
        plan = JobPlan(state="FAILURE", code="JOIN_LIMIT_EXCEEDED", message="Too many joins.")
        sandbox.plan("Leads", plan)
        seen = await export(sandbox, tmp_path, LEADS)
        error = seen.only().error
        assert error is not None
        assert (error.code, error.message) == ("JOIN_LIMIT_EXCEEDED", "Too many joins.")
        assert seen.count("create") == 1

    exporting(main, SMALL)


def test_a_count_that_lies_fails_the_export(tmp_path: Path) -> None:
    """One record less than told: fetched once more, then failed; the next call creates it again."""

    async def main(sandbox: Sandbox) -> None:
        sandbox.plan("Leads", JobPlan(), JobPlan(count_off=1))
        seen = await export(sandbox, tmp_path, LEADS)
        [part] = [outcome for outcome in seen.outcomes if outcome.status == "failed"]
        assert part.error is not None
        assert (part.page, part.error.code, part.attempts) == (2, "COUNT_MISMATCH", 2)
        assert part.quarantine is not None
        assert Path(part.quarantine).is_file()
        assert not (tmp_path / "Leads").exists()
        again = await export(sandbox, tmp_path, LEADS)
        assert again.only().status == "done"
        assert (again.count("create"), again.count("result")) == (1, 1)
        assert rows(tmp_path, "Leads") == sandbox.rows("Leads")

    exporting(main, SMALL)


def test_an_expired_result_is_created_again(tmp_path: Path) -> None:
    """A result that is gone, or a job that nobody knows any more: created again, and told."""

    async def main(sandbox: Sandbox) -> None:
        sandbox.plan("Leads", JobPlan(), JobPlan(keep_s=0.0))
        seen = await export(sandbox, tmp_path, LEADS)
        assert (seen.only().status, seen.count("create")) == ("done", 3)
        assert seen.only().credits_wasted == 50
        assert len(seen.told("page_again")) == 1
        assert rows(tmp_path, "Leads") == sandbox.rows("Leads")

    exporting(main, SMALL)


def _only_error(seen: Exported) -> str:
    error = seen.only().error
    return "" if error is None else error.code


def test_a_result_that_is_always_gone_fails_in_the_end(tmp_path: Path) -> None:
    """Three expiries of one page are enough."""

    async def main(sandbox: Sandbox) -> None:
        sandbox.plan("Leads", *[JobPlan(keep_s=0.0)] * 3)
        seen = await export(sandbox, tmp_path, LEADS)
        assert (_only_error(seen), seen.count("create")) == ("RESOURCE_NOT_FOUND", 3)

    exporting(main, SMALL)

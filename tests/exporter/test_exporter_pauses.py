"""When an export that was left can go on, as its run tells it. A virtual clock."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.exporting import export, exporting, org

from bulkfetch import Export
from bulkfetch.exports.polling import LONGEST_S
from bulkfetch.sandbox import Sandbox

LEADS = Export(module="Leads")
DAY_S = 86_400.0


def test_spent_credits_come_back_after_a_day(tmp_path: Path) -> None:
    """Those of our own ceiling, when the first of them were spent a day ago."""

    async def main(sandbox: Sandbox) -> None:
        seen = await export(sandbox, tmp_path, LEADS, control={"credits_per_day": 130})
        assert seen.only().status == "pending"
        [again_s] = seen.go_on_s.values()
        assert again_s is not None
        assert DAY_S - seen.took_s <= again_s <= DAY_S + 600

    exporting(main)


def test_the_services_pause_is_kept(tmp_path: Path) -> None:
    """The minute that a 429 asks for, where less than that is waited."""

    async def main(sandbox: Sandbox) -> None:
        sandbox.fault("create", "unaccepted:TOO_MANY_REQUESTS")
        seen = await export(sandbox, tmp_path, LEADS, wait=10)
        assert seen.only().error is not None
        assert seen.go_on_s["Leads"] == pytest.approx(61.0, abs=10.0)

    exporting(main)


@pytest.mark.parametrize(("known", "least_s", "most_s"), [(False, 0.0, 8.0), (True, 30.0, 50.0)])
def test_a_page_goes_on_when_it_is_to_be_asked_for(
    tmp_path: Path, *, known: bool, least_s: float, most_s: float
) -> None:
    """After ten seconds: soon where its module is unknown, else shortly before it is ready."""

    async def main(sandbox: Sandbox) -> None:
        if known:
            whole = await export(sandbox, tmp_path, LEADS)
            assert whole.go_on_s == {}
        seen = await export(sandbox, tmp_path, LEADS, wait=10)
        assert seen.only().error is not None
        again_s = seen.go_on_s["Leads"]
        assert again_s is not None
        assert least_s <= again_s + seen.took_s - 10 <= most_s

    exporting(main, org(records=6))


@pytest.mark.slow
def test_a_page_that_is_never_ready_is_asked_for_once_a_minute(tmp_path: Path) -> None:
    """Also by calls that wait for nothing, and after the day for which Zoho keeps it."""

    async def main(sandbox: Sandbox) -> None:
        await export(sandbox, tmp_path, LEADS, wait=2 * DAY_S)
        for _ in range(3):
            seen = await export(sandbox, tmp_path, LEADS, wait=0)
            assert seen.count("status") <= 1
            again_s = seen.go_on_s["Leads"]
            assert again_s is not None
            assert again_s >= 0.9 * LONGEST_S

    exporting(main, org(records=6, prepare_s=1e6))


def test_what_somebody_must_mend_goes_on_nobody_knows_when(tmp_path: Path) -> None:
    """A token whose scope does not do."""

    async def main(sandbox: Sandbox) -> None:
        sandbox.fault("create", "unaccepted:OAUTH_SCOPE_MISMATCH")
        seen = await export(sandbox, tmp_path, LEADS)
        assert seen.go_on_s == {"Leads": None}

    exporting(main)

"""Lists as `run` reads them, and what a report comes to, for programs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import bulkfetch
from bulkfetch import Failure, Report

FIRST, SECOND = "554023000000568001", "554023000000568002"


def test_a_list_is_read_as_by_run(tmp_path: Path) -> None:
    """A list with comments is read for a client, and without one what jobs.toml lists."""
    (tmp_path / "more.txt").write_text(f"# today\n{SECOND}  # Deals\n\n")
    (tmp_path / "ids.txt").write_text(f"{SECOND}\n")
    (tmp_path / "jobs.toml").write_text(
        'ids_file = "ids.txt"\n[account]\ndata_center = "sandbox"\n[sandbox]\nrecords = 5\n'
        f'[[jobs]]\nid = "{FIRST}"\nname = "Leads"\n'
    )
    settings = bulkfetch.load_settings(tmp_path / "jobs.toml", {})

    async def main() -> list[list[str]]:
        found = []
        async with bulkfetch.Client(settings) as client:
            for file in (tmp_path / "more.txt", None):
                with bulkfetch.open_jobs(settings, file=file) as jobs:
                    found.append([outcome.job_id async for outcome in client.fetch(jobs)])
        return found

    assert [sorted(ids) for ids in asyncio.run(main())] == [[SECOND], [FIRST, SECOND]]


@pytest.mark.parametrize(
    ("report", "status"),
    [
        (Report(done=3), 0),
        (Report(done=3, interrupted=True), 0),
        (Report(done=3, failed=1), 1),
        (Report(done=3, failed=1, pending=1), 3),
        (Report(failed=1, pending=1, interrupted=True), 130),
        (Report(done=3, list_read=False, interrupted=True), 130),
        (Report(done=3, aborted=Failure("DISK_FULL", "full"), interrupted=True), 3),
    ],
)
def test_a_report_has_the_exit_status_of_run(report: Report, status: int) -> None:
    """A program can end as `bulkfetch run` would: an end for good, left work, a stop."""
    assert report.exit_status == status
    assert report.ok is (status == 0)

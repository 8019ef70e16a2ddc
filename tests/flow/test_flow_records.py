"""How many records a result holds, and the folder that its file is published in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.flow_clock import run_flow
from tests.support.flows import csv_job, ids, small, watch
from tests.support.zips import Item, pack

from bulkfetch import Job
from bulkfetch.sandbox import JobSpec

ONE, TWO, THREE = ids(3)


def test_records_are_counted(tmp_path: Path) -> None:
    """Of a CSV and of a calendar; the next run tells the same of what is done."""
    options = small(jobs={ONE: csv_job(records=7), TWO: JobSpec(kind="ics", records=5)})
    for _ in range(2):
        seen = run_flow(watch(options, [ONE, TWO, THREE], tmp_path / "out")).by_id()
        assert [seen[job].records for job in (ONE, TWO, THREE)] == [7, 5, 20]


def test_records_are_not_counted_where_nobody_wants_it(tmp_path: Path) -> None:
    """records = false: only those of a job that tells how many there should be."""
    jobs = [Job(ONE), Job(TWO, records=20)]
    seen = run_flow(watch(small(), jobs, tmp_path / "out", records=False)).by_id()
    assert (seen[ONE].records, seen[TWO].records) == (None, 20)


def test_a_number_that_does_not_agree_fails_after_one_more_fetch(tmp_path: Path) -> None:
    """COUNT_MISMATCH: two requests, nothing published, the archive in quarantine."""
    jobs = [Job(ONE, records=20), Job(TWO, records=21)]
    seen = run_flow(watch(small(), jobs, tmp_path / "out"))
    outcome = seen.by_id()[TWO]
    assert seen.by_id()[ONE].status == "done"
    assert outcome.error is not None
    assert (outcome.error.code, outcome.attempts) == ("COUNT_MISMATCH", 2)
    assert "holds 20 records; by the service it should hold 21" in outcome.error.message
    assert outcome.quarantine is not None
    assert os.path.getsize(outcome.quarantine) == outcome.zip_bytes
    # A run that is not told the number remembers it.
    listed, before = [Job(TWO, again=True)], frozenset({f"{ONE}.csv"})
    (again,) = run_flow(watch(small(), listed, tmp_path / "out", foreign=before)).outcomes
    assert again.error is not None
    assert again.error.code == "COUNT_MISMATCH"


def test_bare_quotes_are_no_mismatch(tmp_path: Path) -> None:
    """What the quick count takes for quotes is counted once more before a file is refused."""
    content = pack(Item(data=b'Id,Size\n1,5" pipe\n2,8" pipe\n'))
    options = small(jobs={ONE: JobSpec(content=content), TWO: JobSpec(content=content)})
    jobs = [Job(ONE, records=2), Job(TWO, records=3)]
    seen = run_flow(watch(options, jobs, tmp_path / "out")).by_id()
    assert (seen[ONE].status, seen[ONE].records) == ("done", 2)
    error = seen[TWO].error
    assert error is not None
    assert "it holds 2 records" in error.message


def test_a_calendar_is_published_whatever_its_number(tmp_path: Path) -> None:
    """What counts as an event is less certain: a warning says what was counted."""
    options = small(jobs={ONE: JobSpec(kind="ics", records=5)})
    seen = run_flow(watch(options, [Job(ONE, records=6)], tmp_path / "out"))
    assert seen.by_id()[ONE].status == "done"
    assert seen.by_id()[ONE].records == 5
    (warning,) = [event for event in seen.events if event.kind == "note"]
    assert warning.job_id == ONE
    assert "it holds 5 records; by the service it should hold 6" in warning.message


def test_files_are_published_in_their_folders(tmp_path: Path) -> None:
    """Folders are made as needed; one name in two of them is two files, with their ZIPs beside."""
    jobs = [
        Job(ONE, name="part-00001", folder="Leads/20260930T020001Z-full"),
        Job(TWO, name="part-00001", folder=".bulkfetch/exports/Deals/20260930T020001Z-full"),
        Job(THREE, name="part-00001"),
    ]
    out = tmp_path / "out"
    seen = run_flow(watch(small(), jobs, out, keep_zip=True)).by_id()
    for job in jobs:
        (file,) = seen[job.id].files
        assert file.path == str(out / job.folder / "part-00001.csv")
        assert (out / job.folder / f"{job.id}.zip").is_file()
    again = run_flow(watch(small(), [each.id for each in jobs], out)).outcomes
    assert [each.files for each in again] == [seen[job.id].files for job in jobs]
    assert not any(each.missing for each in again)


def test_one_place_has_one_owner(tmp_path: Path) -> None:
    """Two jobs of a list with one name in one folder: the second is refused."""
    jobs = [Job(each, name="part-00001", folder=where) for each, where in ((ONE, "A"), (TWO, "a"))]
    seen = run_flow(watch(small(), jobs, tmp_path / "out")).by_id()
    assert seen[ONE].status == "done"
    error = seen[TWO].error
    assert error is not None
    assert error.code == "PUBLISH_CONFLICT"


@pytest.mark.parametrize(
    "folder",
    [
        "..",
        "a/../b",
        "/etc",
        "a//b",
        "a/",
        ".bulkfetch",
        ".bulkfetch/staging",
        "a\\b",
        ".git",
        "~/a:b",
    ],
)
def test_a_folder_that_leads_elsewhere_is_refused(tmp_path: Path, folder: str) -> None:
    """INVALID_NAME, before anything is asked."""
    seen = run_flow(watch(small(), [Job(ONE, folder=folder)], tmp_path / "out"))
    error = seen.by_id()[ONE].error
    assert error is not None
    assert error.code == "INVALID_NAME"
    assert not seen.arrivals

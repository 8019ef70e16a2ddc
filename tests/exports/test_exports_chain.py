"""What becomes of pages: from rows and what has happened to rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bulkfetch.control.responses import JobStatus, State
from bulkfetch.errors import ConnectionLost
from bulkfetch.exports import chain
from bulkfetch.exports.chain import Standing, Step
from bulkfetch.journal import PageFile, PageRow, PageState
from bulkfetch.models import Failure, Outcome, PublishedFile

PAGE = PageRow(1, 1, 1, "PREPARING", 1, job_id="7", created_time="2026-09-30T02:00:01Z")
SECOND = PageRow(1, 1, 2, "PREPARING", 1, job_id="8", token="one")


def told(state: State = "COMPLETED", **more: object) -> JobStatus:
    """What the service says of a job."""
    known = {"count": 5, "page": None, "more_records": False, "next_page_token": None}
    others = {"module": "Leads", "file_type": "csv", "created_time": None, "failure": None}
    return JobStatus(**{"job_id": "7", "state": state, **known, **others, **more})  # type: ignore[arg-type]


def came(sha256: str = "ab", records: int = 5) -> Outcome:
    """The outcome of a page that came home."""
    file = PublishedFile("out/x/part-00002.csv", 9, sha256)
    return Outcome("8", "default", "done", (file,), zip_bytes=4, records=records, attempts=1)


@pytest.mark.parametrize("state", ["ADDED", "QUEUED", "IN PROGRESS"])
def test_what_is_not_ready_changes_nothing(state: State) -> None:
    """Also where a result block, or a token, comes with it."""
    status = told(state, more_records=True, next_page_token="two")
    assert chain.answered([PAGE], PAGE, status, by_token=True, now=9.0) == Step()


def test_a_page_that_is_ready_plans_the_next_with_its_token() -> None:
    """Both rows in one step; by number the next one has no token."""
    status = told(more_records=True, next_page_token="one")
    step = chain.answered([PAGE], PAGE, status, by_token=True, now=9.0)
    ready = replace(PAGE, state="READY", ready_at=9.0, count=5)
    assert step.pages == (ready, PageRow(1, 1, 2, token="one"))
    by_number = chain.answered([PAGE], PAGE, status, by_token=False, now=9.0)
    assert by_number.pages == (ready, PageRow(1, 1, 2))


def test_a_page_created_again_must_lead_where_it_led() -> None:
    """The same token goes on; another one would mix two chains, so the export begins again."""
    pages = [PAGE, SECOND]
    same = told(more_records=True, next_page_token="one")
    assert len(chain.answered(pages, PAGE, same, by_token=True, now=9.0).pages) == 1
    other = told(more_records=True, next_page_token="two")
    assert chain.answered(pages, PAGE, other, by_token=True, now=9.0).restart


def test_another_page_than_was_asked_for_is_a_loop() -> None:
    """A service that gives page 1 for every number would never end."""
    page = replace(SECOND, token=None)
    step = chain.answered([PAGE, page], page, told(page=1), by_token=False, now=9.0)
    assert step.pages[0].error is not None
    assert step.pages[0].error.code == "PAGING_LOOP"


def test_the_same_file_twice_is_a_loop() -> None:
    """Every row has an id of its own, so no two pages are equal; empty ones are."""
    first = replace(PAGE, state="COUNTED", files=(PageFile("part-00001.csv", 9, "ab"),), records=5)
    ready = replace(SECOND, state="READY")
    assert chain.ended([first, ready], ready, came()).pages[0].state == "FAILED"
    assert chain.ended([first, ready], ready, came("cd")).pages[0].state == "COUNTED"
    empty = replace(first, records=0)
    assert chain.ended([empty, ready], ready, came(records=0)).pages[0].state == "COUNTED"


def test_what_a_dead_command_left_is_reopened() -> None:
    """CREATING may have been accepted; what failed is tried again, anew where it must be."""
    creating = replace(PAGE, state="CREATING", job_id=None)
    assert chain.reopen([creating]) == Step((replace(creating, state="UNKNOWN"),), 50)
    passing = replace(PAGE, state="FAILED", error=Failure("STALLED", "slow"))
    assert chain.reopen([passing]).pages == (replace(PAGE, error=None),)
    for code in ("COUNT_MISMATCH", "NO_PERMISSION"):
        lasting = replace(SECOND, state="FAILED", error=Failure(code, "no"))
        assert chain.reopen([lasting]).pages == (PageRow(1, 1, 2, token="one"),)
    broken = replace(PAGE, state="FAILED", error=Failure("PAGING_LOOP", "round"))
    assert chain.reopen([broken]).restart


def test_bodies_of_pages() -> None:
    """The first as it was planned, a further one by its token alone, or by its number."""
    query = {"query": {"module": {"api_name": "Leads"}}, "file_type": "csv"}
    assert chain.body([query], PAGE) == query
    assert chain.body([query], SECOND) == {"query": {"page_token": "one"}}
    assert chain.body([query], replace(SECOND, token=None)) == {
        "query": {"module": {"api_name": "Leads"}, "page": 2},
        "file_type": "csv",
    }


def test_parts_are_numbered_without_gaps_in_one_chain_and_uniquely_in_several() -> None:
    """One chain: 1, 2, 3; of three, those of each page stand together."""
    pages = [PageRow(1, at, number) for number in (1, 2) for at in (1, 2, 3)]
    assert [chain.part_number(page, 3) for page in pages] == [1, 2, 3, 4, 5, 6]
    assert chain.part_number(PageRow(1, 1, 4), 1) == 4


@pytest.mark.parametrize(
    ("states", "creating", "polling", "downloading", "standing"),
    [
        (["COUNTED", "COUNTED"], False, False, False, "complete"),
        (["COUNTED", "PLANNED"], True, True, True, "under way"),
        (["COUNTED", "PLANNED"], False, True, True, "stuck"),
        (["PREPARING"], True, True, True, "under way"),
        (["PREPARING"], True, False, True, "stuck"),
        (["READY"], False, False, True, "under way"),
        (["READY"], True, True, False, "stuck"),
        (["CREATING"], False, False, False, "under way"),
        (["FAILED", "READY"], True, True, True, "under way"),
        (["FAILED", "PLANNED"], True, True, True, "failed"),
        (["FAILED", "PREPARING"], True, False, True, "failed"),
    ],
)
def test_where_an_export_stands(
    states: list[PageState], creating: bool, polling: bool, downloading: bool, standing: Standing
) -> None:
    """What is under way is waited for; a failure counts once nothing is."""
    pages = [PageRow(1, 1, at, state) for at, state in enumerate(states, 1)]
    found = chain.standing(pages, creating=creating, polling=polling, downloading=downloading)
    assert found == standing


def test_a_create_that_was_lost_three_times_fails() -> None:
    """Twice it is created again; each time 50 credits may be gone."""
    error = ConnectionLost("reset")
    for tries, state in ((1, "UNKNOWN"), (2, "UNKNOWN"), (3, "FAILED")):
        page = replace(PAGE, state="CREATING", tries=tries, job_id=None)
        step = chain.create_lost(page, error)
        assert (step.pages[0].state, step.wasted) == (state, 50)

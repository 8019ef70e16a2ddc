"""The cursor of an export whose pages were created more than once."""

from __future__ import annotations

import pytest

from bulkfetch.control.responses import Created
from bulkfetch.exports import chain
from bulkfetch.journal import PageRow
from bulkfetch.models import Failure

FIRST, LATER = "2026-09-30T07:30:01+05:30", "2026-09-30T23:30:01+00:00"


def created(page: PageRow, time: str) -> PageRow:
    """Have the service accept a page at that time."""
    return chain.created(chain.creating(page), Created("1", time, "ADDED"), now=0.0)


def again(page: PageRow) -> PageRow:
    """Have a page's result expire."""
    [row] = chain.expired(page, Failure("RESOURCE_NOT_FOUND", "gone")).pages
    return row


@pytest.mark.parametrize(
    ("times", "kept"),
    [
        ([FIRST], FIRST),
        ([FIRST, LATER], FIRST),
        ([LATER, FIRST], FIRST),  # a clock of the service that was set back
        (["", LATER], ""),
        ([FIRST, ""], ""),
    ],
)
def test_a_page_that_is_created_again_keeps_its_first_time(times: list[str], kept: str) -> None:
    """What other pages show may be of then: a later cursor would leave a gap."""
    [page] = chain.plan(1)
    page = created(page, times[0])
    for time in times[1:]:
        page = created(again(page), time)
    assert page.created_time == kept


def test_a_chain_that_begins_anew_has_a_new_time() -> None:
    """Nothing of the old pages is kept, so that the cursor is that of the new first page."""
    [fresh] = chain.plan(1)
    assert created(fresh, LATER).created_time == LATER

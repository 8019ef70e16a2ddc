"""What becomes of an export's pages. Pure: from rows, and what has happened, to rows to write.

A page is PLANNED → CREATING → PREPARING → READY → COUNTED. A create whose reply is lost makes it
UNKNOWN, a result that is gone EXPIRED; both are created again, a limited number of times. A chain
whose thread is broken begins again, in a fresh generation: pages of two are never published
together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bulkfetch.errors import BulkfetchError, CreateLost, NoPageToken, PagingLoop, is_permanent
from bulkfetch.exports.server_time import earliest
from bulkfetch.journal import PageFile, PageRow
from bulkfetch.models import Failure, Outcome

if TYPE_CHECKING:
    from bulkfetch.control.responses import Created, JobStatus

# What Zoho charges for a create call.
CREATE_CREDITS = 50
# Creates of one page whose replies were lost.
MOST_TRIES = 3
# Creates of one page after Zoho's own failure, and after its result has expired.
MOST_FAILURES, MOST_EXPIRIES = 1, 2
# Generations of an export after the first within one command.
MOST_RESTARTS = 2
# Zoho keeps a result for a day; a slot may be an hour away.
KEPT_S, MARGIN_S = 86_400.0, 3600.0

_AGAIN = ("PLANNED", "UNKNOWN", "EXPIRED")
_BROKEN_THREAD = frozenset({"NO_PAGE_TOKEN", "PAGING_LOOP", "CHAIN_BROKEN"})
# Zoho's own failure, not one of the query.
_OF_SERVICE = frozenset({"INTERNAL_SERVER_ERROR", "INTERNAL_ERROR"})


class Step(NamedTuple):
    """Rows to write together, with what is to be told.

    `wasted` credits were paid for a job of no use. `restart` says why the export has to begin again
    at its first pages; "" where it goes on.
    """

    pages: tuple[PageRow, ...] = ()
    wasted: int = 0
    note: str = ""
    restart: str = ""


Standing = Literal["complete", "failed", "under way", "stuck"]


def plan(chains: int) -> tuple[PageRow, ...]:
    """Return the first pages of a generation that has no key yet."""
    return tuple(PageRow(0, chain, 1) for chain in range(1, chains + 1))


def body(queries: Sequence[Mapping[str, Any]], page: PageRow) -> dict[str, Any]:
    """Return the body that creates a page; `queries` create the first ones of the chains."""
    if page.token is not None:
        return {"query": {"page_token": page.token}}
    first = queries[page.chain - 1]
    if page.number == 1:
        return dict(first)
    return {**first, "query": {**first["query"], "page": page.number}}


def part_number(page: PageRow, chains: int) -> int:
    """Return the number in the name of a page's file: without gaps where there is one chain."""
    return (page.number - 1) * chains + page.chain


# --- beginning, and creating ---------------------------------------------------------------------


def reopen(pages: Iterable[PageRow]) -> Step:
    """Return what a new command makes of the pages that an earlier one left."""
    rows, wasted = [], 0
    for page in pages:
        if page.state == "CREATING":  # killed on the way: it may have been accepted
            rows.append(replace(page, state="UNKNOWN"))
            wasted += CREATE_CREDITS
        elif page.state == "FAILED":
            code = page.error.code if page.error else ""
            if code in _BROKEN_THREAD:
                return Step(restart=f"{code} when it was last tried")
            if page.job_id is None or code == "COUNT_MISMATCH" or is_permanent(code):
                rows.append(_afresh(page))
            else:
                rows.append(replace(page, state="PREPARING", error=None))
    return Step(tuple(rows), wasted)


def _afresh(page: PageRow) -> PageRow:
    row = PageRow(page.generation, page.chain, page.number, token=page.token)
    return replace(row, created_time=page.created_time)


def to_create(pages: Iterable[PageRow]) -> PageRow | None:
    """Return the next page to create, None if there is none now."""
    return next((page for page in sorted(pages, key=_place) if page.state in _AGAIN), None)


def creating(page: PageRow) -> PageRow:
    """Return a page whose create call is about to leave."""
    row = replace(_afresh(page), state="CREATING", tries=page.tries + 1)
    return replace(row, failures=page.failures, expiries=page.expiries)


def created(page: PageRow, reply: Created, now: float) -> PageRow:
    """Return a page that the service has accepted.

    Of a page that is created again the first time stays: other pages may show what was then, so
    that a later cursor would leave a gap.
    """
    first = reply.created_time if page.created_time is None else page.created_time
    return replace(
        page,
        state="PREPARING",
        job_id=reply.job_id,
        created_time=earliest([first, reply.created_time]) or "",
        created_at=now,
    )


def not_accepted(page: PageRow) -> PageRow:
    """Return a page whose create call is certain not to have been accepted, to be tried later."""
    return replace(page, state="PLANNED", tries=page.tries - 1)


def create_lost(page: PageRow, error: BulkfetchError) -> Step:
    """Return what becomes of a page whose create call was perhaps accepted."""
    if page.tries < MOST_TRIES:
        note = f"the reply to the create call was lost ({error.message}); it is created again"
        return Step((replace(page, state="UNKNOWN"),), CREATE_CREDITS, note)
    lost = CreateLost(f"the replies to {page.tries} create calls were lost: {error.message}")
    return Step((failed(page, Failure.of(lost)),), CREATE_CREDITS)


def create_refused(page: PageRow, error: BulkfetchError) -> Step:
    """Return what becomes of a page that the service will not create."""
    if page.token is not None:
        return Step(restart=f"the page token was refused ({error.code})")
    return Step((failed(page, Failure.of(error)),))


def failed(page: PageRow, failure: Failure) -> PageRow:
    """Return a page that has failed in this command."""
    return replace(page, state="FAILED", error=failure)


# --- its status ----------------------------------------------------------------------------------


def answered(
    pages: Collection[PageRow], page: PageRow, status: JobStatus, *, by_token: bool, now: float
) -> Step:
    """Return what a status reply makes of a page that is being prepared; no rows if nothing.

    `by_token`: further pages of this version of the API are created by token, not by number.
    """
    match status.state:
        case "COMPLETED":
            return _completed(pages, page, status, by_token, now)
        case "FAILURE":
            return _failure(page, status)
        case _:
            return Step()


def _completed(
    pages: Collection[PageRow], page: PageRow, status: JobStatus, by_token: bool, now: float
) -> Step:
    ready = replace(page, state="READY", ready_at=now, count=status.count, error=None)
    if not by_token and status.page not in (None, page.number):
        why = f"page {page.number} was asked for, and page {status.page} was prepared"
        return Step((failed(page, Failure.of(PagingLoop(why))),))
    if not status.more_records:
        return Step((ready,))
    token = status.next_page_token if by_token else None
    if by_token and token is None:
        why = f"page {page.number} says that there are more, and how to get them it does not say"
        return Step((failed(page, Failure.of(NoPageToken(why))),))
    chain = [each for each in pages if each.chain == page.chain]
    if token is not None and token in {each.token for each in chain if each.number <= page.number}:
        why = f"page {page.number} leads back to a page before"
        return Step((failed(page, Failure.of(PagingLoop(why))),))
    after = next((each for each in chain if each.number == page.number + 1), None)
    if after is None:
        following = PageRow(page.generation, page.chain, page.number + 1, token=token)
        return Step((ready, following))
    if after.token != token:  # created again: what follows is not what followed before
        return Step(restart=f"page {page.number} was created again, and leads elsewhere now")
    return Step((ready,))


def _failure(page: PageRow, status: JobStatus) -> Step:
    found = status.failure
    failure = Failure(
        found.code if found else "FAILURE",
        found.message if found else "the service could not prepare the page, and does not say why",
        "Zoho's own words; its support needs the job's id: " + str(page.job_id),
    )
    if failure.code in _OF_SERVICE and page.failures < MOST_FAILURES:
        note = f"{failure.code}: {failure.message} It is created once more"
        again = replace(_afresh(page), failures=page.failures + 1, expiries=page.expiries)
        return Step((again,), CREATE_CREDITS, note)
    return Step((replace(failed(page, failure), job_id=None),), CREATE_CREDITS)


# --- its result ----------------------------------------------------------------------------------


def is_stale(page: PageRow, now: float) -> bool:
    """Return whether a result is too old to be worth a slot."""
    return page.ready_at is not None and now - page.ready_at > KEPT_S - MARGIN_S


def expired(page: PageRow, failure: Failure) -> Step:
    """Return what becomes of a page whose result, or whose job, is gone."""
    if page.expiries >= MOST_EXPIRIES:
        return Step((failed(page, failure),))
    row = replace(_afresh(page), state="EXPIRED", failures=page.failures)
    note = "its result is gone (Zoho keeps it for one day); it is created again"
    return Step((replace(row, expiries=page.expiries + 1),), CREATE_CREDITS, note)


def ended(pages: Collection[PageRow], page: PageRow, outcome: Outcome) -> Step:
    """Return what the outcome of a page's download makes of it; no rows if it is pending."""
    if outcome.status == "failed":
        failure = outcome.error or Failure("FAILED", "the download failed")
        if failure.code == "RESOURCE_NOT_FOUND":
            return expired(page, failure)
        return Step((replace(failed(page, failure), requests=outcome.attempts),))
    if outcome.status == "pending" or not outcome.files:
        return Step()
    row = replace(
        page,
        state="COUNTED",
        files=page_files(outcome),
        records=outcome.records,
        zip_bytes=outcome.zip_bytes,
        requests=outcome.attempts,
    )
    twin = next((each for each in pages if _is_same_page(each, row)), None)
    if twin is not None:
        why = f"page {page.number} is page {twin.number} once more"
        return Step((failed(page, Failure.of(PagingLoop(why))),))
    return Step((row,))


def page_files(outcome: Outcome) -> tuple[PageFile, ...]:
    """Return the files of a page's download."""
    return tuple(
        PageFile(file.path.rpartition("/")[2], file.bytes, file.sha256) for file in outcome.files
    )


def _is_same_page(one: PageRow, other: PageRow) -> bool:
    """Return whether two files that came hold the same rows: each row has an id of its own."""
    if one.number == other.number or one.chain != other.chain:
        return False
    digests = {file.sha256 for file in one.files if file.sha256}
    return bool(other.records) and any(file.sha256 in digests for file in other.files)


def not_here(page: PageRow, requests: int) -> PageRow:
    """Return a page whose files are not here, or not as they are wanted now, to be fetched again.

    `requests` are those that are counted here; another host may have made more.
    """
    return replace(page, state="READY", files=(), records=None, zip_bytes=None, requests=requests)


# --- the whole -----------------------------------------------------------------------------------


def standing(
    pages: Collection[PageRow], *, creating: bool, polling: bool, downloading: bool
) -> Standing:
    """Return where an export stands.

    The rest says whether pages may still be created, asked for and downloaded in this command.
    "stuck": nothing is under way, and nothing more can be done in this command.
    """
    states = {page.state for page in pages}
    if states == {"COUNTED"}:
        return "complete"
    if "CREATING" in states or (downloading and "READY" in states):
        return "under way"
    if polling and "PREPARING" in states:
        return "under way"
    if "FAILED" in states:
        return "failed"
    return "under way" if creating and states.intersection(_AGAIN) else "stuck"


def under_way(pages: Iterable[PageRow]) -> int:
    """Return how many jobs are between their creation and the end of their download."""
    return sum(page.state in ("CREATING", "PREPARING", "READY") for page in pages)


def _place(page: PageRow) -> tuple[int, int]:
    return page.number, page.chain

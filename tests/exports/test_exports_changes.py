"""What the next export asks for, and the service's times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkfetch.config import Export
from bulkfetch.errors import ConfigError
from bulkfetch.exports.changes import (
    Committed,
    SyncStep,
    blind_spots,
    committed_by,
    forgets_deletions,
    next_step,
)
from bulkfetch.exports.columns import columns_of
from bulkfetch.exports.server_time import earliest, server_time, stamp

CURSOR = "2026-09-30T07:30:01+05:30"
CURSOR_UTC = datetime(2026, 9, 30, 2, 0, 1, tzinfo=UTC)
DAY = timedelta(days=1)
COMMITTED = Committed(
    account="default",
    cursor_to=CURSOR,
    query_hash="same",
    last_full_at=CURSOR,
    columns=columns_of([("Id", "Name")], {"Name": "text"}),
    folder="20260930T020001Z-full",
    finished="2026-09-30T02:10:00Z",
    deletions_listed=True,
)
CHANGES: dict[str, Any] = {"module": "Leads", "sync": "changes"}


def step(
    committed: Committed | None = COMMITTED,
    *,
    after: timedelta = DAY,
    query_hash: str = "same",
    account: str = "default",
    full: bool = False,
    **keys: Any,
) -> SyncStep:
    """Return what is asked for so long after the cursor."""
    export = Export(**CHANGES | keys)
    now = CURSOR_UTC + after
    return next_step(export, committed, now, account=account, query_hash=query_hash, full=full)


def changed(committed: Committed = COMMITTED, **values: Any) -> Committed:
    """Return what was committed, with other values."""
    return Committed(**{name: getattr(committed, name) for name in Committed.__slots__} | values)


def test_changes_are_asked_for_from_the_overlap_before_the_cursor() -> None:
    """The lower bound is the service's own time less the overlap, in its own offset."""
    found = step()
    assert (found.mode, found.cursor_from, found.deleted_since) == ("changes", CURSOR, None)
    assert found.since is not None
    assert found.since.isoformat() == "2026-09-30T07:20:01+05:30"
    assert step(deleted=True).deleted_since == found.since


def test_an_overlap_of_nothing_is_legal() -> None:
    """Then the lower bound is the cursor itself, to which the criterion is "or equal"."""
    assert step(overlap_s=0).since == server_time(CURSOR)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (step(full=True), "as requested"),
        (step(sync="full"), 'sync is "full"'),
        (step(None), "it is the first one"),
        (step(account="other"), "the one before was of another account"),
        (step(changed(cursor_to=None)), "no usable time"),
        (step(changed(cursor_to="2026-09-30T02:00:01")), "no usable time"),
        (step(query_hash="other"), "the query changed"),
        (step(after=60 * DAY, deleted=True), "deletions are listed for 60 days"),
        (step(changed(deletions_listed=False), deleted=True), "did not list deletions"),
        (step(full_every_s=86_400), "one is due every 1 d"),
        (step(changed(last_full_at=None), full_every_s=86_400), "one is due every 1 d"),
    ],
)
def test_everything_is_asked_for_where_changes_would_leave_a_gap(
    found: SyncStep, words: str
) -> None:
    """A full export says why it is one, and has no lower bound."""
    assert (found.mode, found.since) == ("full", None)
    assert words in found.why


def test_a_long_gap_without_deletions_is_no_reason_for_everything() -> None:
    """Modified rows are found however long ago; only deletions are forgotten."""
    assert step(after=400 * DAY).mode == "changes"
    assert step(after=59 * DAY, deleted=True).mode == "changes"


def test_a_full_export_lists_deletions_too_as_far_as_they_are_told() -> None:
    """Readers of several folders need them; with a gap that is too long there is no full list."""
    found = step(full=True, deleted=True)
    assert found.deleted_since == step().since
    assert step(None, deleted=True).deleted_since is None
    assert step(after=90 * DAY, deleted=True).deleted_since is None
    assert step(deleted=True, account="other").deleted_since is None


def test_a_weekly_full_export_is_not_missed_by_a_second() -> None:
    """The run of the seventh night begins a little earlier than that of the first did."""
    week = 7 * DAY
    assert step(after=week - timedelta(seconds=9), full_every_s=week.total_seconds()).mode == "full"
    assert step(after=6 * DAY, full_every_s=week.total_seconds()).mode == "changes"


def test_a_given_time_takes_the_place_of_the_cursor() -> None:
    """It is used as it is, without overlap; `--full` goes before."""
    since = CURSOR_UTC - 3 * DAY
    found = step(None, sync="full", since=since)
    assert (found.mode, found.since, found.cursor_from) == ("changes", since, None)
    assert step(None, since=since, deleted=True).deleted_since == since
    assert step(since=since, full=True).mode == "full"


def test_a_module_without_modified_time_is_refused() -> None:
    """The error names the module and the way out; a full export of it is fine."""
    for keys in ({"sync": "changes"}, {"since": CURSOR_UTC}):
        with pytest.raises(ConfigError, match="Leads has no Modified_Time"):
            next_step(
                Export(module="Leads", **keys),
                COMMITTED,
                CURSOR_UTC,
                account="default",
                query_hash="same",
                has_modified_time=False,
            )
    found = next_step(
        Export(module="Leads"),
        COMMITTED,
        CURSOR_UTC,
        account="default",
        query_hash="same",
        has_modified_time=False,
    )
    assert found.mode == "full"


def left_by(found: SyncStep, before: Committed | None, cursor_to: str) -> Committed:
    """Return what an export leaves that did this."""
    return committed_by(
        found,
        before,
        account="default",
        cursor_to=cursor_to,
        query_hash="same",
        columns=COMMITTED.columns,
        folder="20261001T020001Z-changes",
        finished="2026-10-01T02:10:00Z",
    )


def test_what_is_committed_remembers_the_last_full_export_and_the_deletions() -> None:
    """A full one starts anew; changes without a list of deletions leave a gap in them for good."""
    later = "2026-10-01T07:30:01+05:30"
    full = left_by(step(full=True), COMMITTED, later)
    assert (full.cursor_to, full.last_full_at, full.deletions_listed) == (later, later, True)
    listed = left_by(step(deleted=True), COMMITTED, later)
    assert (listed.last_full_at, listed.deletions_listed) == (CURSOR, True)
    unlisted = left_by(step(), COMMITTED, later)
    assert (unlisted.last_full_at, unlisted.deletions_listed) == (CURSOR, False)
    assert not left_by(step(deleted=True), unlisted, later).deletions_listed


def test_deletions_that_are_forgotten_by_the_services_clock_are_listed_by_a_full_export() -> None:
    """A local clock that is slow by days hides a long gap; the service's own time tells it."""
    late = "2026-12-01T07:30:01+05:30"  # two months after the cursor
    found = step(deleted=True)
    assert found.mode == "changes"
    assert forgets_deletions(found, late)
    assert not forgets_deletions(found, "2026-10-01T07:30:01+05:30")
    assert not forgets_deletions(step(), late)
    left = left_by(found, COMMITTED, late)
    assert not left.deletions_listed
    assert step(left, after=62 * DAY, deleted=True).why == "the one before did not list deletions"


def test_what_is_stored_comes_back() -> None:
    """Both values survive their text, with offsets as the service sent them."""
    assert Committed.of_text(COMMITTED.to_text()) == COMMITTED
    for found in (step(), step(full=True), step(deleted=True)):
        again = SyncStep.of_text(found.to_text())
        assert again == found
        assert again.since is None or found.since is not None
        if again.since is not None and found.since is not None:
            assert again.since.isoformat() == found.since.isoformat()


def test_what_changes_cannot_see_is_told() -> None:
    """Rows that leave a selection, and columns joined from parents, are named."""
    assert blind_spots(Export(module="Leads")) == []
    criterion = {"field": "City", "comparator": "equal", "value": "Oslo"}
    [left] = blind_spots(Export(module="Leads", criteria=criterion))
    assert "left the criteria" in left
    [left, joined] = blind_spots(
        Export(module="Leads", custom_view="1", fields=["Last_Name", "Owner.last_name"])
    )
    assert "left the custom view" in left
    assert "Owner.last_name" in joined


@pytest.mark.parametrize(
    "text", [None, "", "2026-09-30", "2026-09-30T02:00:01", "yesterday", "2026-13-01T00:00:00Z"]
)
def test_a_time_without_an_offset_is_none(text: str | None) -> None:
    """A time that could be in any zone is not guessed."""
    assert server_time(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "2026-09-30T02:00:01Z",
        "2026-09-30T07:30:01+05:30",
        "2026-09-29T18:00:01-08:00",
        "2026-09-30T07:45:01+0545",
        "2026-09-30T02:00:01.999Z",
    ],
)
def test_offsets_are_heeded_exactly(text: str) -> None:
    """Half hours and quarters of them count; folders are named by the second in UTC."""
    found = server_time(text)
    assert found is not None
    assert found.replace(microsecond=0) == CURSOR_UTC
    assert stamp(found) == "20260930T020001Z"


OFFSETS = st.integers(-14 * 60, 14 * 60)
INSTANTS = st.datetimes(datetime(2000, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC))


@given(st.lists(st.tuples(INSTANTS, OFFSETS), min_size=1, max_size=5))
def test_the_earliest_of_several_chains_is_by_instant(
    sent: list[tuple[datetime, int]],
) -> None:
    """A split export's cursor is the earliest instant, as it was sent, whatever the offsets."""
    texts = [at.astimezone(timezone(timedelta(minutes=off))).isoformat() for at, off in sent]
    found = earliest(texts)
    assert found in texts
    assert server_time(found) == min(at for at, _ in sent)


def test_one_unusable_time_of_several_spoils_the_cursor() -> None:
    """Without it the earliest is not known, so that the next export is full."""
    assert earliest([CURSOR, None]) is None
    assert earliest([]) is None

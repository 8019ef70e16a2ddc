"""An account's usage: wrong clocks, changes that are made twice, owners that are gone. Values."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkfetch.control.allowance import (
    DAY_S,
    GRACE_S,
    REFILL_S,
    SPAN_S,
    Allowance,
    ControlLimits,
    CountedCall,
    WaitingCall,
)
from bulkfetch.control.calls import CREDITS, Kind
from bulkfetch.control.rows import SCHEMA, ControlRows
from bulkfetch.control.usage import (
    QUIET_S,
    AccountUsage,
    Caller,
    ChangeTime,
    Settled,
)

LIMITS = ControlLimits(concurrency=2, creates_per_minute=3, polls_per_minute=5)
LEASE_S = 300.0
NOW = 1_800_000_000.0
ANSWERED = Settled("answered")


class Host:
    """A host with a clock of its own, `behind_s` behind that of the ledger."""

    def __init__(self, usage: AccountUsage, owner: int = 1, behind_s: float = 0.0) -> None:
        self.usage, self.behind_s = usage, behind_s
        self.caller = Caller(owner, LIMITS, LEASE_S)
        self._numbers = iter(range(100 * owner, 100 * owner + 100))

    def time(self, now: float, late_s: float = 0.0) -> ChangeTime:
        """Give the time of a usage that was had `late_s` after it was asked for."""
        return ChangeTime(now, now, now - late_s - self.behind_s)

    def take(self, now: float, kind: Kind = "create", number: int | None = None) -> Allowance:
        """Ask for a place, of a call with the next number unless told otherwise."""
        time = self.time(now)
        number = next(self._numbers) if number is None else number
        return self.usage.take(self.caller, number, kind, time.asked, time)

    def settle(
        self, number: int, ended: float, settled: Settled, now: float, late_s: float = 0.0
    ) -> None:
        """Say how a create ended, and when by the host's clock."""
        owner = self.caller.owner
        self.usage.settle(owner, number, "create", settled, ended, self.time(now, late_s))


@given(
    st.floats(-1e7, 1e7),
    st.floats(0, 600),
    st.floats(0, 30),
)
def test_an_answer_is_never_written_as_earlier_than_it_was(
    behind_s: float, age_s: float, late_s: float
) -> None:
    """Whatever the host's clock says: its age counts, and what passed until the usage was had."""
    usage = AccountUsage()
    host = Host(usage, behind_s=behind_s)
    answered_at = NOW + 10
    assert host.take(NOW, number=7).for_s == 0
    had_at = answered_at + age_s + late_s
    host.settle(7, answered_at - behind_s, ANSWERED, had_at, late_s)
    assert answered_at - 1e-3 <= usage.calls[7].at <= answered_at + late_s + 1e-3


def test_a_change_that_was_kept_already_is_the_same_made_again() -> None:
    """A reply that was lost costs no second place, no second minute and no credits."""
    once, twice = AccountUsage(), AccountUsage()
    for usage, times in ((once, 1), (twice, 2)):
        host = Host(usage)
        for _ in range(times):
            assert host.take(NOW, number=1).for_s == 0
        for _ in range(times):
            assert host.take(NOW, number=2).for_s == 0
        for _ in range(times):
            host.settle(1, NOW + 1, Settled("refused", 90.0), NOW + 1)
            host.settle(2, NOW + 1, Settled("unused"), NOW + 1)
    assert once == twice
    assert sum(once.spent.values()) == 0
    assert once.paused_until == NOW + 91


def test_a_call_that_is_answered_after_its_lease_counts_from_its_answer() -> None:
    """Nothing has to be known of it any more; what it cost is not spent a second time."""
    usage = AccountUsage()
    frozen, other = Host(usage), Host(usage, owner=2)
    assert frozen.take(NOW, number=7).for_s == 0
    late = NOW + LEASE_S + REFILL_S + 1
    assert other.take(late).for_s == 0
    assert 7 not in usage.calls
    frozen.settle(7, late + 1, ANSWERED, late + 1)
    assert usage.calls[7].at == late + 1
    assert sum(usage.spent.values()) == 2 * CREDITS["create"]


# --- the clock of the ledger ----------------------------------------------------------------------


@pytest.mark.parametrize("back_s", [30.0, 250.0, 3600.0, 1e6])
def test_a_clock_that_goes_back_shortens_no_minute_and_bars_nobody_for_long(back_s: float) -> None:
    """What was called counts a minute from now, what is under way no longer than a lease."""
    usage = AccountUsage(hold_s=0.0)
    host = Host(usage)
    for number in range(3):
        assert host.take(NOW, number=number).for_s == 0
        host.settle(number, NOW + 1, ANSWERED, NOW + 1)
    set_back = NOW + 1 - back_s
    found = host.take(set_back)
    assert found.why == "minute"
    assert REFILL_S <= found.for_s <= REFILL_S + GRACE_S
    assert host.take(set_back + found.for_s).for_s == 0
    # Of one whose host has died meanwhile.
    dead = max(call.at for call in usage.calls.values() if not call.settled)
    usage.calls[50] = CountedCall("read", dead + 1e6, 9, False, 0.0)
    host.take(set_back + found.for_s, "read")
    assert usage.calls[50].at == set_back + found.for_s + LEASE_S + QUIET_S


def test_a_clock_that_goes_back_keeps_the_day() -> None:
    """What was spent ahead of it counts as spent now, for a day and not for longer."""
    usage = AccountUsage()
    host = Host(usage)
    assert host.take(NOW, number=1).for_s == 0
    host.settle(1, NOW + 1, Settled("answered", 0.0, 1_000), NOW + 1)
    back = NOW - 10 * DAY_S
    host.take(back, "read")
    assert list(usage.spent) == [back // SPAN_S * SPAN_S]
    host.settle(9, back, Settled("answered", 0.0, 5_000), back)
    assert usage.remaining == 5_000


def test_books_that_are_closed_let_nothing_leave_and_open_again() -> None:
    """As long as what is not known may count, and no longer, whatever is written there."""
    usage = AccountUsage(hold_s=0.0, closed_until=NOW + DAY_S)
    host = Host(usage)
    for kind in CREDITS:
        found = host.take(NOW, kind)
        assert found == (LEASE_S + QUIET_S, "closed")
    assert host.take(NOW + LEASE_S + QUIET_S).for_s == 0


# --- in SQLite ------------------------------------------------------------------------------------


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    """Give the tables of control.db."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(SCHEMA)
    yield connection
    connection.close()


def test_what_was_written_is_read(db: sqlite3.Connection) -> None:
    """Every change of an account's usage is in its rows, and in nobody else's."""
    rows, others = ControlRows(db, "mine", 5.0), ControlRows(db, "another", 0.0)
    before = rows.read()
    assert before == AccountUsage(paused_until=5.0)
    full = AccountUsage(
        {
            1: CountedCall("create", 2.5, 3, False, 300.0),
            4: CountedCall("status", 5.5, 6, True, 0.0),
        },
        {(7, "create"): WaitingCall(8.0, 9.0), (7, "status"): WaitingCall(8.5, 9.5)},
        {0.0: 1, 300.0: 50},
        paused_until=6.0,
        remaining=1_000,
        remaining_at=7.0,
    )
    rows.write(before, full)
    assert rows.read() == full
    less = full.copy()
    less.calls[1] = less.calls[1]._replace(settled=True)
    del less.calls[4], less.waiting[7, "status"], less.spent[0.0]
    less.spent[300.0] = 0
    rows.write(full, less)
    assert rows.read() == less
    assert others.read() == AccountUsage()

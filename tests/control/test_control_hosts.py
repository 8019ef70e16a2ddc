"""The budget in PostgreSQL: what only it does. Real time, a real server."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple
from unittest.mock import patch

import pytest
from tests.support.postgres import PASSWORD, ROLE, PostgresServer

from bulkfetch.clock import boottime
from bulkfetch.control.allowance import REFILL_S, Allowance, ControlLimits
from bulkfetch.control.budget import LATE_S, ControlBudget
from bulkfetch.control.calls import CREDITS, Kind
from bulkfetch.control.hosts_ledger import HostsLedger
from bulkfetch.control.usage import QUIET_S, Caller
from bulkfetch.errors import ConfigError, CreditsSpent, Superseded
from bulkfetch.ratelimit import RateLimit, WindowEvent, patience
from bulkfetch.ratelimit.postgres.database import WindowDatabase
from bulkfetch.ratelimit.postgres.limiter import DatabaseLimiter
from bulkfetch.ratelimit.postgres.schema import SQL_FILE
from bulkfetch.secret import Secret

pytestmark = pytest.mark.slow

LIMITS = ControlLimits(concurrency=2, creates_per_minute=3, polls_per_minute=5)
LEASE_S = 300.0
CLOSED_S = LEASE_S + LATE_S + QUIET_S


class Host(NamedTuple):
    """A host's connection, its budget of the account acme, and what it is told of the database."""

    database: WindowDatabase
    ledger: HostsLedger
    budget: ControlBudget
    events: list[WindowEvent]

    async def call(self, kind: Kind = "create", remaining: int | None = None) -> None:
        """Make a call that is answered at once, and see that written."""
        async with self.budget.call(kind) as place:
            place.answered(remaining, well=True)
        await self.ledger.submit(lambda usage, time: None)

    async def look(self, kind: Kind = "create", limits: ControlLimits = LIMITS) -> Allowance:
        """Return how long a call would have to wait; none is made."""
        caller, number = Caller(secrets.randbits(62), limits, LEASE_S + LATE_S), 1
        since = self.ledger.clock()
        found = await self.ledger.submit(
            lambda usage, time: usage.take(caller, number, kind, since, time)
        )
        await self.ledger.submit(lambda usage, time: usage.withdraw(caller.owner, number, kind))
        return found


@asynccontextmanager
async def host(
    url: str,
    limits: ControlLimits = LIMITS,
    clock: Callable[[], float] = boottime,
    password: str | None = None,
) -> AsyncIterator[Host]:
    """Give a host with a clock of its own."""
    secret = None if password is None else Secret(password)
    database = await WindowDatabase.open(url, secret, patience_s=0, clock=clock)
    events: list[WindowEvent] = []
    ledger = HostsLedger("acme", database, on_away=events.append, clock=clock)
    budget = ControlBudget(limits, "key", ledger, LEASE_S)
    try:
        yield Host(database, ledger, budget, events)
    finally:
        await budget.aclose()
        await database.aclose()


def test_hosts_have_their_places_minutes_and_credits_together(
    postgres: PostgresServer, database: str
) -> None:
    """What one has used the others lack; another account has its own."""

    async def main() -> None:
        url = postgres.url(database)
        async with host(url) as one, host(url) as other:
            async with one.budget.call("read"), one.budget.call("read"):
                assert (await other.look("status")).why == "place"
            for each in (one, other, one):
                await each.call()
            found = await other.look()
            assert found.why == "minute"
            assert found.for_s == pytest.approx(REFILL_S, abs=20)
            for each in (one, other, one, other, one):
                await each.call("status")
            assert (await other.look("status")).why == "minute"
            foreign = HostsLedger("another", other.database)
            assert await foreign.submit(lambda usage, time: usage.calls) == {}
            await foreign.aclose()

    asyncio.run(main())


def test_credits_of_a_day_and_what_the_service_says_hold_for_all_hosts(
    postgres: PostgresServer, database: str
) -> None:
    """What one host has spent, or was told, the others need not find out."""
    limits = ControlLimits(creates_per_minute=9, credits_per_day=101)

    async def main() -> None:
        url = postgres.url(database)
        async with host(url, limits) as one, host(url, limits) as other:
            await one.call()
            await other.call()
            for each in (one, other):
                with pytest.raises(CreditsSpent, match="credits_per_day, 101, is spent"):
                    await each.call()
            await one.call("status", remaining=0)
            with pytest.raises(CreditsSpent, match="credits of the org are spent"):
                await other.call("status")

    asyncio.run(main())


@pytest.mark.parametrize("wrong_s", [-7200.0, 7200.0, 1e7])
def test_a_hosts_clock_says_nothing_about_minutes(
    postgres: PostgresServer, database: str, wrong_s: float
) -> None:
    """One that is wrong by hours neither shortens a minute nor bars the others for longer."""

    async def main() -> None:
        url = postgres.url(database)
        async with host(url, clock=lambda: boottime() + wrong_s) as wrong, host(url) as right:
            for each in (wrong, right, wrong):
                await each.call()
            for each in (wrong, right):
                found = await each.look()
                assert found.why == "minute"
                assert found.for_s == pytest.approx(REFILL_S, abs=20)

    asyncio.run(main())


def test_who_is_cancelled_holds_nothing(postgres: PostgresServer, database: str) -> None:
    """Neither one who waits nor one whose place was just given takes anything from the others."""

    async def main() -> None:
        url = postgres.url(database)
        async with host(url) as one, host(url) as other:
            for steps in range(8):
                asking = asyncio.create_task(one.call("read"))
                for _ in range(steps):
                    await asyncio.sleep(0)
                asking.cancel()
                await asyncio.wait([asking])
            await one.budget.aclose()
            async with other.budget.call("read"), other.budget.call("read"):
                pass
            assert await other.ledger.submit(lambda usage, time: usage.waiting) == {}

    asyncio.run(main())


def test_a_turn_that_another_has_followed_makes_no_call(
    postgres: PostgresServer, database: str
) -> None:
    """It learns it also while it waits; runs that are none of a fleet's do not look at it."""
    limits = ControlLimits(concurrency=1)

    async def main() -> None:
        async with host(postgres.url(database), limits) as plain:
            postgres.sql(
                "INSERT INTO bulkfetch.account_window (account, generation) VALUES ('acme', 7)",
                database,
            )
            ledger = HostsLedger("acme", plain.database)
            turn = ControlBudget(limits, "key", ledger, LEASE_S, generation=7)
            async with turn.call("create") as place:
                place.answered(None, well=True)
            async with plain.budget.call("read"):
                waiting = asyncio.create_task(turn.call("create").__aenter__())
                while not await plain.ledger.submit(lambda usage, time: usage.waiting):
                    await asyncio.sleep(0)
                postgres.sql("UPDATE bulkfetch.account_window SET generation = 8", database)
                with pytest.raises(Superseded):
                    await waiting
            with pytest.raises(Superseded):
                await turn.call("status").__aenter__()
            await plain.call()
            await turn.aclose()
            assert await plain.ledger.submit(lambda usage, time: usage.waiting) == {}

    asyncio.run(main())


# --- the database fails ---------------------------------------------------------------------------


def test_a_crash_of_the_database_forgets_no_call(postgres: PostgresServer, database: str) -> None:
    """What has left is known before it leaves, whatever the database says of commits."""
    postgres.sql(f"ALTER DATABASE {database} SET synchronous_commit = off")

    async def main() -> None:
        async with (
            host(postgres.url(database)) as one,
            one.budget.call("create"),
            one.budget.call("create"),
        ):
            postgres.stop("immediate")
            postgres.start()
            assert (await one.look()).why == "place"

    asyncio.run(main())


def test_calls_wait_while_the_database_is_away(postgres: PostgresServer, database: str) -> None:
    """Nothing leaves, who waits is told why, once, and what has ended is written afterwards."""

    async def main() -> None:
        async with host(postgres.url(database)) as one:
            deafen = one.database.listen(one.events.append)  # as the window's limiter does
            async with one.budget.call("create") as place:
                postgres.stop("fast")
                try:
                    place.answered(None, well=True)
                    waiting = asyncio.create_task(one.call())
                    with patch.object(patience, "TOLD_AFTER_S", 0.2):
                        while not one.events:
                            await asyncio.sleep(0.01)
                    assert not waiting.done()
                finally:
                    postgres.start()
            await waiting
            calls = await one.ledger.submit(lambda usage, time: list(usage.calls.values()))
            assert [(call.kind, call.settled) for call in calls] == [("create", True)] * 2
            [event] = one.events
            assert event.kind == "held"
            assert "no request leaves before it is back" in event.message
            deafen()

    asyncio.run(main())


# --- what is not known any more -------------------------------------------------------------------


async def assert_closed(each: Host) -> None:
    """See that nothing leaves, of whatever kind, until all is over that is not known."""
    for kind in CREDITS:
        found = await each.look(kind)
        assert found.why == "closed"
        assert found.for_s == pytest.approx(CLOSED_S, abs=20)


@pytest.mark.parametrize("by", ["control", "window"])
def test_a_clock_that_is_set_forward_frees_no_minute(
    postgres: PostgresServer, database: str, by: str
) -> None:
    """The account is closed, also by a host that sees the step and makes no control call."""
    # The database's clock cannot be set here: what is there moves back by an hour instead, and what
    # the connection knows of its clock.

    async def main() -> None:
        url = postgres.url(database)
        async with host(url) as one, host(url) as seeing:
            limiter = DatabaseLimiter(RateLimit(), "other", seeing.database)
            await limiter.look()
            for _ in range(3):
                await one.call()
            assert (await one.look()).why == "minute"
            postgres.sql(
                "UPDATE bulkfetch.account_control SET stamp ="
                " (SELECT array_agg(at - 3600) FROM unnest(stamp) AS at)",
                database,
            )
            assert (await one.look()).for_s == 0  # what a step does, unseen
            seeing.database._guard._at_most -= 3600
            if by == "window":
                await limiter.look()
            else:
                await assert_closed(seeing)
            await assert_closed(one)
            await limiter.aclose()

    asyncio.run(main())


def test_after_a_fail_over_the_books_are_closed(postgres: PostgresServer, database: str) -> None:
    """Another timeline may lack the last calls, and accounts."""

    async def main() -> None:
        url = postgres.url(database)
        async with host(url) as one:
            await one.call()
        postgres.sql("UPDATE bulkfetch.window_version SET timeline = '00000000'", database)
        async with host(url) as one:
            await assert_closed(one)
            postgres.sql("DELETE FROM bulkfetch.account_control", database)
        async with host(url) as one:
            await assert_closed(one)

    asyncio.run(main())


def test_a_row_that_somebody_deleted_comes_back_closed(
    postgres: PostgresServer, database: str
) -> None:
    """What is not known counts as used."""

    async def main() -> None:
        async with host(postgres.url(database)) as one:
            await one.call()
            postgres.sql("DELETE FROM bulkfetch.account_control", database)
            await assert_closed(one)

    asyncio.run(main())


# --- tables ---------------------------------------------------------------------------------------


def test_tables_of_before_the_budget_are_added_to(postgres: PostgresServer, database: str) -> None:
    """A role that may makes the table; one that may not is told what the owner has to run."""
    grants = (
        f"GRANT USAGE ON SCHEMA bulkfetch TO {ROLE};"
        f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA bulkfetch TO {ROLE}"
    )
    postgres.sql(SQL_FILE.read_text(), database)
    postgres.sql("DROP TABLE bulkfetch.account_control", database)
    postgres.sql(grants, database)

    async def main(user: str | None = None) -> None:
        url = postgres.url(database, user) if user else postgres.url(database)
        async with host(url, password=PASSWORD) as one:
            await one.call()

    with pytest.raises(ConfigError, match="cannot be used or made") as caught:
        asyncio.run(main(ROLE))
    assert str(SQL_FILE) in caught.value.hint
    asyncio.run(main())
    with pytest.raises(ConfigError, match="account_control") as caught:  # not granted yet
        asyncio.run(main(ROLE))
    assert "GRANT" in caught.value.hint
    postgres.sql(grants, database)
    asyncio.run(main(ROLE))

"""The window in PostgreSQL: what only it does. Real time, a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.support.postgres import PASSWORD, ROLE, PostgresServer

from bulkfetch.clock import boottime
from bulkfetch.errors import ConfigError, Superseded
from bulkfetch.ratelimit import RateLimit, SlotLimiter, WindowEvent
from bulkfetch.ratelimit.interfaces import Lease, Settlement
from bulkfetch.ratelimit.postgres.database import WindowDatabase
from bulkfetch.ratelimit.postgres.limiter import DatabaseLimiter, open_database_limiter
from bulkfetch.ratelimit.postgres.schema import SQL_FILE, probe
from bulkfetch.ratelimit.slots import AccountSlots
from bulkfetch.secret import Secret

pytestmark = pytest.mark.slow

LONG = RateLimit(period_s=600.0)
SHORT = RateLimit(period_s=1.0, margin_s=0.05, grace_s=0.1, headers_timeout_s=2.0)


@asynccontextmanager
async def host(
    url: str, limit: RateLimit = LONG, password: str | None = None
) -> AsyncIterator[tuple[WindowDatabase, DatabaseLimiter, list[WindowEvent]]]:
    """Give a host's connection, its limiter of the account acme, and what that tells."""
    secret = None if password is None else Secret(password)
    database = await WindowDatabase.open(url, secret, patience_s=0)
    events: list[WindowEvent] = []
    limiter = DatabaseLimiter(limit, "acme", database, on_event=events.append)
    try:
        yield database, limiter, events
    finally:
        await limiter.aclose()
        await database.aclose()


async def free(limiter: DatabaseLimiter) -> int:
    await limiter.look()
    return limiter.state().free


def ended(lease: Lease, end: str = "answered") -> Settlement:
    return Settlement(lease, end, asyncio.get_running_loop().time(), None)  # type: ignore[arg-type]


def test_two_hosts_have_ten_slots_together(postgres: PostgresServer, database: str) -> None:
    """What one host has taken the other one lacks; what was not sent it has again."""

    async def main() -> None:
        url = postgres.url(database)
        async with host(url) as (_, one, _), host(url) as (_, other, _):
            mine = [await one.acquire() for _ in range(5)]
            await one.settle([ended(lease) for lease in mine[:3]])
            assert await free(other) == 5
            await one.settle([ended(mine[3], "unused"), ended(mine[4], "lost")])
            assert await free(other) == 6
            assert len({lease.key for lease in mine}) == 5

    asyncio.run(main())


def test_a_host_that_waits_is_served_when_a_slot_is_given_back(
    postgres: PostgresServer, database: str
) -> None:
    """Nobody has to wait for a slot's minute where a request was not sent."""

    async def main() -> None:
        url = postgres.url(database)
        async with host(url) as (_, one, _), host(url) as (_, other, _):
            mine = [await one.acquire() for _ in range(10)]
            waiting = asyncio.create_task(other.acquire())
            await asyncio.sleep(0)
            await one.settle([ended(mine[0], "unused")])
            assert isinstance(await waiting, Lease)

    asyncio.run(main())


def test_one_who_is_cancelled_holds_nothing(postgres: PostgresServer, database: str) -> None:
    """A slot that is granted to somebody who has gone is given back."""

    async def main() -> None:
        url = postgres.url(database)
        async with host(url) as (_, one, _), host(url) as (_, other, _):
            asking = [asyncio.create_task(one.acquire()) for _ in range(4)]
            await asyncio.sleep(0)
            for task in asking:
                task.cancel()
            await asyncio.wait(asking)
            await one.aclose()
            assert await free(other) == 10

    asyncio.run(main())


def test_what_is_said_twice_counts_once(postgres: PostgresServer, database: str) -> None:
    """A settle whose first reply was lost changes nothing; a later renewal neither."""

    async def main() -> None:
        async with host(postgres.url(database)) as (_, limiter, events):
            lease = await limiter.acquire()
            refused = ended(lease)._replace(end="rejected")
            await limiter.settle([refused])
            before = postgres.sql("TABLE bulkfetch.account_window", database)
            await limiter.settle([refused])
            await limiter.renew([lease])
            assert postgres.sql("TABLE bulkfetch.account_window", database) == before
            assert [event.kind for event in events] == ["closed"]

    asyncio.run(main())


def test_a_crash_of_the_database_forgets_no_slot(postgres: PostgresServer, database: str) -> None:
    """Slots are kept before they are given, whatever the database says of its commits."""
    postgres.sql(f"ALTER DATABASE {database} SET synchronous_commit = off")

    async def main() -> None:
        async with host(postgres.url(database)) as (_, limiter, _):
            for _ in range(7):
                await limiter.acquire()
            postgres.stop("immediate")
            postgres.start()
            assert await free(limiter) == 3

    asyncio.run(main())


def test_a_run_waits_while_the_database_is_away(postgres: PostgresServer, database: str) -> None:
    """Nothing is granted, what has ended is settled afterwards, and the state says so."""

    async def main() -> None:
        async with host(postgres.url(database)) as (store, shared, events):
            limiter = SlotLimiter(LONG, shared=shared, on_event=events.append)
            permits = [await limiter.acquire() for _ in range(2)]
            postgres.stop("fast")
            try:
                permits[0].answered()
                permits[1].unused()
                waiting = asyncio.create_task(limiter.acquire())
                while not store.away_s:
                    await asyncio.sleep(0.01)
                assert not waiting.done()
                assert limiter.state().held_s > 0
                assert limiter.state().free == 0
            finally:
                postgres.start()
            (await waiting).answered()
            await limiter.aclose()
        used = postgres.sql("SELECT settled FROM bulkfetch.account_window", database)
        assert used == "{t,t}"

    asyncio.run(main())


# Has the first statement fail that closes all accounts, as where the connection breaks.
FAIL_ONCE = """
    CREATE SEQUENCE tries;
    CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('tries') = 1 THEN RAISE EXCEPTION SQLSTATE '57P01'; END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER failing AFTER UPDATE OF closed_until ON bulkfetch.account_window
        FOR EACH STATEMENT EXECUTE FUNCTION fail_once();
"""


@pytest.mark.parametrize("idle", [False, True])
def test_a_clock_that_is_set_forward_frees_no_slot(
    postgres: PostgresServer, database: str, *, idle: bool
) -> None:
    """The account is closed for a lease and a refill, also by a host that had asked for nothing.

    It is closed though the first attempt at that fails.
    """
    # The database's clock cannot be set here: what is there moves back by ten periods instead, and
    # what the connection knows of its clock.
    step_s = 6010.0

    async def main() -> None:
        url = postgres.url(database)
        async with host(url) as (_, busy, _), host(url) as (store, limiter, _):
            for lease in [await busy.acquire() for _ in range(10)]:
                await busy.settle([ended(lease)])
            if not idle:
                assert await free(limiter) == 0
            postgres.sql(
                "UPDATE bulkfetch.account_window SET stamp ="
                " (SELECT array_agg(at - 6010) FROM unnest(stamp) AS at)",
                database,
            )
            assert await free(busy) == 10  # what a step does, unseen
            postgres.sql(FAIL_ONCE, database)
            store._guard._at_most -= step_s
            assert await free(limiter) == 0
            assert limiter.state().closed_s == pytest.approx(600 + 1 + 65 + 5, abs=20)

    asyncio.run(main())


def test_after_a_fail_over_every_account_is_closed(postgres: PostgresServer, database: str) -> None:
    """Another timeline may lack the last slots: nothing leaves for a lease and a refill."""

    async def main() -> None:
        url = postgres.url(database)
        async with host(url) as (_, limiter, _):
            await limiter.acquire()
        postgres.sql("UPDATE bulkfetch.window_version SET timeline = '00000000'", database)
        async with host(url) as (store, limiter, _):
            assert await free(limiter) == 0
            assert limiter.state().closed_s == pytest.approx(600 + 1 + 65 + 5, abs=20)
            # An account that this server has never heard of may have been lost as well.
            unknown = DatabaseLimiter(LONG, "other", store)
            assert await free(unknown) == 0
            await unknown.aclose()
        async with host(url) as (_, limiter, _):  # told once
            assert limiter._store is not None
        assert postgres.sql("SELECT count(*) FROM bulkfetch.window_version", database) == "1"

    asyncio.run(main())


def test_a_row_that_somebody_deleted_comes_back_closed(
    postgres: PostgresServer, database: str
) -> None:
    """What is not known counts as used."""

    async def main() -> None:
        async with host(postgres.url(database)) as (_, limiter, _):
            await limiter.acquire()
            postgres.sql("DELETE FROM bulkfetch.account_window", database)
            assert await free(limiter) == 0

    asyncio.run(main())


def test_many_accounts_are_one_connection(postgres: PostgresServer, database: str) -> None:
    """What is asked at once for many accounts is few transactions of one connection."""

    async def main() -> None:
        store = await WindowDatabase.open(postgres.url(database), patience_s=0)
        limiters = [DatabaseLimiter(LONG, f"a{n}", store) for n in range(50)]
        leases = await asyncio.gather(*(limiter.acquire() for limiter in limiters for _ in "12"))
        assert len({lease.key for lease in leases}) == 100
        connections = postgres.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bulkfetch'"
            f" AND datname = '{database}'"
        )
        assert connections == "1"
        await asyncio.gather(*(limiter.aclose() for limiter in limiters))
        await store.aclose()

    asyncio.run(main())


def test_the_real_window_holds_under_load(postgres: PostgresServer, database: str) -> None:
    """Three hosts at full pace, ten in a second together: never an eleventh, all get some."""

    async def work(number: int, counted: list[tuple[float, int]]) -> None:
        url = postgres.url(database)
        store = await WindowDatabase.open(url, patience_s=0)
        shared = DatabaseLimiter(SHORT, "acme", store)
        limiter = SlotLimiter(SHORT, slots=AccountSlots(), shared=shared)
        while len(counted) < 60:
            permit = await limiter.acquire()
            counted.append((boottime(), number))
            permit.answered()
        await limiter.aclose()
        await store.aclose()

    async def main() -> None:
        counted: list[tuple[float, int]] = []
        await asyncio.gather(*(work(number, counted) for number in range(3)))
        times = [at for at, _ in sorted(counted)]
        assert not [
            (a, b) for a, b in zip(times, times[10:], strict=False) if b - a < SHORT.period_s
        ]
        assert {number for _, number in counted} == {0, 1, 2}

    asyncio.run(main())


def test_the_whole_limiter_opens_as_the_machines_does(
    postgres: PostgresServer, database: str
) -> None:
    """A limiter with the database behind it gives permits, and leaves its slots used."""

    async def main() -> None:
        store = await WindowDatabase.open(postgres.url(database), patience_s=0)
        limiter = await open_database_limiter(LONG, "acme", "key-of-the-whole", store)
        assert limiter.state().free == 10
        (await limiter.acquire()).answered()
        await limiter.aclose()
        await store.aclose()
        row = postgres.sql(
            "SELECT account, settled, taken, waiting FROM bulkfetch.account_window", database
        )
        assert row == "acme|{t}|{t}|{}"

    asyncio.run(main())


def test_a_turn_that_is_not_the_newest_gets_no_slot(
    postgres: PostgresServer, database: str
) -> None:
    """It learns it also while it waits, and its slots are settled; others do not look at it."""

    async def main() -> None:
        url = postgres.url(database)
        async with host(url, SHORT) as (store, plain, _):
            await plain.look()
            postgres.sql("UPDATE bulkfetch.account_window SET generation = 7", database)
            turn = DatabaseLimiter(SHORT, "acme", store, generation=7)
            mine = [await turn.acquire() for _ in range(10)]
            waiting = asyncio.create_task(turn.acquire())
            await asyncio.sleep(0.1)
            postgres.sql("UPDATE bulkfetch.account_window SET generation = 8", database)
            with pytest.raises(Superseded, match="acme"):
                await waiting
            with pytest.raises(Superseded):
                await turn.acquire()
            await turn.settle([ended(lease, "unused") for lease in mine])
            assert await free(plain) == 10
            assert isinstance(await plain.acquire(), Lease)
            await turn.aclose()
        assert postgres.sql("SELECT generation FROM bulkfetch.account_window", database) == "8"

    asyncio.run(main())


def test_tables_of_before_the_fleet_go_on(postgres: PostgresServer, database: str) -> None:
    """Runs use them as they are; the file adds what is missing, and what is there stays."""
    postgres.sql(SQL_FILE.read_text(), database)
    postgres.sql("ALTER TABLE bulkfetch.account_window DROP COLUMN generation", database)

    async def main() -> None:
        async with host(postgres.url(database)) as (_, old, _):
            await old.acquire()
            postgres.sql(SQL_FILE.read_text(), database)
            await old.acquire()
            async with host(postgres.url(database)) as (_, new, _):
                assert await free(new) == 8

    asyncio.run(main())
    found = postgres.sql("SELECT generation FROM bulkfetch.account_window", database)
    assert (found, postgres.sql("SELECT version FROM bulkfetch.window_version", database)) == (
        "0",
        "1",
    )


# --- what stops a run at its beginning ------------------------------------------------------------


def open_error(url: str, password: str | None = None) -> ConfigError:
    async def main() -> None:
        secret = None if password is None else Secret(password)
        store = await WindowDatabase.open(url, secret, patience_s=0)
        await store.aclose()

    with pytest.raises(ConfigError) as caught:
        asyncio.run(main())
    return caught.value


def test_a_database_that_is_not_there_is_told(postgres: PostgresServer) -> None:
    """No server, no such database, no such user: one sentence, and nothing was requested."""
    nowhere = open_error("postgresql://me@/x?host=/nonexistent")
    assert nowhere.message.startswith("the window's database postgresql://me@/x cannot be used: ")
    assert 'database "nosuch" does not exist' in open_error(postgres.url("nosuch")).message
    assert 'role "nobody"' in open_error(postgres.url(user="nobody")).message


def test_a_wrong_password_is_told_without_it(postgres: PostgresServer) -> None:
    """The hint says where the password comes from; no message holds one."""
    error = open_error(postgres.url(user=ROLE), "wr0ng")
    assert "password authentication failed" in error.message
    assert "BULKFETCH_DATABASE_PASSWORD" in error.hint
    assert "wr0ng" not in f"{error.message}{error.hint}"


def test_a_role_without_rights_is_told_what_to_run(postgres: PostgresServer, database: str) -> None:
    """Who may make no tables gets the file for the owner; with its grants the role can work."""
    url = postgres.url(database, ROLE)
    error = open_error(url, PASSWORD)
    assert str(SQL_FILE) in error.hint
    sql = SQL_FILE.read_text()
    postgres.sql(sql, database)
    postgres.sql(sql, database)
    assert "cannot be used or made" in open_error(url, PASSWORD).message
    grants = [line.removeprefix("--") for line in sql.splitlines() if "GRANT" in line]
    assert len(grants) == 2
    postgres.sql(" ".join(grants).replace("TO role", f"TO {ROLE}"), database)

    async def main() -> int:
        async with host(url, password=PASSWORD) as (_, limiter, _):
            await limiter.acquire()
            return await free(limiter)

    assert asyncio.run(main()) == 9


def test_hosts_that_come_first_at_once_make_the_tables_once(
    postgres: PostgresServer, database: str
) -> None:
    """Whoever finds that another one has just made them goes on."""

    async def main() -> None:
        opened = await asyncio.gather(
            *(WindowDatabase.open(postgres.url(database), patience_s=10) for _ in range(8))
        )
        await asyncio.gather(*(store.aclose() for store in opened))

    asyncio.run(main())
    assert postgres.sql("SELECT version FROM bulkfetch.window_version", database) == "1"


def test_tables_of_a_newer_version_are_left_alone(postgres: PostgresServer, database: str) -> None:
    """They are told, and nothing is written."""
    postgres.sql(SQL_FILE.read_text(), database)
    postgres.sql("UPDATE bulkfetch.window_version SET version = 9", database)
    assert "of version 9" in open_error(postgres.url(database)).message


def test_a_probe_changes_nothing(postgres: PostgresServer, database: str) -> None:
    """It says whether there are tables, and makes none."""
    url = postgres.url(database)
    assert asyncio.run(probe(url, None)).endswith("the first run makes the tables")
    assert asyncio.run(probe(url, None)).endswith("the first run makes the tables")
    postgres.sql(SQL_FILE.read_text(), database)
    assert asyncio.run(probe(url, None)).endswith("tables of version 1")


def test_the_tables_hold_no_secret(postgres: PostgresServer, database: str) -> None:
    """A dump shows names of accounts and times, no password and no token."""

    async def main() -> None:
        async with host(postgres.url(database), password=PASSWORD) as (_, limiter, _):
            await limiter.acquire()

    asyncio.run(main())
    columns = json.loads(
        postgres.sql("SELECT to_json(w) FROM bulkfetch.account_window AS w", database)
    )
    assert columns["account"] == "acme"
    assert PASSWORD not in str(columns)

"""Results of one server are never taken for those of another in a fleet. A real database."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.export_stores import begun, fleet_keeper
from tests.support.fleet_scene import fleet_scene, ids_of
from tests.support.fleets import (
    SERVERS,
    done,
    failed,
    fleet_journal,
    submit_to,
)
from tests.support.postgres import PostgresServer

from bulkfetch.config.regions import THIS_MACHINE
from bulkfetch.errors import ConfigError, Poisoned
from bulkfetch.fleet import engine
from bulkfetch.fleet.database import open_connection, steps
from bulkfetch.fleet.journal import FleetJournal
from bulkfetch.journal import Change, StoredExport
from bulkfetch.models import Failure, Job, Outcome
from bulkfetch.ratelimit.postgres.schema import SQL_FILE as WINDOW_SQL

pytestmark = pytest.mark.slow

EU = "https://www.zohoapis.eu"
NOTED = (
    "SELECT string_agg(account || '=' || coalesce(server, '?'), ' ' ORDER BY account) "
    "FROM bulkfetch.fleet_account"
)
STATES = "SELECT string_agg(id || ':' || state, ' ' ORDER BY id) FROM bulkfetch.fleet_job"
GENERATIONS = (
    "SELECT known.generation, slots.generation FROM bulkfetch.fleet_account AS known "
    "LEFT JOIN bulkfetch.account_window AS slots USING (account) WHERE account = 'acme'"
)
POISONED = Outcome("1", "acme", "failed", error=Failure.of(Poisoned("whatever fetches it dies")))
# As workers of the version before begin a turn.
BEGIN_BEFORE = (
    "INSERT INTO bulkfetch.fleet_account AS account (account, generation, worker, crashes) "
    "VALUES ('acme', 1, 'old', 1) ON CONFLICT (account) DO UPDATE SET "
    "generation = account.generation + 1, worker = 'old', crashes = account.crashes + 1"
)


def jobs(*ids: str) -> list[Job]:
    """Jobs of acme."""
    return [Job(job_id, "acme") for job_id in ids]


async def say(journal: FleetJournal, *outcomes: Outcome) -> None:
    """Have a turn of acme end with these."""
    generation = await journal.begin_turn("acme", "host-1")
    await journal.record("acme", generation, outcomes)
    await journal.end_turn("acme", generation)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("answer", [done("1"), failed("1")])
def test_another_server_is_refused(
    postgres: PostgresServer, database: str, answer: Outcome, *, again: bool
) -> None:
    """With both servers and all ways out named; nothing is submitted, and the first one goes on."""

    async def main() -> None:
        url = postgres.url(database)
        async with fleet_journal(url) as journal:
            await submit_to(url, jobs("1"))
            await say(journal, answer)
            with pytest.raises(
                ConfigError, match=r"acme was asked at this machine .*zohoapis\.eu"
            ) as caught:
                await submit_to(url, [*jobs("1"), Job("9", "beta")], server=EU, again=again)
            assert caught.value.hint is not None
            assert "--moved acme" in caught.value.hint
            with pytest.raises(ConfigError):
                await submit_to(url, [], exports=["acme/Leads"], server=EU)
            count = "SELECT count(*) FROM bulkfetch.fleet_submission, bulkfetch.fleet_job"
            assert postgres.sql(count, database) == "1"
            assert postgres.sql(NOTED, database) == "acme=this machine"
            assert (await submit_to(url, jobs("2"))).asked == 1
            await submit_to(url, [Job("9", "beta")], server=EU)
            assert postgres.sql(NOTED, database) == f"acme=this machine beta={EU}"

    asyncio.run(main())


@pytest.mark.parametrize("outcomes", [[], [POISONED]])
def test_a_slip_of_the_settings_is_mended_without_more(
    postgres: PostgresServer, database: str, outcomes: list[Outcome]
) -> None:
    """A server that has answered nothing about any job or page binds nobody."""

    async def main() -> None:
        url = postgres.url(database)
        async with fleet_journal(url) as journal:
            await submit_to(url, jobs("1"), exports=["acme/Leads"])
            await say(journal, *outcomes)
            await submit_to(url, jobs("1", "2"), server=EU)
            assert postgres.sql(NOTED, database) == f"acme={EU}"

    asyncio.run(main())


@pytest.mark.parametrize("how", ["begun", "created", "PUBLISHING", "committed"])
def test_a_cursor_belongs_to_its_server(
    tmp_path: Path, postgres: PostgresServer, database: str, how: str
) -> None:
    """An export that is published, or of which a page was created, binds as a result does."""
    url = postgres.url(database)
    keeper = fleet_keeper(tmp_path, url)

    def change(known: StoredExport) -> Change:
        assert known.generation is not None
        if how == "created":
            return Change((replace(known.pages[0], job_id="7"),))
        if how == "PUBLISHING":
            return Change(generation=replace(known.generation, state="PUBLISHING"))
        return Change(export=replace(known.row, committed="{}"))

    async def main() -> None:
        async with keeper() as opened:
            known = await begun(opened.store)
            if how != "begun":
                await opened.store.write(change(known))
        again = submit_to(url, [], exports=["acme/Leads"], server=EU)
        if how == "begun":
            await again
            return
        with pytest.raises(ConfigError, match="acme was asked at this machine"):
            await again

    asyncio.run(main())


def test_an_org_that_has_moved_goes_on(postgres: PostgresServer, database: str) -> None:
    """What is done stays done, and from then on the former server is the other one."""

    async def main() -> None:
        url = postgres.url(database)
        async with fleet_journal(url) as journal:
            await submit_to(url, [*jobs("1"), Job("9", "beta")])
            await say(journal, done("1"))
            moved = await submit_to(url, jobs("1", "2"), server=EU, moved=["acme", "beta"])
            assert (moved.asked, moved.done_before) == (1, 1)
            assert postgres.sql(NOTED, database) == f"acme={EU} beta={EU}"
            again = await submit_to(url, jobs("1"), server=EU, moved=["acme"])
            assert again.done_before == 1
            with pytest.raises(ConfigError, match="asked at https://www"):
                await submit_to(url, jobs("2"))
            with pytest.raises(ConfigError, match="asked at https://www"):
                await journal.begin_turn("acme", "host-1")

    asyncio.run(main())


def test_a_worker_that_asks_another_server_gets_no_turn(
    postgres: PostgresServer, database: str
) -> None:
    """Nothing is begun then: neither a generation nor a death is counted."""

    async def main() -> None:
        url = postgres.url(database)
        async with fleet_journal(url) as journal:
            await submit_to(url, jobs("1"), server=EU)
            for use in (journal.begin_turn("acme", "host-1"), journal.require_server("acme")):
                with pytest.raises(ConfigError, match=r"zohoapis\.eu .* at this machine"):
                    await use
            [acme] = await journal.accounts("acme")
            assert (acme.worker, acme.turn_began_at, acme.crashes) == (None, None, 0)
            assert postgres.sql(GENERATIONS, database) == "0|"

    asyncio.run(main())


def test_a_turn_at_the_former_server_is_over_and_is_not_believed(
    postgres: PostgresServer, database: str
) -> None:
    """It gets no slot any more, and what it has published by then is no result of the new one."""

    async def main() -> None:
        url = postgres.url(database)
        async with fleet_journal(url) as journal:
            await submit_to(url, jobs("1", "2"))
            generation = await journal.begin_turn("acme", "host-1")
            await submit_to(url, jobs("1"), server=EU)
            assert postgres.sql(GENERATIONS, database) == f"{generation + 1}|{generation + 1}"
            assert not await journal.record("acme", generation, [done("1"), failed("2")])
            assert await journal.end_turn("acme", generation) == "nothing"
            # As of a result that was salvaged, or whose worker was cut off.
            assert not await journal.record("acme", -1, [done("2")])
            assert postgres.sql(STATES, database) == "1:0 2:0"
            there = await FleetJournal.open(url, None, dict.fromkeys(SERVERS, EU))
            await say(there, done("1"))
            assert postgres.sql(STATES, database) == "1:1 2:0"
            assert await there.deaths("acme") == 0
            await there.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("first", ["submission", "turn", "salvage"])
def test_the_first_server_that_comes_binds_an_account_of_before(
    postgres: PostgresServer, database: str, first: str
) -> None:
    """Where it was asked is not known; what is there stays, and a worker of before goes on."""

    async def main() -> None:
        url = postgres.url(database)
        before = "".join(steps()[:2])
        postgres.sql(WINDOW_SQL.read_text() + before + engine.install_sql(), database)
        postgres.sql(BEGIN_BEFORE, database)
        postgres.sql(
            "INSERT INTO bulkfetch.fleet_job (account, id, claim, state) "
            "VALUES ('acme', '1', '1', 1), ('acme', '2', '2', 0)",
            database,
        )
        with pytest.raises(ConfigError, match="are of version 2; this bulkfetch needs"):
            await open_connection(url, None)
        async with fleet_journal(url) as journal:  # brings the tables up
            assert postgres.sql(NOTED, database) == "acme=?"
            if first == "submission":
                assert (await submit_to(url, jobs("1", "2"))).done_before == 1
            elif first == "turn":
                assert await journal.begin_turn("acme", "host-1") == 2
            else:
                await journal.require_server("acme")
            postgres.sql(BEGIN_BEFORE, database)
            assert postgres.sql(NOTED, database) == "acme=this machine"
            assert postgres.sql(STATES, database) == "1:1 2:0"
            with pytest.raises(ConfigError):
                await submit_to(url, jobs("3"), server=EU)

    asyncio.run(main())


def test_a_worker_leaves_an_account_of_another_server_alone(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    """It asks nothing for it, tells it once, and serves the others; until the org has moved."""
    queued = "SELECT count(*) FROM bulkfetch.pgqueuer WHERE dedupe_key = 'a000'"
    with fleet_scene(tmp_path, postgres, database, accounts=2, heartbeat_s=60) as scene:
        there = [Job(job_id, "a000") for job_id in ids_of(0, 3)]

        def submit(server: str, *moved: str) -> None:
            asyncio.run(submit_to(scene.url, there, scene.accounts, server=server, moved=moved))

        submit(EU)
        scene.submit({"a001": ids_of(1, 3)})
        scene.start(0)
        scene.wait(30)
        for _ in range(2):
            while scene.sql(queued) != "0":
                time.sleep(0.05)
            submit(EU)
        while scene.sql(queued) != "0":
            time.sleep(0.05)
        assert scene.figures().requests == 3
        assert scene.sql("SELECT sum(generation) FROM bulkfetch.fleet_account") == "1"
        told = "error: a000: it is left alone: account a000 was asked at https://www.zohoapis.eu "
        assert scene.log(0).count(told) == 1
        submit(THIS_MACHINE, "a000")
        scene.asked["a000"] = [job.id for job in there]
        scene.wait(30)
        assert scene.check().requests == 6
        scene.term(0)


def test_what_a_dead_worker_had_of_another_server_is_not_published(
    tmp_path: Path, postgres: PostgresServer, database: str
) -> None:
    """Where the settings or the fleet have gone elsewhere since: the one is asked for anew.

    The other stays where it is, for a worker that asks where the fleet says.
    """
    with fleet_scene(tmp_path, postgres, database, accounts=2, heartbeat_s=5) as scene:
        scene.submit({name: ids_of(at, 5) for at, name in enumerate(scene.accounts)})
        scene.kill_with_whole(0, 10, within_s=60)
        folders = [tmp_path / "host0" / name / ".bulkfetch" for name in scene.accounts]
        with closing(sqlite3.connect(folders[0] / "journal.db")) as local, local:
            local.execute("UPDATE account SET server = ?", (EU,))
        scene.sql(f"UPDATE bulkfetch.fleet_account SET server = '{EU}' WHERE account = 'a001'")
        scene.start(0)
        scene.wait(60, until=5)
        over = time.monotonic() + 60
        while "a001: it is left alone" not in scene.log(0):
            assert time.monotonic() < over, scene.log(0)
            time.sleep(0.05)
        assert "error: a001: what is here of it cannot be published: " in scene.log(0)
        assert scene.figures().requests == 15
        assert scene.done() == 5
        assert len(list(folders[1].glob("staging/*.zip"))) == 5
        scene.submit({"a001": ids_of(1, 5)})
        scene.wait(60)
        assert scene.check().requests == 15

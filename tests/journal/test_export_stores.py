"""What everything that keeps exports does: names, generations, pages, and the jobs with them.

A fleet's against a real server.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.export_stores import ACCOUNT, Keeper, begun, fleet_keeper, folder_keeper
from tests.support.journals import done, drain, jobs
from tests.support.postgres import PostgresServer

from bulkfetch.journal import Change, JournalReader, PageFile, PageRow
from bulkfetch.models import Failure, Job

pytestmark = pytest.mark.anyio

FOLDER = ".bulkfetch/exports/Leads/generation-1"


@pytest.fixture(params=["folder", pytest.param("fleet", marks=pytest.mark.slow)])
def keeper(request: pytest.FixtureRequest, tmp_path: Path) -> Keeper:
    """Open the same store as often as wanted."""
    if request.param == "folder":
        return folder_keeper(tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres")
    return fleet_keeper(tmp_path, server.url(request.getfixturevalue("database")))


async def test_rows_come_back_as_they_were_written(keeper: Keeper) -> None:
    """A generation and its pages are the same in the next run, errors and lists included."""
    async with keeper() as (store, _):
        known = await begun(store)
        assert known.generation is not None
        generation = replace(known.generation, spent=51, wasted=50, warnings=("odd",))
        page = replace(
            known.pages[0],
            state="READY",
            tries=2,
            job_id="5725767000000859031",
            created_at=1.5,
            count=7,
            files=(PageFile("part-00001.csv", 81, "5e" * 32), PageFile("part-00001.zip", 9, None)),
            error=Failure("NOT_READY", "not yet", "wait", 202),
        )
        following = PageRow(generation.key, 1, 2, token="abc")
        row = replace(known.row, committed="{}", prepared_s=(1.5, 60.0))
        await store.write(Change([page, following], generation=generation, export=row))
    async with keeper() as (store, _):
        found = (await store.load(["Leads", "Contacts"]))["Leads"]
        assert replace(found.row, turn=None) == replace(row, turn=None)
        assert found[1:] == (generation, (page, following))
        assert await store.load(["Contacts"]) == {}


async def test_names_that_begin_are_known(keeper: Keeper) -> None:
    """Each has a row of its own, with what the command before has left of it."""
    async with keeper() as (store, _):
        rows = await store.begin([("A", ACCOUNT), ("B", ACCOUNT)])
        assert rows["A"].key != rows["B"].key
        await store.write(Change(export=replace(rows["A"], committed="{}")))
    async with keeper() as (store, _):
        again = await store.begin([("B", ACCOUNT), ("A", ACCOUNT)])
        assert again["B"] == rows["B"]
        assert again["A"] == replace(rows["A"], committed="{}")


async def test_the_generation_that_is_under_way_is_found(keeper: Keeper) -> None:
    """Beside a committed one, older or newer, the open one counts; without one, the newest."""
    async with keeper() as (store, _):
        first = (await begun(store)).generation
        assert first is not None
        ended = Change(generation=replace(first, state="ABANDONED"))
        second, pages = await store.open(first, [PageRow(0, 1, 1)], ended)
        found = (await store.load(["Leads"]))["Leads"]
        assert found.generation == second
        assert found.pages == pages
        await store.write(Change(generation=replace(second, state="COMMITTED")))
        newest = (await store.load(["Leads"]))["Leads"].generation
        assert newest == replace(second, state="COMMITTED")


async def test_a_change_is_written_whole_or_not_at_all(keeper: Keeper) -> None:
    """A second open generation of a name fails, and takes the rows written along with it."""
    async with keeper() as (store, _):
        known = await begun(store)
        assert known.generation is not None
        renamed = Change(pages=[replace(known.pages[0], state="FAILED")])
        with pytest.raises(Exception, match=r"(?i)unique"):
            await store.open(known.generation, [PageRow(0, 1, 1)], renamed)
        assert (await store.load(["Leads"]))["Leads"] == known


async def test_a_committed_export_takes_its_jobs_along(keeper: Keeper, tmp_path: Path) -> None:
    """What was published in the hidden folder is forgotten: jobs, names and files; others stay."""
    async with keeper() as (store, journal):
        known = await begun(store)
        part = Job("7", ACCOUNT, name="part-00001", folder=FOLDER)
        await journal.enqueue([part, *jobs("8", account=ACCOUNT)])
        for entry in await drain(journal, ACCOUNT):
            await journal.done(entry, done(entry, tmp_path))
        outcome = await store.outcome(ACCOUNT, "7")
        assert outcome is not None
        assert outcome.records == 3
        assert known.generation is not None
        await store.write(
            Change(
                generation=replace(known.generation, state="COMMITTED"),
                export=replace(known.row, committed="{}"),
                forgotten=[(ACCOUNT, "7"), (ACCOUNT, "9")],
            )
        )
        assert await store.outcome(ACCOUNT, "7") is None
        assert not await journal.is_done(ACCOUNT, "7")
        assert await journal.is_done(ACCOUNT, "8")
        # The name is free for the next job.
        again = await journal.enqueue([replace(part, id="10")])
        assert again.refused == []


async def test_jobs_that_a_killed_command_has_left_are_forgotten(
    keeper: Keeper, tmp_path: Path
) -> None:
    """Those of the generation under way stay, others of the export go, and all once it has ended.

    Jobs of an export with a similar name, and of none, are not touched.
    """

    def known() -> set[str]:
        with JournalReader.open(tmp_path / ".bulkfetch") as reader:
            return {known.job.id for known in reader.known()}

    async with keeper() as (store, journal):
        begin = await begun(store)
        assert begin.generation is not None
        page = replace(begin.pages[0], state="READY", job_id="7")
        await store.write(Change([page]))
        leads = [Job("7", ACCOUNT, folder=FOLDER), Job("6", ACCOUNT, name="x", folder=FOLDER)]
        other = Job("5", ACCOUNT, folder=".bulkfetch/exports/Leads_2/generation-1")
        await journal.enqueue([*leads, other, *jobs("4", account=ACCOUNT)])
    async with keeper() as (store, _):
        await store.begin([("Leads", ACCOUNT)])
        assert known() == {"7", "5", "4"}
        ended = replace(begin.generation, state="ABANDONED")
        await store.write(Change(generation=ended))
    async with keeper() as (store, _):
        await store.begin([("Leads", ACCOUNT)])
        assert known() == {"5", "4"}

"""What the journal knows of exports: names, generations, pages, and the jobs that go with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.journals import done, drain, jobs, opened

from bulkfetch.journal import (
    Change,
    ExportRow,
    GenerationRow,
    JournalReader,
    PageRow,
    StoredExport,
)
from bulkfetch.journal.exports import ExportTables
from bulkfetch.models import Failure, Job

pytestmark = pytest.mark.anyio

QUERY = {"query": {"module": {"api_name": "Leads"}}}


async def begun(tables: ExportTables, name: str = "Leads") -> StoredExport:
    """A name with a generation of one chain."""
    row = (await tables.begin([(name, "default")]))[name]
    generation = GenerationRow(
        0, row.key, "default", "ACTIVE", "{}", (QUERY,), "ab", "2026-09-30T02:00:00+00:00"
    )
    return StoredExport(row, *await tables.open(generation, [PageRow(0, 1, 1)], Change()))


async def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    """A generation and its pages are the same in the next run, errors and lists included."""
    async with opened(tmp_path) as journal:
        known = await begun(journal.exports)
        assert known.generation is not None
        generation = replace(known.generation, spent=51, wasted=50, warnings=("odd",))
        page = replace(
            known.pages[0],
            state="READY",
            tries=2,
            job_id="5725767000000859031",
            created_at=1.5,
            count=7,
            error=Failure("NOT_READY", "not yet", "wait", 202),
        )
        following = PageRow(generation.key, 1, 2, token="abc")
        await journal.exports.write(Change([page, following], generation=generation))
    async with opened(tmp_path) as journal:
        found = (await journal.exports.load(["Leads", "Contacts"]))["Leads"]
        assert found == StoredExport(known.row, generation, (page, following))
    with JournalReader.open(tmp_path / ".bulkfetch") as reader:
        assert reader.exports() == [found]


async def test_the_generation_that_is_under_way_is_found(tmp_path: Path) -> None:
    """Beside a committed one, older or newer, the open one counts; without one, the newest."""
    async with opened(tmp_path) as journal:
        tables = journal.exports
        first = (await begun(tables)).generation
        assert first is not None
        ended = Change(generation=replace(first, state="ABANDONED"))
        second, pages = await tables.open(first, [PageRow(0, 1, 1)], ended)
        found = (await tables.load(["Leads"]))["Leads"]
        assert found.generation == second
        assert found.pages == pages
        await tables.write(Change(generation=replace(second, state="COMMITTED")))
        newest = (await tables.load(["Leads"]))["Leads"].generation
        assert newest == replace(second, state="COMMITTED")


async def test_a_change_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """A second open generation of a name fails, and takes the rows written along with it."""
    async with opened(tmp_path) as journal:
        tables = journal.exports
        known = await begun(tables)
        assert known.generation is not None
        renamed = Change(pages=[replace(known.pages[0], state="FAILED")])
        with pytest.raises(Exception, match="UNIQUE"):
            await tables.open(known.generation, [PageRow(0, 1, 1)], renamed)
        assert (await tables.load(["Leads"]))["Leads"] == known


async def test_a_committed_export_takes_its_jobs_along(tmp_path: Path) -> None:
    """What was published in the hidden folder is forgotten: jobs, names and files; others stay."""
    async with opened(tmp_path) as journal:
        known = await begun(journal.exports)
        part = Job("7", name="part-00001", folder=".bulkfetch/exports/Leads/generation-1")
        await journal.enqueue([part, *jobs("8")])
        for entry in await drain(journal):
            await journal.done(entry, done(entry, tmp_path))
        outcome = await journal.exports.outcome("default", "7")
        assert outcome is not None
        assert outcome.records == 3
        assert known.generation is not None
        await journal.exports.write(
            Change(
                generation=replace(known.generation, state="COMMITTED"),
                export=replace(known.row, committed="{}", turn=None),
                forgotten=[("default", "7"), ("default", "9")],
            )
        )
        assert await journal.exports.outcome("default", "7") is None
        assert not await journal.is_done("default", "7")
        assert await journal.is_done("default", "8")
        # The name is free for the next job.
        again = await journal.enqueue([replace(part, id="10")])
        assert again.refused == []


async def test_jobs_of_given_up_generations_are_forgotten_by_the_next_command(
    tmp_path: Path,
) -> None:
    """What a killed command has left of a generation that began again goes; what is open stays."""
    folder = ".bulkfetch/exports/Leads/generation-1"
    async with opened(tmp_path) as journal:
        known = await begun(journal.exports)
        page = replace(known.pages[0], state="READY", job_id="7")
        await journal.exports.write(Change([page]))
        await journal.enqueue([Job("7", folder=folder), Job("6", name="x", folder=folder)])
        other = Job("5", name="x", folder=".bulkfetch/exports/Leads_2/generation-1")
        await journal.enqueue([other, *jobs("4")])
    async with opened(tmp_path) as journal:
        await journal.exports.begin([("Leads", "default")])
        await journal.enqueue(jobs("7", "6", "5", "4"))
        found = {entry.job.id: entry.job.folder for entry in await drain(journal)}
        assert set(found) == {"7", "6", "5", "4"}
    with JournalReader.open(tmp_path / ".bulkfetch") as reader:
        # The one that was forgotten is known as if it had never been there.
        keys = [known.job.id for known in reader.known()]
        assert keys == ["7", "5", "4", "6"]


async def test_a_turn_is_done_when_nothing_of_it_is_due(tmp_path: Path) -> None:
    """A committed export stays done while another is due, and is forgotten with the last."""

    async def turns(tables: ExportTables) -> dict[str, str | None]:
        return {
            name: known.row.turn for name, known in (await tables.load(["A", "B", "C"])).items()
        }

    async with opened(tmp_path) as journal:
        tables = journal.exports
        rows = await tables.begin([("A", "default"), ("B", "default"), ("C", "default")])
        assert rows["A"] == ExportRow(rows["A"].key, "A", "default", turn="due")
        await tables.write(Change(export=replace(rows["A"], turn="done")))
        assert await turns(tables) == {"A": "done", "B": "due", "C": "due"}
        await tables.end_turn(["C"])
        assert await turns(tables) == {"A": "done", "B": "due", "C": None}
        await tables.write(Change(export=replace(rows["B"], turn="done")))
        assert await turns(tables) == {"A": None, "B": None, "C": None}

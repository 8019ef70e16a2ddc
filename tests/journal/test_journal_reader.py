"""Questions beside a running writer: never in its way, never held up by it, changing nothing."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.journals import done, drain, failed, jobs, opened

from bulkfetch.errors import ConfigError
from bulkfetch.journal import AccountCounts, Journal, JournalReader
from bulkfetch.models import Outcome

pytestmark = pytest.mark.anyio


def _files(folder: Path) -> dict[str, tuple[int, int]]:
    return {p.name: (p.stat().st_size, p.stat().st_mtime_ns) for p in folder.iterdir()}


async def _end(journal: Journal, out: Path) -> list[Outcome]:
    """Leave of the jobs to do every third done, every third failed, every third in staging."""
    outcomes = []
    for number, entry in enumerate(await drain(journal)):
        if number % 3 == 0:
            outcomes.append(done(entry, out))
            await journal.done(entry, outcomes[-1])
        elif number % 3 == 1:
            outcomes.append(failed(entry, out))
            await journal.failed(entry, outcomes[-1])
        else:
            await journal.downloaded(entry, zip_bytes=9, attempts=1)
            outcomes.append(
                Outcome(entry.job.id, entry.job.account, "pending", zip_bytes=9, attempts=1)
            )
    return outcomes


async def test_answers_at_rest(tmp_path: Path) -> None:
    """At rest the reader counts and gives every outcome, and neither makes nor touches a file."""
    async with opened(tmp_path) as journal:
        await journal.enqueue([*jobs("1", "2", "3", "4"), *jobs("11", account="eu")])
        outcomes = await _end(journal, tmp_path)
    before = _files(tmp_path / ".bulkfetch")
    with JournalReader.open(tmp_path / ".bulkfetch") as reader:
        assert reader.counts() == [
            AccountCounts("default", done=2, failed=1, downloaded=1),
            AccountCounts("eu", pending=1),
        ]
        assert list(reader.outcomes()) == [*outcomes, Outcome("11", "eu", "pending")]
        assert list(reader.failed()) == [outcomes[1]]
    assert _files(tmp_path / ".bulkfetch") == before


async def test_answers_beside_a_writer(tmp_path: Path) -> None:
    """In the middle of the writer's transaction the reader answers with what was committed."""
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1", "2", "3"))
        await _end(journal, tmp_path)
        with closing(sqlite3.connect(tmp_path / ".bulkfetch/journal.db")) as other:
            other.execute("BEGIN EXCLUSIVE")
            other.execute("DELETE FROM job")
            before = _files(tmp_path / ".bulkfetch")
            with JournalReader.open(tmp_path / ".bulkfetch") as reader:
                assert reader.counts() == [AccountCounts("default", 0, 1, 1, 1)]
                assert len(list(reader.outcomes())) == 3
            assert _files(tmp_path / ".bulkfetch") == before


async def test_done_in_two_runs_is_done_once(tmp_path: Path) -> None:
    """A job that a later run skipped counts as done, and one that it does again as pending."""
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1", "2"))
        (_, cause) = await _end(journal, tmp_path)
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1", "2"))
        with JournalReader.open(tmp_path / ".bulkfetch") as reader:
            assert reader.counts() == [AccountCounts("default", pending=1, done=1)]
            assert list(reader.failed()) == []
            again = list(reader.outcomes())[1]
        assert (again.status, again.error) == ("pending", cause.error)


async def test_a_reader_outlives_runs(tmp_path: Path) -> None:
    """A reader in the middle of its pages keeps no run from ending or beginning, and goes on."""
    ids = [str(n) for n in range(1_200)]
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs(*ids))
        with JournalReader.open(tmp_path / ".bulkfetch") as reader:
            pages = reader.outcomes()
            seen = [next(pages).job_id]
            await journal.aclose()
            async with opened(tmp_path) as second:
                await second.enqueue(jobs(*ids))
                seen.append(next(pages).job_id)
                assert len(await drain(second, limit=500)) == 1_200
            seen += [outcome.job_id for outcome in pages]
            assert seen == ids
    async with opened(tmp_path) as third:
        await third.enqueue(jobs("1"))
    assert [path.name for path in (tmp_path / ".bulkfetch").iterdir()] == ["journal.db"]


@pytest.mark.slow
async def test_a_reader_does_not_make_the_log_grow(tmp_path: Path) -> None:
    """With a reader in the middle of its pages the writer's log starts anew again and again."""
    ids = [str(554023000000000000 + n) for n in range(5_000)]
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs(*ids))
        with JournalReader.open(tmp_path / ".bulkfetch") as reader:
            pages = reader.outcomes()
            next(pages)
            for round_ in range(60):
                await journal.enqueue(jobs(*(f"{round_}{id}" for id in ids[:1_000])))
            assert (tmp_path / ".bulkfetch/journal.db").stat().st_size > 5_000_000
            assert (tmp_path / ".bulkfetch/journal.db-wal").stat().st_size < 9_000_000
            assert len(list(pages)) == 64_999


async def test_a_copy_without_its_log(tmp_path: Path) -> None:
    """A copy of the file alone, taken during a run, can be read and nothing is made beside it."""
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1", "2"))
        await journal._writer.read(lambda c: c.execute("PRAGMA wal_checkpoint").fetchall())
        copy = tmp_path / "copy/.bulkfetch"
        copy.mkdir(parents=True)
        (copy / "journal.db").write_bytes((tmp_path / ".bulkfetch/journal.db").read_bytes())
    with JournalReader.open(copy) as reader:
        assert reader.counts() == [AccountCounts("default", pending=2)]
    assert os.listdir(copy) == ["journal.db"]


async def test_where_no_run_has_been(tmp_path: Path) -> None:
    """A folder without a journal is a wrong argument, and stays without one."""
    with pytest.raises(ConfigError, match="no journal"):
        JournalReader.open(tmp_path / ".bulkfetch")
    assert list(tmp_path.iterdir()) == []

"""The writing thread: one commit for all who wait, to each its own error, nobody forgotten."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.journals import done, drain, jobs, opened

from bulkfetch.errors import OutputLocked
from bulkfetch.journal import Counts, Journal, schema
from bulkfetch.journal.writer import Work, Writer

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def _held_up(writer: Writer) -> AsyncIterator[None]:
    """Keep the thread busy inside, so that everything asked for makes one group."""
    started, release = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection) -> None:
        started.set()
        release.wait()

    held = asyncio.ensure_future(writer.read(hold))
    await asyncio.to_thread(started.wait)
    try:
        yield
    finally:
        release.set()
        await held


def _insert(name: str) -> Work[object]:
    return lambda connection: connection.execute("INSERT INTO account (name) VALUES (?)", (name,))


async def _names(writer: Writer) -> list[str]:
    rows = await writer.read(lambda c: c.execute("SELECT name FROM account").fetchall())
    return sorted(name for (name,) in rows)


@asynccontextmanager
async def _writing(path: Path) -> AsyncIterator[Writer]:
    writer = await Writer.start(path / "journal.db")
    try:
        yield writer
    finally:
        await writer.aclose()


@pytest.mark.slow
async def test_all_who_wait_share_one_commit(tmp_path: Path) -> None:
    """Five hundred jobs that end while the disk is busy cost one commit."""
    statements: list[str] = []
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs(*(str(n) for n in range(500))))
        entries = await drain(journal)
        await journal._writer.read(lambda c: c.set_trace_callback(statements.append))
        async with _held_up(journal._writer):
            ends = [asyncio.ensure_future(journal.done(e, done(e, tmp_path))) for e in entries]
            await asyncio.sleep(0)
        await asyncio.gather(*ends)
        assert statements.count("COMMIT") == 1
        assert journal.counts == Counts(done=500)


async def test_each_error_to_its_own_caller(tmp_path: Path) -> None:
    """In a group with one bad piece of work the others are committed and only it fails."""
    told: list[str] = []
    async with _writing(tmp_path) as writer:

        def bad(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO account (name) VALUES ('half')")
            raise LookupError("mine")

        async with _held_up(writer):
            calls = [
                asyncio.ensure_future(writer.write(_insert("a"), lambda _: told.append("a"))),
                asyncio.ensure_future(writer.write(bad, lambda _: told.append("bad"))),
                asyncio.ensure_future(writer.write(_insert("b"), lambda _: told.append("b"))),
            ]
            await asyncio.sleep(0)
        first, second, third = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(second, LookupError)
        assert not isinstance(first, BaseException)
        assert not isinstance(third, BaseException)
        assert await _names(writer) == ["a", "b"]
        assert told == ["a", "b"]


async def test_a_dead_thread_leaves_nobody_waiting(tmp_path: Path) -> None:
    """If the thread dies, its group, the queue behind it and all later callers are told."""
    writer = await Writer.start(tmp_path / "journal.db")

    def die(_: sqlite3.Connection) -> None:
        raise SystemExit("gone")

    works: list[Work[object]] = [_insert("a"), die, _insert("b")]
    async with _held_up(writer):
        calls = [asyncio.ensure_future(writer.write(work)) for work in works]
        await asyncio.sleep(0)
    for answer in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(answer, RuntimeError)
        assert "gone" in str(answer)
    with pytest.raises(RuntimeError, match="gone"):
        await writer.write(_insert("c"))
    with pytest.raises(RuntimeError, match="gone"):
        writer.write_along(_insert("c"))
    await writer.aclose()
    async with _writing(tmp_path) as again:
        assert await _names(again) == []


async def test_a_cancelled_caller_is_done_whole(tmp_path: Path) -> None:
    """A caller cancelled while its write is queued leaves it done, and counted."""
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1"))
        (entry,) = await drain(journal)
        async with _held_up(journal._writer):
            end = asyncio.ensure_future(journal.done(entry, done(entry, tmp_path)))
            await asyncio.sleep(0)
            end.cancel()
            with pytest.raises(asyncio.CancelledError):
                await end
        await journal.take("default", 1)
        assert journal.counts == Counts(done=1)
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1"))
        assert journal.counts == Counts(skipped=1)


async def test_cancelled_opening_lets_go(tmp_path: Path) -> None:
    """Cancelling the opening ends the thread and leaves a journal that opens."""
    before = set(threading.enumerate())
    opening = asyncio.ensure_future(Journal.open(tmp_path / ".bulkfetch"))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    async with opened(tmp_path) as journal:
        assert journal.counts == Counts()
    for thread in set(threading.enumerate()) - before:
        if thread.name == "bulkfetch-journal":
            thread.join(timeout=30)
            assert not thread.is_alive()


async def test_cancelled_closing_goes_on(tmp_path: Path) -> None:
    """Cancelling the closing loses nothing of what was queued."""
    writer = await Writer.start(tmp_path / "journal.db")
    async with _held_up(writer):
        writer.write_along(_insert("a"))
        closing = asyncio.ensure_future(writer.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
    await writer.aclose()
    async with _writing(tmp_path) as again:
        assert await _names(again) == ["a"]


async def test_two_journals_in_one_loop(tmp_path: Path) -> None:
    """Journals of two folders work side by side."""
    async with opened(tmp_path / "a") as a, opened(tmp_path / "b") as b:
        await asyncio.gather(a.enqueue(jobs("1")), b.enqueue(jobs("1", "2")))
        assert (a.counts, b.counts) == (Counts(pending=1), Counts(pending=2))


async def test_a_loop_that_ends_without_closing(tmp_path: Path) -> None:
    """A program that forgets to close neither hangs nor loses what was recorded."""

    async def forgetful() -> None:
        journal = await Journal.open(tmp_path / ".bulkfetch")
        await journal.enqueue(jobs("1"))
        (entry,) = await drain(journal)
        await journal.done(entry, done(entry, tmp_path))

    await asyncio.to_thread(asyncio.run, forgetful())
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1"))
        assert journal.counts == Counts(skipped=1)


async def test_a_program_that_holds_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program in the middle of writing the file is a lock, and passes."""
    monkeypatch.setattr(schema, "_BUSY_S", 0.05)
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1"))
        other = sqlite3.connect(tmp_path / ".bulkfetch/journal.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OutputLocked, match="another program"):
            await journal.enqueue(jobs("2"))
        other.close()
        await journal.enqueue(jobs("3"))
        assert [entry.job.id for entry in await drain(journal)] == ["1", "3"]

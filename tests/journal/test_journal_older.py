"""A journal of an older format answers questions as it is: nothing of it is changed by a look."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.journals import jobs, opened

from bulkfetch.errors import JournalTooNew, NotWritable, RunError
from bulkfetch.journal import AccountCounts, JournalReader, PageFile, errors, reader, schema
from bulkfetch.journal.export_tables import PAGE_FILES

pytestmark = pytest.mark.anyio


def _files(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def _made(out: Path, steps: Sequence[str], *, at_rest: bool = True) -> Path:
    """Make a journal of three jobs as a run knowing `steps` would; give its folder."""
    folder = out / ".bulkfetch"
    folder.mkdir(parents=True)
    with closing(schema.open_to_write(folder / "journal.db", steps)) as connection:
        connection.execute("INSERT INTO account (name) VALUES ('default')")
        connection.execute("UPDATE list SET next_position = 4")
        states = (schema.PENDING, schema.FAILED, schema.DONE)
        for number, state in enumerate(states, 1):
            row = (number, str(number), number, state)
            connection.execute(
                "INSERT INTO job (key, account, id, position, state) VALUES (?, 1, ?, ?, ?)", row
            )
        if at_rest:
            schema.checkpoint(connection)
        else:
            shutil.copytree(out, out.with_name("killed"))
    return folder if at_rest else out.with_name("killed") / ".bulkfetch"


@pytest.mark.parametrize("version", range(1, len(schema.STEPS)))
async def test_every_older_format_is_read(tmp_path: Path, version: int) -> None:
    """Counts and outcomes are those of today's format; no byte and no file is changed or made."""
    folder = _made(tmp_path / "out", schema.STEPS[:version])
    before = _files(folder)
    with JournalReader.open(folder) as looked:
        assert looked.counts() == [AccountCounts("default", pending=1, failed=1, done=1)]
        assert [each.status for each in looked.outcomes()] == ["pending", "failed", "done"]
        assert [each.job_id for each in looked.failed()] == ["2"]
    assert _files(folder) == before
    async with opened(tmp_path / "out") as journal:  # and a run takes it forward
        await journal.enqueue(jobs("1", "2", "3"))
        assert (journal.counts.pending, journal.counts.skipped) == (2, 1)


async def test_a_format_to_come_is_read_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a later step does to the tables, today's journal is read through it."""
    folder = _made(tmp_path / "out", schema.STEPS)
    newer = (
        *schema.STEPS,
        """
        CREATE TABLE path (job INTEGER PRIMARY KEY REFERENCES job, path TEXT NOT NULL UNIQUE);
        INSERT INTO path SELECT key, id || '.csv' FROM job WHERE state >= 3;
        ALTER TABLE job ADD COLUMN owner INTEGER;
        """,
    )
    before = _files(folder)
    monkeypatch.setattr(reader, "STEPS", newer)
    with JournalReader.open(folder) as looked:
        assert looked.counts() == [AccountCounts("default", pending=1, failed=1, done=1)]
        assert looked._query("SELECT path FROM path", ()) == [("3.csv",)]
    assert _files(folder) == before


async def test_an_older_journal_whose_run_was_killed_is_read_with_its_log(tmp_path: Path) -> None:
    """What is in the log only is read too, and the log stays."""
    folder = _made(tmp_path / "out", schema.STEPS[:1], at_rest=False)
    names = ("journal.db", "journal.db-wal")
    before = {name: (folder / name).read_bytes() for name in names}
    assert before["journal.db-wal"]
    with JournalReader.open(folder) as looked:
        assert looked.counts() == [AccountCounts("default", pending=1, failed=1, done=1)]
    assert {name: (folder / name).read_bytes() for name in names} == before


async def test_an_older_journal_is_read_beside_its_writer(tmp_path: Path) -> None:
    """An older bulkfetch may be at work: its transaction under way is not waited for."""
    folder = _made(tmp_path / "out", schema.STEPS[:1])
    path = folder / "journal.db"
    with closing(schema.open_to_write(path, schema.STEPS[:1])) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM job")
        with JournalReader.open(folder) as looked:
            assert looked.counts() == [AccountCounts("default", pending=1, failed=1, done=1)]
        writer.execute("ROLLBACK")


async def test_newer_than_this_is_refused(tmp_path: Path) -> None:
    """A newer format stays JOURNAL_TOO_NEW, and unchanged."""
    folder = _made(tmp_path / "out", (*schema.STEPS, "CREATE TABLE extra (x)"))
    before = _files(folder)
    with pytest.raises(JournalTooNew):
        JournalReader.open(folder)
    assert _files(folder) == before


async def test_a_damaged_older_journal_is_told(tmp_path: Path) -> None:
    """What cannot be read cannot be copied either: a RunError in words."""
    folder = _made(tmp_path / "out", schema.STEPS[:1])
    path = folder / "journal.db"
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))
    with pytest.raises(RunError, match=r"journal\.db"), JournalReader.open(folder) as looked:
        looked.counts()


async def test_a_shared_memory_that_is_lacking_is_said(tmp_path: Path) -> None:
    """The cause and a remedy, not a disk I/O error."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMMAP
    told = errors.journal_error(error, tmp_path / "journal.db")
    assert isinstance(told, NotWritable)
    assert "share memory" in told.message
    assert "copy" in told.hint


async def test_a_page_of_one_file_is_read_as_a_page_of_files(tmp_path: Path) -> None:
    """Before a page had several files it had one, or none yet."""
    before = schema.STEPS.index(PAGE_FILES)
    folder = _made(tmp_path / "out", schema.STEPS[:before])
    with closing(schema.open_to_write(folder / "journal.db", schema.STEPS[:before])) as connection:
        connection.execute("INSERT INTO export (name, account) VALUES ('Leads', 'default')")
        connection.execute(
            "INSERT INTO generation VALUES (1, 1, 'default', 'ACTIVE', '', '[]', '', '', NULL,"
            " NULL, 0, 0, '[]')"
        )
        page = "(generation, chain, number, state, tries, failures, expiries, requests"
        connection.execute(
            f"INSERT INTO page {page}, file, bytes, sha256) "
            "VALUES (1, 1, 1, 'COUNTED', 1, 0, 0, 1, 'part-00001.csv', 9, 'ab')"
        )
        connection.execute(f"INSERT INTO page {page}) VALUES (1, 1, 2, 'PLANNED', 0, 0, 0, 0)")
        schema.checkpoint(connection)
    with JournalReader.open(folder) as looked:
        (export,) = looked.exports()
    assert [page.files for page in export.pages] == [(PageFile("part-00001.csv", 9, "ab"),), ()]

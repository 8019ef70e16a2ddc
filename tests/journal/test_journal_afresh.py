"""An empty journal, or none beside what a run left, is begun anew and told of; never damage."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.journals import done, drain, jobs, opened

from bulkfetch.errors import JournalDamaged
from bulkfetch.journal import Counts, Journal, JournalReader

pytestmark = pytest.mark.anyio


async def _worked(out: Path) -> Path:
    """Leave what a run leaves: a journal with one job done, its file, its folders."""
    async with opened(out) as journal:
        await journal.enqueue(jobs("1"))
        for entry in await drain(journal):
            await journal.done(entry, done(entry, out))
    (out / "1.csv").write_text("a,b\n")
    (out / ".bulkfetch/staging").mkdir()
    (out / ".bulkfetch/lock").touch()
    return out / ".bulkfetch"


def _emptied(folder: Path) -> None:
    (folder / "journal.db").write_bytes(b"")


def _emptied_beside_a_log(folder: Path) -> None:
    _emptied(folder)
    (folder / "journal.db-wal").write_bytes(b"\x37\x7f\x06\x82" + b"\0" * 5000)
    (folder / "journal.db-shm").write_bytes(b"\0" * 32768)


def _only_the_log(folder: Path) -> None:
    (folder / "journal.db").rename(folder / "journal.db-wal")


def _only_the_index(folder: Path) -> None:
    (folder / "journal.db").unlink()
    (folder / "journal.db-shm").write_bytes(b"\0" * 32768)


def _gone_beside_a_body(folder: Path) -> None:
    (folder / "journal.db").unlink()
    (folder / "staging/default.2.zip").write_bytes(b"PK")


def _gone_beside_a_refused_one(folder: Path) -> None:
    (folder / "journal.db").unlink()
    (folder / "quarantine").mkdir()
    (folder / "quarantine/default.2.zip").write_bytes(b"PK")


def _without_rows(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "journal.db")) as connection:
        connection.executescript("DELETE FROM job; DELETE FROM account")


def _without_tables(folder: Path) -> None:
    _emptied(folder)
    with closing(sqlite3.connect(folder / "journal.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


LOST = [
    _emptied,
    _emptied_beside_a_log,
    _only_the_log,
    _only_the_index,
    _gone_beside_a_body,
    _gone_beside_a_refused_one,
    _without_rows,
    _without_tables,
]


@pytest.mark.parametrize("lose", LOST)
async def test_a_lost_journal_is_begun_anew_and_told(
    tmp_path: Path, lose: Callable[[Path], None]
) -> None:
    """The run goes on with an empty one and says so once; questions are answered: no jobs yet."""
    folder = await _worked(tmp_path)
    lose(folder)
    with JournalReader.open(folder) as reader:
        assert reader.counts() == []
        assert list(reader.outcomes()) == list(reader.failed()) == []
    async with opened(tmp_path) as journal:
        assert journal.afresh is not None
        assert str(folder / "journal.db") in journal.afresh
        assert "starting afresh" in journal.afresh
        await journal.enqueue(jobs("1"))
        assert journal.counts == Counts(pending=1)
    async with opened(tmp_path) as journal:
        assert journal.afresh is None


async def test_a_first_run_is_told_nothing(tmp_path: Path) -> None:
    """Neither in a new folder nor in one with somebody's files, nor after a run of no jobs."""
    (tmp_path / "theirs.csv").touch()
    for _ in range(2):
        async with opened(tmp_path / "new") as journal:
            assert journal.afresh is None
    async with opened(tmp_path) as journal:
        assert journal.afresh is None
        await journal.enqueue(jobs("1"))
    async with opened(tmp_path) as journal:
        assert journal.afresh is None


async def test_a_folder_without_a_journal_has_no_jobs_yet(tmp_path: Path) -> None:
    """A run that was killed before it made its journal leaves a folder that answers."""
    (tmp_path / ".bulkfetch/staging").mkdir(parents=True)
    with JournalReader.open(tmp_path / ".bulkfetch") as reader:
        assert reader.counts() == []
    assert [path.name for path in (tmp_path / ".bulkfetch").iterdir()] == ["staging"]


async def test_an_empty_journal_is_not_touched_by_a_look(tmp_path: Path) -> None:
    """Status of an emptied journal makes no file and writes none."""
    folder = await _worked(tmp_path)
    _emptied(folder)
    with JournalReader.open(folder):
        pass
    assert (folder / "journal.db").stat().st_size == 0
    assert not (folder / "journal.db-wal").exists()


async def test_damage_is_still_damage(tmp_path: Path) -> None:
    """Zeros are no empty journal: a file of them is refused and kept."""
    folder = await _worked(tmp_path)
    (folder / "journal.db").write_bytes(b"\0" * 8192)
    with pytest.raises(JournalDamaged):
        await Journal.open(folder)
    with pytest.raises(JournalDamaged), JournalReader.open(folder):
        pass
    assert (folder / "journal.db").read_bytes() == b"\0" * 8192

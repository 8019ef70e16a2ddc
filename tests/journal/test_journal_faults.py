"""A journal that is newer, foreign, damaged, full or out of reach: told, and nothing harmed."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.journals import done, drain, jobs, opened

from bulkfetch.errors import DiskFull, JournalDamaged, JournalTooNew, NotWritable, RunError
from bulkfetch.journal import Counts, Journal, JournalReader, errors, schema
from bulkfetch.models import Job

pytestmark = pytest.mark.anyio


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def _fill(out: Path, count: int) -> None:
    async with opened(out) as journal:
        await journal.enqueue(jobs(*(str(n) for n in range(count))))


def _edit(out: Path, script: str) -> None:
    with closing(sqlite3.connect(out / ".bulkfetch/journal.db")) as connection:
        connection.executescript(script)


async def test_newer_is_refused_unchanged(tmp_path: Path) -> None:
    """A journal of a newer format is refused by a run and by status, and keeps its every byte."""
    await _fill(tmp_path, 10)
    _edit(tmp_path, "PRAGMA user_version = 99")
    folder = tmp_path / ".bulkfetch"
    before = _bytes(folder)
    with pytest.raises(JournalTooNew, match="format 99"):
        await Journal.open(folder)
    with pytest.raises(JournalTooNew):
        JournalReader.open(folder)
    assert _bytes(folder) == before


async def test_newer_with_a_log_is_refused_unchanged(tmp_path: Path) -> None:
    """A newer journal whose run was killed keeps its log too: it is not folded in by looking."""
    async with opened(tmp_path / "live") as journal:
        await journal.enqueue(jobs("1", "2"))
        _edit(tmp_path / "live", "PRAGMA user_version = 99")
        shutil.copytree(tmp_path / "live", tmp_path / "killed")  # what SIGKILL would leave
    folder = tmp_path / "killed/.bulkfetch"
    before = _bytes(folder)
    assert before["journal.db-wal"]
    with pytest.raises(JournalTooNew):
        await Journal.open(folder)
    after = _bytes(folder)
    assert after.keys() == before.keys()
    assert all(after[name] == before[name] for name in ("journal.db", "journal.db-wal"))


async def test_steps_lead_forward(tmp_path: Path) -> None:
    """A journal of an older format is taken forward step by step and keeps its jobs."""
    await _fill(tmp_path, 3)
    path = tmp_path / ".bulkfetch/journal.db"
    newer = (*schema.STEPS, "ALTER TABLE job ADD COLUMN etag TEXT; CREATE TABLE extra (x)")
    with closing(schema.open_to_write(path, newer)) as connection:
        assert connection.execute("SELECT id, etag FROM job").fetchall() == [
            ("0", None),
            ("1", None),
            ("2", None),
        ]
        assert connection.execute("PRAGMA user_version").fetchone() == (len(newer),)
    with pytest.raises(JournalTooNew, match=f"format {len(newer)}"):
        await Journal.open(path.parent)


async def test_a_journal_of_the_first_format_goes_on(tmp_path: Path) -> None:
    """What was recorded by the first version that had a journal stays."""
    folder = tmp_path / ".bulkfetch"
    folder.mkdir()
    with closing(schema.open_to_write(folder / "journal.db", schema.STEPS[:1])) as connection:
        connection.execute("INSERT INTO account (name) VALUES ('default')")
        connection.execute("UPDATE list SET next_position = 4")
        for number, state in enumerate((schema.PENDING, schema.DOWNLOADED, schema.DONE), 1):
            row = (number, str(number), number, state)
            connection.execute(
                "INSERT INTO job (key, account, id, position, state) VALUES (?, 1, ?, ?, ?)", row
            )
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1", "2", "3"))
        assert journal.counts == Counts(pending=2, skipped=1)
        first, second = await journal.take("default", 10)
        assert (first.state, second.state) == ("pending", "downloaded")


async def test_a_step_is_taken_whole_or_not_at_all(tmp_path: Path) -> None:
    """A migration that breaks in the middle leaves the journal as it was."""
    await _fill(tmp_path, 3)
    path = tmp_path / ".bulkfetch/journal.db"
    broken = (*schema.STEPS, "CREATE TABLE extra (x); CREATE TABLE extra (x)")
    with pytest.raises(sqlite3.OperationalError):
        schema.open_to_write(path, broken)
    async with opened(tmp_path) as journal:
        assert await journal.enqueue(jobs("1"))
    with JournalReader.open(path.parent) as reader:
        assert len(list(reader.outcomes())) == 3


@pytest.mark.parametrize("script", ["", "PRAGMA journal_mode = WAL"])
async def test_killed_while_it_was_made(tmp_path: Path, script: str) -> None:
    """A journal whose making was cut off before its tables is made now."""
    (tmp_path / ".bulkfetch").mkdir()
    (tmp_path / ".bulkfetch/journal.db").touch()
    _edit(tmp_path, script)
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1"))
        assert journal.counts == Counts(pending=1)


async def test_a_foreign_database_is_refused(tmp_path: Path) -> None:
    """A database of some other program under the journal's name is left alone."""
    (tmp_path / ".bulkfetch").mkdir()
    _edit(tmp_path, "CREATE TABLE job (x)")
    before = _bytes(tmp_path / ".bulkfetch")
    with pytest.raises(JournalDamaged, match="not a journal"):
        await Journal.open(tmp_path / ".bulkfetch")
    assert _bytes(tmp_path / ".bulkfetch") == before


def _garbage(path: Path) -> None:
    path.write_bytes(b"no database at all, but long enough to be looked at\n" * 100)


def _zeros(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100].ljust(path.stat().st_size, b"\0"))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _scrambled(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xa5" * (len(whole) - 8192))


@pytest.mark.parametrize("damage", [_garbage, _zeros, _cut, _scrambled])
async def test_damage_is_told(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """A damaged journal ends the run with JOURNAL_DAMAGED, wherever the damage is met."""
    await _fill(tmp_path, 2_000)
    damage(tmp_path / ".bulkfetch/journal.db")
    with pytest.raises(JournalDamaged, match=r"journal\.db"):
        await _fill(tmp_path, 4_000)


async def test_no_room_in_the_file(tmp_path: Path) -> None:
    """A full disk is told to everyone who waits; once there is room the same journal goes on."""
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1", "2"))
        first, second = await drain(journal)
        await journal._writer.read(lambda c: c.execute("PRAGMA max_page_count = 1").fetchone())
        answers = await asyncio.gather(
            *(journal.enqueue(jobs(*(str(n) for n in range(k, k + 2_000)))) for k in (10, 5_000)),
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers] == [DiskFull, DiskFull]
        assert answers[0] is not answers[1]
        assert journal.counts == Counts(pending=2)
        await journal._writer.read(lambda c: c.execute("PRAGMA max_page_count = 99999").fetchone())
        await journal.done(first, done(first, tmp_path))
        await journal.enqueue(jobs("3"))
        assert journal.counts == Counts(done=1, pending=2)
        assert [entry.job.id for entry in await drain(journal)] == ["3"]
        assert second.job.id == "2"


_FILE_LIMIT = """
import asyncio, pathlib, resource, sys
from bulkfetch.errors import RunError
from bulkfetch.journal import Journal
from bulkfetch.models import Job

async def main(folder):
    journal = await Journal.open(folder)
    admitted = 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    try:
        while True:
            await journal.enqueue([Job(str(n)) for n in range(admitted, admitted + 500)])
            admitted += 500
    except RunError as error:
        print(admitted, error.code)
    await journal.aclose()

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


@pytest.mark.slow
async def test_a_limit_on_file_size(tmp_path: Path) -> None:
    """A file-size limit stops the run in words; what was admitted before is there afterwards."""
    command = [sys.executable, "-c", _FILE_LIMIT, str(tmp_path / ".bulkfetch")]
    answer = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=True
    )
    admitted, code = answer.stdout.split()
    assert code == "NOT_WRITABLE"
    assert int(admitted) >= 500
    with JournalReader.open(tmp_path / ".bulkfetch") as reader:
        assert len(list(reader.outcomes())) == int(admitted)
    async with opened(tmp_path) as journal:
        await journal.enqueue([Job(str(n)) for n in range(int(admitted) + 1)])
        assert journal.counts == Counts(pending=int(admitted) + 1)


async def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    """A folder that cannot be made is NOT_WRITABLE, a folder in the file's place is damage."""
    (tmp_path / "file").touch()
    with pytest.raises(NotWritable):
        await Journal.open(tmp_path / "file" / ".bulkfetch")
    (tmp_path / ".bulkfetch/journal.db").mkdir(parents=True)
    with pytest.raises(JournalDamaged, match=r"journal\.db"):
        await Journal.open(tmp_path / ".bulkfetch")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_FULL, DiskFull),
        (sqlite3.SQLITE_READONLY_DBMOVED, NotWritable),
        (sqlite3.SQLITE_CANTOPEN, NotWritable),
        (sqlite3.SQLITE_IOERR_WRITE, NotWritable),
        (sqlite3.SQLITE_IOERR_FSYNC, NotWritable),
        (sqlite3.SQLITE_IOERR_READ, JournalDamaged),
        (sqlite3.SQLITE_IOERR_SHORT_READ, JournalDamaged),
        (sqlite3.SQLITE_CORRUPT_INDEX, JournalDamaged),
        (sqlite3.SQLITE_NOTADB, JournalDamaged),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, None),
        (sqlite3.SQLITE_MISUSE, None),
    ],
)
def test_codes_have_meanings(tmp_path: Path, code: int, kind: type[RunError] | None) -> None:
    """SQLite's codes become run errors; mistakes of this program stay what they are."""
    error = sqlite3.OperationalError("boom")
    error.sqlite_errorcode = code
    told = errors.journal_error(error, tmp_path / "journal.db")
    assert (told and type(told)) is kind


def test_an_io_error_without_room_is_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that fails where next to nothing is free is a full disk, whatever SQLite calls it."""
    monkeypatch.setattr(errors, "_NO_ROOM_BYTES", 1 << 80)
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    assert isinstance(errors.journal_error(error, tmp_path / "journal.db"), DiskFull)

"""SIGKILL in the middle of writing: what the journal promised is there, nothing is half."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from tests.support import journal_victim
from tests.support.journals import drain, jobs, opened, skipped

from bulkfetch.journal import JournalReader

pytestmark = pytest.mark.slow

COUNT = 2_000


def _killed_after(out: Path, lines: int) -> list[tuple[str, str]]:
    """Run the victim, kill it after so many promises, give all that it made."""
    command = [sys.executable, journal_victim.__file__, str(out), str(COUNT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        said += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    return [(word, id) for word, id in (line.split() for line in said if line.endswith("\n"))]


def test_promises_outlive_kills(tmp_path: Path) -> None:
    """After each of several kills of one list, every recorded step is there for the next run."""
    staged: set[str] = set()
    ended: dict[str, str] = {}
    for lines in (1, 23, 160, 7, 401, 88):
        for word, id in _killed_after(tmp_path, lines):
            if word == "Z":
                assert id not in staged, "a recorded ZIP would have been fetched again"
                if not journal_victim.fails(
                    id
                ):  # it may have failed without a word, and be retried
                    staged.add(id)
            else:
                assert ended.get(id) != "D", "a done job was done again"
                ended[id] = word
                staged.discard(id)
        with closing(sqlite3.connect(tmp_path / ".bulkfetch/journal.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finished = {id for id, word in ended.items() if word == "D"}

    async def resume() -> None:
        async with opened(tmp_path) as journal:
            await journal.enqueue(jobs(*(str(n) for n in range(COUNT))))
            entries = {entry.job.id: entry for entry in await drain(journal)}
            kept = {outcome.job_id for outcome in await skipped(journal)}
            assert kept | entries.keys() == {str(n) for n in range(COUNT)}
            assert not kept & entries.keys()
            assert finished <= kept
            recorded = {id for id, entry in entries.items() if entry.state == "downloaded"}
            assert staged - kept <= recorded

    asyncio.run(resume())


@pytest.mark.parametrize("lines", [1, 60])
def test_status_after_a_kill(tmp_path: Path, lines: int) -> None:
    """A journal that a kill left with its log is read, log included, without touching the file."""
    said = _killed_after(tmp_path, lines)
    before = (tmp_path / ".bulkfetch/journal.db").read_bytes()
    with JournalReader.open(tmp_path / ".bulkfetch") as reader:
        status = {outcome.job_id: outcome.status for outcome in reader.outcomes()}
    assert len(status) == COUNT
    assert all(status[id] == "done" for word, id in said if word == "D")
    assert all(status[id] == "failed" for word, id in said if word == "F")
    assert (tmp_path / ".bulkfetch/journal.db").read_bytes() == before

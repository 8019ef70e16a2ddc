"""An output folder of the version before: small ZIPs were kept in its journal."""

from __future__ import annotations

import os
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import pytest
from tests.support.flow_clock import run_flow
from tests.support.flows import small, staged, watch
from tests.support.zips import STORED, Item, pack

from bulkfetch.errors import NotWritable
from bulkfetch.journal import held, schema
from bulkfetch.sandbox import JobSpec

# What a run of journal format 4 left when it ended: the first job done, the second's ZIP in
# staging, those of the third and fourth in the journal (beside the fourth a body cut short), the
# fifth's whole in a .part that nobody had looked at, the sixth not asked for, the seventh's in the
# journal, failed since by a later list's bad name.
FOLDER = Path(__file__).parents[1] / "data" / "output_of_format_4.tar.xz"
JOBS = [f"55402300000050000{number}" for number in range(1, 8)]


def zip_of(number: int) -> bytes:
    """Make the ZIP of a job as it was; stored, so that its text would show in the journal."""
    lines = (b"%d,customer %d of %d\n" % (row, row, number) for row in range(300))
    return pack(Item(data=b"Id,Name\n" + b"".join(lines), method=STORED))


OPTIONS = small(jobs={job: JobSpec(content=zip_of(n)) for n, job in enumerate(JOBS, 1)})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The folder, unpacked."""
    with tarfile.open(FOLDER) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "out"


def journal_of(out: Path) -> bytes:
    """Give the bytes of the journal and of what SQLite has beside it."""
    return b"".join(path.read_bytes() for path in out.glob(".bulkfetch/journal.db*"))


def test_the_list_goes_on_without_a_request_too_many(out: Path) -> None:
    """Only the job that was never asked for costs a request; nothing of the ZIPs stays behind."""
    assert b"customer 17 of 3" in journal_of(out)
    seen = run_flow(watch(OPTIONS, JOBS, out))
    assert [arrival.job_id for arrival in seen.arrivals] == JOBS[5:6]
    assert (seen.report.done, seen.report.skipped, seen.report.requests) == (6, 1, 1)
    assert staged(out) == []
    assert b"customer" not in journal_of(out)


def test_a_kill_while_zips_are_moved_costs_nothing(out: Path) -> None:
    """Cut between a ZIP's file and the table's end: the next run moves them all once more."""
    path = out / ".bulkfetch" / "journal.db"
    with (
        patch.object(held, "fsync_dir", side_effect=NotWritable("cut")),
        pytest.raises(NotWritable),
    ):
        schema.open_to_write(path)
    assert f"default.{JOBS[3]}.zip" in staged(out)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM held").fetchone() == (3,)
    seen = run_flow(watch(OPTIONS, JOBS, out))
    assert (seen.report.done, seen.report.requests) == (6, 1)


def test_moved_zips_are_on_the_device_before_the_journal_lets_them_go(out: Path) -> None:
    """Each file is synced, then the folder, then the table goes."""
    synced: list[str] = []
    sync = os.fsync

    def noting(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        sync(fd)

    with patch.object(os, "fsync", noting), patch.object(schema, "_migrate") as migrate:
        migrate.side_effect = lambda *_: synced.append("migrated")
        schema.open_to_write(out / ".bulkfetch" / "journal.db").close()
    staging = out / ".bulkfetch" / "staging"
    parts = [f"{staging}/default.{job}.part" for job in (*JOBS[2:4], JOBS[6])]
    assert synced == [*parts, str(staging), "migrated"]

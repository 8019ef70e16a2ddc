"""What a death inside of SQLite leaves, where no wrapper reaches."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.kill_scene import IDS, OPTIONS, Scene, service

pytestmark = pytest.mark.slow


def leave_a_hot_journal(file: Path) -> None:
    """Leave a file as a process does that dies while it changes the file's mode."""
    copy = file.with_name("copy.db")
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")  # the rollback journal counts from its first byte on
        db.execute("BEGIN IMMEDIATE")
        db.execute(f"PRAGMA user_version = {db.execute('PRAGMA user_version').fetchone()[0]}")
        shutil.copy(file, copy)
        shutil.copy(f"{file}-journal", f"{copy}-journal")
        db.execute("ROLLBACK")
    shutil.move(copy, file)
    shutil.move(f"{copy}-journal", f"{file}-journal")


def test_death_while_the_journal_changes_its_mode_stops_nobody(tmp_path: Path) -> None:
    """Half-way out of WAL mode: status still answers and changes nothing, and a run goes on."""
    with service(tmp_path, OPTIONS) as server:
        scene = Scene(tmp_path / "a", server, IDS[:3], tmp_path / "state")
        scene.check_finished(scene.run())
        file = scene.out / ".bulkfetch" / "journal.db"
        leave_a_hot_journal(file)
        before = file.read_bytes()
        status = scene.program.run("status", "out", "--json")
        assert status.status == 0, status.err
        assert file.read_bytes() == before
        assert file.with_name("journal.db-journal").exists()
        scene.check_finished(scene.run())
        assert server.asked().total() == 3
        assert not file.with_name("journal.db-journal").exists()

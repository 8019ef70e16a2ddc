"""What is kept of exports, in the journal's own file: the `ExportStore` of an output folder.

The jobs of pages are rows of the queue like all others. They go with the export: once its folder
has its final name, theirs in here would be wrong.

A **turn** is one command's work over its interruptions. What it has committed is "done" until all
that it was asked for has ended, so that the call that goes on does not export it again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import replace

from bulkfetch.filenames import UNFINISHED_EXPORTS
from bulkfetch.journal.codec import COLUMNS, Outcomes
from bulkfetch.journal.export_codec import (
    EXPORT,
    GENERATION,
    PAGE,
    export_of,
    generation_of,
    page_of,
    values,
)
from bulkfetch.journal.export_rows import (
    Change,
    ExportRow,
    ExportStore,
    GenerationRow,
    PageRow,
    StoredExport,
)
from bulkfetch.journal.schema import DONE, FAILED, FAILED_BEFORE, SKIPPED
from bulkfetch.journal.writer import Writer
from bulkfetch.models import ExportReport, Outcome

_EXPORT = f"SELECT {', '.join(EXPORT)} FROM export"
_UPDATE_EXPORT = "UPDATE export SET committed = ?, prepared_s = ? WHERE key = ?"
_OPEN_FIRST = f"""
    SELECT {", ".join(GENERATION)} FROM generation WHERE export = ?
    ORDER BY state IN ('ACTIVE', 'PUBLISHING') DESC, key DESC LIMIT 1
"""
_NEWEST_COMMITTED = f"""
    SELECT {", ".join(GENERATION)} FROM generation WHERE export = ? AND state = 'COMMITTED'
    ORDER BY key DESC LIMIT 1
"""
_INSERT_GENERATION = f"""
    INSERT INTO generation ({", ".join(GENERATION[1:])})
    VALUES ({", ".join("?" for _ in GENERATION[1:])})
"""
_UPDATE_GENERATION = f"""
    UPDATE generation SET {", ".join(f"{name} = ?" for name in GENERATION)} WHERE key = ?
"""
_PAGES = f"SELECT {', '.join(PAGE)} FROM page WHERE generation = ? ORDER BY chain, number"
_PUT_PAGE = f"""
    INSERT OR REPLACE INTO page ({", ".join(PAGE)}) VALUES ({", ".join("?" for _ in PAGE)})
"""
_ENDED = f"""
    SELECT {COLUMNS} FROM job JOIN account ON account.key = job.account
    WHERE account.name = ? AND job.id = ?
    AND state IN ({DONE}, {SKIPPED}, {FAILED}, {FAILED_BEFORE})
"""
_UNDER_WAY = """
    SELECT page.job_id FROM page JOIN generation ON generation.key = page.generation
    WHERE generation.export = ? AND generation.state IN ('ACTIVE', 'PUBLISHING')
    AND page.job_id IS NOT NULL
"""
_IN_FOLDER = """
    SELECT account.name, job.id FROM job JOIN account ON account.key = job.account
    WHERE folder >= ? AND folder < ?
"""
_CLOSE_TURN = """
    UPDATE export SET turn = NULL WHERE turn = 'done'
    AND NOT EXISTS (SELECT 1 FROM export WHERE turn = 'due')
"""


class ExportTables(ExportStore):
    """The tables, behind the journal's one writer."""

    def __init__(self, writer: Writer, outcomes: Outcomes) -> None:
        """Use `Journal.exports`."""
        self._writer = writer
        self._outcomes = outcomes

    async def load(self, names: Sequence[str]) -> dict[str, StoredExport]:
        def work(connection: sqlite3.Connection) -> dict[str, StoredExport]:
            found = {}
            for name in names:
                row = connection.execute(f"{_EXPORT} WHERE name = ?", (name,)).fetchone()
                if row is not None:
                    found[name] = _stored(connection, export_of(row))
            return found

        return await self._writer.read(work)

    async def begin(self, names: Sequence[tuple[str, str]]) -> dict[str, ExportRow]:
        return await self._writer.write(lambda connection: _begin(connection, names))

    async def open(
        self, generation: GenerationRow, pages: Sequence[PageRow], along: Change
    ) -> tuple[GenerationRow, tuple[PageRow, ...]]:
        def work(connection: sqlite3.Connection) -> tuple[GenerationRow, tuple[PageRow, ...]]:
            _write(connection, along)
            key = connection.execute(_INSERT_GENERATION, values(generation)[1:]).lastrowid
            assert key is not None, "an insert gives a row its key"
            rows = tuple(replace(page, generation=key) for page in pages)
            _write(connection, Change(pages=rows))
            return replace(generation, key=key), rows

        return await self._writer.write(work)

    async def write(self, change: Change) -> None:
        await self._writer.write(lambda connection: _write(connection, change))

    async def keep_jobs(self, name: str, job_ids: Collection[str]) -> None:
        """Forget the jobs of an export's pages, of whichever generation, but these.

        If cancelled: all of the others are forgotten, or none.
        """
        await self._writer.write(lambda connection: _keep_jobs(connection, name, job_ids))

    async def outcome(self, account: str, job_id: str) -> Outcome | None:
        def work(connection: sqlite3.Connection) -> Outcome | None:
            row = connection.execute(_ENDED, (account, job_id)).fetchone()
            return None if row is None else self._outcomes.read(row)

        return await self._writer.read(work)

    async def require_turn(self) -> None:
        return  # the folder's lock keeps everybody else out


def read_exports(connection: sqlite3.Connection) -> list[StoredExport]:
    """Return all that is known of exports, in the order of their names' first mention."""
    rows = connection.execute(f"{_EXPORT} ORDER BY key").fetchall()
    return [_stored(connection, export_of(row)) for row in rows]


def read_published(connection: sqlite3.Connection) -> list[StoredExport]:
    """Return the newest committed generation of each export, with its pages."""
    found = []
    for row in connection.execute(f"{_EXPORT} ORDER BY key").fetchall():
        newest = connection.execute(_NEWEST_COMMITTED, row[:1]).fetchone()
        if newest is not None:
            found.append(_with_pages(connection, export_of(row), generation_of(newest)))
    return found


def _begin(
    connection: sqlite3.Connection, names: Sequence[tuple[str, str]]
) -> dict[str, ExportRow]:
    rows = {}
    for name, account in names:
        connection.execute(
            "INSERT INTO export (name, account, turn) VALUES (?, ?, 'due') ON CONFLICT (name) "
            "DO UPDATE SET account = excluded.account, turn = excluded.turn",
            (name, account),
        )
        found = connection.execute(f"{_EXPORT} WHERE name = ?", (name,)).fetchone()
        row = rows[name] = export_of(found)
        # What other commands have left of exports that were begun anew or abandoned goes.
        wanted = {job_id for (job_id,) in connection.execute(_UNDER_WAY, (row.key,))}
        _keep_jobs(connection, name, wanted)
    return rows


def _keep_jobs(connection: sqlite3.Connection, name: str, job_ids: Collection[str]) -> None:
    first, end = f"{UNFINISHED_EXPORTS}{name}/", f"{UNFINISHED_EXPORTS}{name}0"  # "0" follows "/"
    for account, job_id in connection.execute(_IN_FOLDER, (first, end)).fetchall():
        if job_id not in job_ids:
            _forget(connection, account, job_id)


def _write(connection: sqlite3.Connection, change: Change) -> None:
    connection.executemany(_PUT_PAGE, map(values, change.pages))
    if change.generation is not None:
        row = change.generation
        connection.execute(_UPDATE_GENERATION, (*values(row), row.key))
    if change.export is not None:
        key, _, _, committed, prepared_s, _ = values(change.export)
        connection.execute(_UPDATE_EXPORT, (committed, prepared_s, key))
    if change.end is not None:
        _end(connection, change.end)
    for account, job_id in change.forgotten:
        _forget(connection, account, job_id)


def _end(connection: sqlite3.Connection, end: ExportReport) -> None:
    """Note what a command came to with an export; what is pending stays due."""
    if end.status == "pending":
        return
    turn = "done" if end.status == "done" else None
    connection.execute("UPDATE export SET turn = ? WHERE name = ?", (turn, end.name))
    # What a command has committed is forgotten once nothing is due any more.
    connection.execute(_CLOSE_TURN)


def _forget(connection: sqlite3.Connection, account: str, job_id: str) -> None:
    """Remove all traces of a page's job from the queue and from the names."""
    found = connection.execute(
        "SELECT job.key FROM job JOIN account ON account.key = job.account "
        "WHERE account.name = ? AND job.id = ?",
        (account, job_id),
    ).fetchone()
    if found is None:
        return
    for table in ("claim", "published", "standing"):
        connection.execute(f"DELETE FROM {table} WHERE job = ?", found)
    connection.execute("UPDATE job SET superseded = NULL WHERE superseded = ?", found)
    connection.execute("DELETE FROM job WHERE key = ?", found)


def _stored(connection: sqlite3.Connection, export: ExportRow) -> StoredExport:
    found = connection.execute(_OPEN_FIRST, (export.key,)).fetchone()
    if found is None:
        return StoredExport(export, None, ())
    return _with_pages(connection, export, generation_of(found))


def _with_pages(
    connection: sqlite3.Connection, export: ExportRow, generation: GenerationRow
) -> StoredExport:
    rows = connection.execute(_PAGES, (generation.key,))
    return StoredExport(export, generation, tuple(map(page_of, rows)))

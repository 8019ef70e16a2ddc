"""What is known of exports: each name, its generations, their pages; in the journal's own file.

A **generation** is one attempt at an export: its pages belong together and are published in one
folder, never with those of another. A name has at most one that is under way. All that a step
changes is one `Change`, written in one transaction: a page's token is lost with the page that gave
it, or with neither.

The jobs of pages are rows of the queue like all others. They go with the export: once its folder
has its final name, theirs in here would be wrong.

A **turn** is one command's work over its interruptions. What it has committed is "done" until all
that it was asked for has ended, so that the call that goes on does not export it again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, NamedTuple

from bulkfetch.filenames import UNFINISHED_EXPORTS
from bulkfetch.journal.codec import COLUMNS, Outcomes
from bulkfetch.journal.schema import DONE, FAILED, FAILED_BEFORE, SKIPPED
from bulkfetch.journal.writer import Writer
from bulkfetch.models import Failure, Outcome

PageState = Literal[
    "PLANNED",  # to be created
    "CREATING",  # the request may be on its way; a dead run's is UNKNOWN
    "UNKNOWN",  # it may have been accepted, under an id that nobody knows
    "PREPARING",  # its job has an id
    "READY",  # completed; to be downloaded
    "COUNTED",  # in the export's folder, with as many records as the service says
    "EXPIRED",  # the result is gone; to be created again
    "FAILED",
]
GenerationState = Literal["ACTIVE", "PUBLISHING", "COMMITTED", "ABANDONED"]
Turn = Literal["due", "done"]


@dataclass(frozen=True, slots=True)
class ExportRow:
    """A name. `committed` is what its last export left, as text of who decides about the next.

    `prepared_s` are the seconds that its last pages took to be prepared; `turn` as the module says,
    None where no command has anything left to do.
    """

    key: int
    name: str
    account: str
    committed: str | None = None
    prepared_s: tuple[float, ...] = ()
    turn: Turn | None = None


@dataclass(frozen=True, slots=True)
class GenerationRow:
    """One attempt at an export; `key` is 0 before it is written.

    `step` is what it asks for, as text of who decided; `queries` are the bodies that create the
    first page of each chain. `started` is this machine's time in UTC. From PUBLISHING on, `folder`
    is the name of the published folder, or its URL in a bucket, and `leaves` what its name's row
    gets once it is committed.
    `spent` and `wasted` are credits, over all runs.
    """

    key: int
    export: int
    account: str
    state: GenerationState
    step: str
    queries: tuple[dict[str, Any], ...]
    query_hash: str
    started: str
    folder: str | None = None
    leaves: str | None = None
    spent: int = 0
    wasted: int = 0
    warnings: tuple[str, ...] = ()


class PageFile(NamedTuple):
    """A file of a page: its name in the export's folder; `sha256` None with `sha256 = false`."""

    name: str
    bytes: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class PageRow:
    """One page of a chain, both from 1.

    `tries` counts the creates since it was planned, or since the last one that was lost to a
    failure or an expiry; those are counted too. `token` is what it is created by, None for a first
    page or a page by number. `created_time`, as the service says it, is that of its first job. Of
    its job: `created_at` and `ready_at` are this machine's wall clock in seconds; `count` is what
    the result holds. Of what came: its `files`, `records` as counted, and `requests` it has cost.
    """

    generation: int
    chain: int
    number: int
    state: PageState = "PLANNED"
    tries: int = 0
    failures: int = 0
    expiries: int = 0
    token: str | None = None
    job_id: str | None = None
    created_time: str | None = None
    created_at: float | None = None
    ready_at: float | None = None
    count: int | None = None
    files: tuple[PageFile, ...] = ()
    records: int | None = None
    zip_bytes: int | None = None
    requests: int = 0
    error: Failure | None = None


class Change(NamedTuple):
    """Rows to write, and the jobs (account, id) to forget, in one transaction."""

    pages: Sequence[PageRow] = ()
    generation: GenerationRow | None = None
    export: ExportRow | None = None
    forgotten: Sequence[tuple[str, str]] = ()


class StoredExport(NamedTuple):
    """A name, its generation that is under way (else the newest), and that one's pages in order."""

    row: ExportRow
    generation: GenerationRow | None
    pages: tuple[PageRow, ...]


class ExportTables:
    """The tables, behind the journal's one writer. For one run, in its event loop."""

    def __init__(self, writer: Writer, outcomes: Outcomes) -> None:
        """Use `Journal.exports`."""
        self._writer = writer
        self._outcomes = outcomes

    async def load(self, names: Sequence[str]) -> dict[str, StoredExport]:
        """Return what is known of exports, by name. If cancelled: nothing happens."""

        def work(connection: sqlite3.Connection) -> dict[str, StoredExport]:
            found = {}
            for name in names:
                row = connection.execute(f"{_EXPORT.select} WHERE name = ?", (name,)).fetchone()
                if row is not None:
                    found[name] = _stored(connection, _export(row))
            return found

        return await self._writer.read(work)

    async def begin(self, names: Sequence[tuple[str, str]]) -> dict[str, ExportRow]:
        """Note that a command is to do these exports (name, account); return their rows.

        If cancelled: noted or not, never half.
        """
        return await self._writer.write(lambda connection: _begin(connection, names))

    async def open(
        self, generation: GenerationRow, pages: Sequence[PageRow], along: Change
    ) -> tuple[GenerationRow, tuple[PageRow, ...]]:
        """Add a generation with its first pages, and do another change in the same transaction.

        Returns the rows with their keys. If cancelled: all is written, or nothing.
        """

        def work(connection: sqlite3.Connection) -> tuple[GenerationRow, tuple[PageRow, ...]]:
            _write(connection, along)
            made = _insert_generation(connection, generation)
            rows = tuple(replace(page, generation=made.key) for page in pages)
            _write(connection, Change(pages=rows))
            return made, rows

        return await self._writer.write(work)

    async def write(self, change: Change) -> None:
        """Write a change; durable on return. If cancelled: all of it is written, or nothing."""
        await self._writer.write(lambda connection: _write(connection, change))

    async def end_turn(self, names: Sequence[str]) -> None:
        """Note that nothing more is to be done about these exports by this command.

        If cancelled: noted or not.
        """

        def work(connection: sqlite3.Connection) -> None:
            for name in names:
                connection.execute("UPDATE export SET turn = NULL WHERE name = ?", (name,))
            _close_turn(connection)

        await self._writer.write(work)

    async def outcome(self, account: str, job_id: str) -> Outcome | None:
        """Return how a page's job ended, in any run; None where it has not. If cancelled: nothing
        happens."""

        def work(connection: sqlite3.Connection) -> Outcome | None:
            row = connection.execute(_ENDED, (account, job_id)).fetchone()
            return None if row is None else self._outcomes.read(row)

        return await self._writer.read(work)


_ENDED = f"""
    SELECT {COLUMNS} FROM job JOIN account ON account.key = job.account
    WHERE account.name = ? AND job.id = ?
    AND state IN ({DONE}, {SKIPPED}, {FAILED}, {FAILED_BEFORE})
"""
_OPEN_FIRST = """
    SELECT {columns} FROM generation WHERE export = ?
    ORDER BY state IN ('ACTIVE', 'PUBLISHING') DESC, key DESC LIMIT 1
"""


class _Columns:
    """How rows of one kind are written and read: columns in the order of the fields."""

    def __init__(self, kind: type[Any], table: str) -> None:
        self.names = tuple(field.name for field in fields(kind))
        listed, marks = ", ".join(self.names), ", ".join("?" * len(self.names))
        self.select = f"SELECT {listed} FROM {table}"
        self.replace = f"INSERT OR REPLACE INTO {table} ({listed}) VALUES ({marks})"
        sets = ", ".join(f"{name} = ?" for name in self.names)
        self.update = f"UPDATE {table} SET {sets} WHERE key = ?"
        self.listed = listed


_EXPORT = _Columns(ExportRow, "export")
_GENERATION = _Columns(GenerationRow, "generation")
_PAGE = _Columns(PageRow, "page")


def read_exports(connection: sqlite3.Connection) -> list[StoredExport]:
    """Return all that is known of exports, in the order of their names' first mention."""
    rows = connection.execute(f"{_EXPORT.select} ORDER BY key").fetchall()
    return [_stored(connection, _export(row)) for row in rows]


def read_published(connection: sqlite3.Connection) -> list[StoredExport]:
    """Return the newest committed generation of each export, with its pages."""
    found = []
    for row in connection.execute(f"{_EXPORT.select} ORDER BY key").fetchall():
        newest = connection.execute(
            f"{_GENERATION.select} WHERE export = ? AND state = 'COMMITTED' "
            "ORDER BY key DESC LIMIT 1",
            row[:1],
        ).fetchone()
        if newest is not None:
            found.append(_with_pages(connection, _export(row), _generation(newest)))
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
        found = connection.execute(f"{_EXPORT.select} WHERE name = ?", (name,)).fetchone()
        rows[name] = _export(found)
        # What other commands have left of exports that were begun anew or abandoned.
        _forget_all(connection, name, rows[name].key)
    return rows


def _forget_all(connection: sqlite3.Connection, name: str, export: int) -> None:
    """Remove the jobs of an export's generations that are not under way."""
    first, end = f"{UNFINISHED_EXPORTS}{name}/", f"{UNFINISHED_EXPORTS}{name}0"  # "0" follows "/"
    stale = connection.execute(
        "SELECT account.name, job.id FROM job JOIN account ON account.key = job.account "
        "WHERE folder >= ? AND folder < ? AND NOT EXISTS (SELECT 1 FROM page "
        "JOIN generation ON generation.key = page.generation "
        "WHERE page.job_id = job.id AND generation.export = ? "
        "AND generation.state IN ('ACTIVE', 'PUBLISHING'))",
        (first, end, export),
    ).fetchall()
    for account, job_id in stale:
        _forget(connection, account, job_id)


def _close_turn(connection: sqlite3.Connection) -> None:
    """Forget what a command has committed once nothing is due any more."""
    connection.execute(
        "UPDATE export SET turn = NULL WHERE turn = 'done' "
        "AND NOT EXISTS (SELECT 1 FROM export WHERE turn = 'due')"
    )


def _write(connection: sqlite3.Connection, change: Change) -> None:
    connection.executemany(_PAGE.replace, map(_values, change.pages))
    if change.generation is not None:
        row = change.generation
        connection.execute(_GENERATION.update, (*_values(row), row.key))
    if change.export is not None:
        connection.execute(_EXPORT.update, (*_values(change.export), change.export.key))
        _close_turn(connection)
    for account, job_id in change.forgotten:
        _forget(connection, account, job_id)


def _insert_generation(connection: sqlite3.Connection, row: GenerationRow) -> GenerationRow:
    names = _GENERATION.names[1:]
    marks = ", ".join("?" * len(names))
    key = connection.execute(
        f"INSERT INTO generation ({', '.join(names)}) VALUES ({marks})", _values(row)[1:]
    ).lastrowid
    assert key is not None, "an insert gives a row its key"
    return replace(row, key=key)


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
    statement = _OPEN_FIRST.format(columns=_GENERATION.listed)
    found = connection.execute(statement, (export.key,)).fetchone()
    if found is None:
        return StoredExport(export, None, ())
    return _with_pages(connection, export, _generation(found))


def _with_pages(
    connection: sqlite3.Connection, export: ExportRow, generation: GenerationRow
) -> StoredExport:
    rows = connection.execute(
        f"{_PAGE.select} WHERE generation = ? ORDER BY chain, number", (generation.key,)
    )
    return StoredExport(export, generation, tuple(map(_page, rows)))


# --- rows to values and back ---------------------------------------------------------------------


def _values(row: ExportRow | GenerationRow | PageRow) -> tuple[Any, ...]:
    return tuple(_plain(getattr(row, field.name)) for field in fields(row))


def _plain(value: object) -> object:
    if isinstance(value, Failure):
        return json.dumps(asdict(value))
    return json.dumps(value) if isinstance(value, tuple) else value


def _export(row: tuple[Any, ...]) -> ExportRow:
    key, name, account, committed, prepared_s, turn = row
    return ExportRow(key, name, account, committed, tuple(json.loads(prepared_s)), turn)


def _generation(row: tuple[Any, ...]) -> GenerationRow:
    values = dict(zip(_GENERATION.names, row, strict=True))
    values["queries"] = tuple(json.loads(values["queries"]))
    values["warnings"] = tuple(json.loads(values["warnings"]))
    return GenerationRow(**values)


def _page(row: tuple[Any, ...]) -> PageRow:
    values = dict(zip(_PAGE.names, row, strict=True))
    error = values["error"]
    values["files"] = tuple(PageFile(*file) for file in json.loads(values["files"]))
    return PageRow(**{**values, "error": Failure(**json.loads(error)) if error else None})

"""The journal's tables, their versions, and the ways to open the file.

**One row per job, for ever.** A job is known by (account, id). `position` is its place in the list
that named it last; positions only ever grow, over all runs, so that "listed by this run" is
"position ≥ the run's first one" and starting a run changes no row. Partial indexes hold exactly the
rows that a question asks for: what is to do, what failed, what was done before and listed again.
Each costs nothing for the rows outside it, which keeps a pending job within some 80 bytes.

**Names** are compared folded (`filenames.same_file`). `claim` has the job that may publish under a
name, `published` the one whose file stands there and how many bytes it has, `standing` what else
may stand there (`ownership`), `job.superseded` the newer job that was published over this one.

**Small ZIPs were kept here** in formats 2 to 4 (`held`). They are moved to staging before the table
is dropped. **secure_delete** overwrites what is deleted, so that no export lives on in the
journal's free pages.

**Modes.** While a run works the file is in WAL mode: readers never wait for the writer, nor it for
them. A run that ends folds the log in and leaves WAL mode, so that a journal at rest is one file,
to be copied or read from a read-only place: a read-only connection to a file at rest in WAL mode
would create files beside it.

**synchronous = FULL.** In WAL mode NORMAL syncs at checkpoints only: after a power cut the file is
sound but the last commits may be gone, a "downloaded" among them whose request cost six seconds.
FULL syncs the log at every commit; group commit shares that sync among all who wait.
"""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from bulkfetch.errors import DiskFull, JournalDamaged, JournalTooNew
from bulkfetch.filenames import same_file
from bulkfetch.journal.errors import lacks_shared_memory
from bulkfetch.journal.export_tables import EXPORT_TABLES, PAGE_FILES
from bulkfetch.journal.held import HELD_FORMATS, move_held
from bulkfetch.journal.runs import RUN_TABLE

FILE_NAME = "journal.db"

# job.state. A done job that a later run lists again becomes SKIPPED: that run's "skipped"; one that
# failed for good becomes FAILED_BEFORE.
PENDING, DOWNLOADED, FAILED, DONE, SKIPPED, FAILED_BEFORE = range(6)

# Marks the file as ours in its header (bytes 68-71): "bulk" in ASCII.
_APPLICATION_ID = 0x62756C6B

# How long one connection waits for another's lock, in seconds: the moments in which the file
# enters or leaves WAL mode are the only ones in which readers and the writer meet.
_BUSY_S = 10.0

# Page cache of the writer in KiB: the tail of every index, whatever the number of jobs. With more a
# shuffled list goes in a fifth faster (20 µs an id), but memory grows with the list for longer.
_CACHE_KIB = 2 * 1024

# The log is cut back to this many bytes when it starts anew; SQLite folds it in at every 1,000
# pages (4 MB), so that it is larger only after one large transaction.
_LOG_BYTES = 16 << 20

# Step n takes the file from version n to n + 1, in one transaction. Never change one that was
# published; add one.
STEPS: tuple[str, ...] = (
    f"""
    CREATE TABLE account (key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE list (next_position INTEGER NOT NULL);
    INSERT INTO list VALUES (1);
    CREATE TABLE job (
        key INTEGER PRIMARY KEY,
        account INTEGER NOT NULL REFERENCES account,
        id TEXT NOT NULL,
        position INTEGER NOT NULL,
        state INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0,
        name TEXT,
        zip_bytes INTEGER,
        records INTEGER,
        files TEXT,
        quarantine TEXT,
        error TEXT,
        UNIQUE (account, id)
    );
    CREATE INDEX job_todo ON job (account, position) WHERE state <= {DOWNLOADED};
    CREATE INDEX job_failed ON job (position) WHERE state = {FAILED};
    CREATE INDEX job_kept ON job (position, account) WHERE state = {SKIPPED};
    """,
    f"""
    CREATE TABLE held (job INTEGER PRIMARY KEY REFERENCES job, zip BLOB NOT NULL);
    CREATE TRIGGER let_go AFTER UPDATE OF state ON job
    WHEN old.state = {DOWNLOADED} AND new.state <> {DOWNLOADED}
    BEGIN
        DELETE FROM held WHERE job = old.key;
    END;
    """,
    # Of two old jobs with one path the newer one (by key) is taken to have published it last.
    f"""
    ALTER TABLE job ADD COLUMN superseded INTEGER REFERENCES job;
    CREATE TABLE claim (
        folded TEXT PRIMARY KEY, job INTEGER NOT NULL REFERENCES job
    ) WITHOUT ROWID;
    CREATE TABLE published (
        folded TEXT PRIMARY KEY, job INTEGER NOT NULL REFERENCES job, bytes INTEGER NOT NULL
    ) WITHOUT ROWID;
    INSERT OR REPLACE INTO published
        SELECT same_file(plain_path(json_extract(file.value, '$.path'))), job.key,
            json_extract(file.value, '$.bytes')
        FROM job, json_each(job.files) AS file WHERE job.files IS NOT NULL ORDER BY job.key;
    UPDATE job SET superseded = (
        SELECT published.job FROM json_each(job.files) AS file
        JOIN published
        ON published.folded = same_file(plain_path(json_extract(file.value, '$.path')))
        WHERE published.job <> job.key
    ) WHERE files IS NOT NULL;
    DROP INDEX job_failed;
    DROP INDEX job_kept;
    CREATE INDEX job_failed ON job (position) WHERE state IN ({FAILED}, {FAILED_BEFORE});
    CREATE INDEX job_kept ON job (position, account) WHERE state >= {SKIPPED};
    """,
    # What is to be fetched has no ZIP yet, whatever an earlier try left there.
    f"""
    ALTER TABLE published ADD COLUMN path TEXT;
    CREATE TABLE standing (
        folded TEXT NOT NULL, bytes INTEGER NOT NULL, job INTEGER NOT NULL,
        PRIMARY KEY (folded, bytes, job)
    ) WITHOUT ROWID;
    CREATE INDEX standing_job ON standing (job);
    UPDATE job SET zip_bytes = NULL WHERE state = {PENDING} AND zip_bytes IS NOT NULL;
    DROP TRIGGER let_go;
    CREATE TRIGGER let_go AFTER UPDATE OF state ON job
    WHEN old.state IN ({DOWNLOADED}, {FAILED}) AND new.state NOT IN ({DOWNLOADED}, {FAILED})
    BEGIN
        DELETE FROM held WHERE job = old.key;
        DELETE FROM standing WHERE job = old.key;
    END;
    """,
    # The ZIPs are files in staging by now (`move_held`).
    f"""
    DROP TRIGGER let_go;
    DROP TABLE held;
    CREATE TRIGGER let_go AFTER UPDATE OF state ON job
    WHEN old.state IN ({DOWNLOADED}, {FAILED}) AND new.state NOT IN ({DOWNLOADED}, {FAILED})
    BEGIN
        DELETE FROM standing WHERE job = old.key;
    END;
    """,
    # `folder` is where below the output folder an export's file is published, `expected` how many
    # records the service says it holds; `records` are those that were counted.
    """
    ALTER TABLE job ADD COLUMN folder TEXT;
    ALTER TABLE job ADD COLUMN expected INTEGER;
    CREATE INDEX job_folder ON job (folder) WHERE folder IS NOT NULL;
    """,
    EXPORT_TABLES,
    PAGE_FILES,
    RUN_TABLE,
    # The one that the account's results came from (`servers`). Before this format: not known.
    "ALTER TABLE account ADD COLUMN server TEXT;",
)


def open_to_write(path: Path, steps: Sequence[str] = STEPS) -> sqlite3.Connection:
    """Open the journal for its one writer, creating it or taking it to the newest version.

    Raises JournalTooNew or JournalDamaged before anything is changed, sqlite3.Error as it comes.
    """
    if path.exists():
        _require_regular(path)
        # Looked at through a read-only connection first: a writing one would fold a log that a
        # newer version left behind into the file merely by being closed.
        _probe(path, len(steps))
    connection = _connect_to_write(path)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        connection.execute("PRAGMA secure_delete = ON")
        if len(steps) > HELD_FORMATS[-1] >= check_version(connection, path) >= HELD_FORMATS[0]:
            move_held(connection, path.parent / "staging")
        _migrate(connection, path, steps)
    except BaseException:
        connection.close()
        raise
    return connection


def _probe(path: Path, newest: int) -> None:
    """Look at the version of an existing journal. Raises as `check_version`, sqlite3.Error."""
    try:
        with closing(open_to_read(path)) as probe:
            check_version(probe, path, newest)
    except sqlite3.OperationalError as error:
        if not lacks_shared_memory(error):
            raise
        # A killed run's log is out of reach, but no run changes the version after its first write.
        with closing(_connect_to_read(f"{_address(path)}&immutable=1")) as probe:
            check_version(probe, path, newest)


def _connect_to_write(path: Path) -> sqlite3.Connection:
    """Open the journal in WAL mode, for this connection alone where no memory can be shared.

    Readers are then shut out for as long as the run works. A rollback journal would let them in,
    but one that dies leaves what no reader may look at.
    """
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA schema_version").fetchone()  # what first looks into the log
    except sqlite3.Error as error:
        connection.close()
        if not lacks_shared_memory(error):
            raise
    else:
        return connection
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open an existing journal for questions only: no file is created, no byte changed.

    Raises sqlite3.OperationalError where there is none, JournalDamaged where it is no file.
    """
    _require_regular(path)
    address = _address(path)
    if _rests_in_wal_mode(path):
        # A copy taken without its log: nobody writes it, and an ordinary read-only connection
        # would create a log beside it.
        address += "&immutable=1"
    connection = _connect_to_read(address)
    try:
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_READONLY_ROLLBACK:
            # A run was killed while it entered or left WAL mode, and only a writer may undo that.
            # Nothing else is ever written outside of WAL mode: what we ask for is right as it is.
            connection.close()
            return _connect_to_read(f"{address}&immutable=1")
    return connection  # any other error comes again with the first question


def open_copy_to_read(path: Path, steps: Sequence[str]) -> sqlite3.Connection:
    """Open a copy of an existing journal, taken to the newest version, which goes when closed.

    For one of an older format, which a look must not change. SQLite keeps the copy in a file of its
    own among the system's temporary ones, of which no more than a cache is in memory.
    Raises JournalTooNew, JournalDamaged, DiskFull, sqlite3.Error as it comes.
    """
    copy = sqlite3.connect("", isolation_level=None)
    try:
        with closing(open_to_read(path)) as original:
            original.backup(copy)
        _migrate(copy, path, steps)
    except sqlite3.OperationalError as error:
        copy.close()
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN):
            raise DiskFull(
                f"no room for a temporary copy of the journal {path}, which has an older format",
                hint="TMPDIR names another folder for it; a run brings the journal up to date.",
            ) from error
        raise
    except BaseException:
        copy.close()
        raise
    return copy


def _address(path: Path) -> str:
    return f"file:{quote(str(path.absolute()))}?mode=ro"


def _connect_to_read(address: str) -> sqlite3.Connection:
    return sqlite3.connect(address, uri=True, timeout=_BUSY_S, isolation_level=None)


def check_version(connection: sqlite3.Connection, path: Path, newest: int = len(STEPS)) -> int:
    """Return the version of an opened journal, 0 for a file in which nothing was made yet.

    Raises JournalTooNew, or JournalDamaged where the file is something else.
    """
    # Asked first: who is making the tables just now makes the marks below in the same transaction.
    empty = connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None
    version: int
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != _APPLICATION_ID:
        if version == 0 and empty:
            return 0  # killed between creating the file and making its tables
        raise JournalDamaged(f"{path} is a database, but not a journal of bulkfetch")
    if version > newest:
        raise JournalTooNew(
            f"the journal {path} has format {version}; this bulkfetch knows up to {newest}"
        )
    return version


def checkpoint(connection: sqlite3.Connection) -> None:
    """Fold the log in and leave WAL mode, as far as that can be done now.

    Every commit is safe in the log already: where a reader is looking or the disk is full, the log
    stays and the next run folds it in.
    """
    connection.execute("PRAGMA busy_timeout = 200")
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode = DELETE").fetchone()


def _migrate(connection: sqlite3.Connection, path: Path, steps: Sequence[str]) -> None:
    connection.create_function("same_file", 1, same_file, deterministic=True)
    connection.create_function("plain_path", 1, _plain_path, deterministic=True)
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = check_version(connection, path, len(steps))
        for step in steps[version:]:
            for statement in _statements(step):  # executescript() would commit first
                connection.execute(statement)
        if version < len(steps):
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.rollback()
        raise


def _plain_path(path: str) -> str:
    # Earlier versions wrote "./" before it where OUT was the working directory.
    return path.removeprefix("./")


def _statements(script: str) -> Iterator[str]:
    """Cut a script where a statement ends, which inside of a trigger not every semicolon does."""
    statement = ""
    for piece in script.split(";"):
        statement += f"{piece};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _require_regular(path: Path) -> None:
    """Raise JournalDamaged where something else is in the file's place: opening a pipe waits."""
    with suppress(OSError):  # connecting says why
        if not stat.S_ISREG(path.stat().st_mode):
            raise JournalDamaged(f"the journal {path} is not a regular file")


def _rests_in_wal_mode(path: Path) -> bool:
    """Return whether the header asks for a log (file format 2 at byte 18) and there is none."""
    try:
        with path.open("rb") as file:
            header = file.read(20)
    except OSError:
        return False  # connecting says why
    return header[18:19] == b"\x02" and not path.with_name(path.name + "-wal").exists()

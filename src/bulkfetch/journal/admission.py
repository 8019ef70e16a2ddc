"""Putting a list into the journal: what is to do, what has ended before, who gets which name.

**A name has one owner.** Each job claims the names that it may be published under, compared as the
most forgiving file system would. Within one list the first mention keeps a name and a second job
with it is refused, whatever the order in which they would be published. A later list may give the
name to a newer job: that one takes the claim over, and once it is published the older job is
superseded. A job that a later list names otherwise gives up the name that it had.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

from bulkfetch.errors import InvalidName, JobError, PublishConflict, is_permanent
from bulkfetch.filenames import same_file
from bulkfetch.journal.schema import DONE, DOWNLOADED, FAILED, FAILED_BEFORE, PENDING, SKIPPED
from bulkfetch.models import Failure, Job

# Gives what a job may be published under, below the output folder.
ClaimedNames = Callable[[Job], Sequence[str]]

_FIND = """
    SELECT key, position, state, name, folder, expected, error
    FROM job WHERE account = ? AND id = ?
"""
_INSERT = """
    INSERT INTO job (account, id, name, folder, expected, position) VALUES (?, ?, ?, ?, ?, ?)
"""
_LIST_AGAIN = f"""
    UPDATE job SET
        position = :position, state = :state, name = :name, folder = :folder,
        expected = coalesce(:expected, expected), error = :error,
        zip_bytes = CASE WHEN :state = {PENDING} THEN NULL ELSE zip_bytes END
    WHERE key = :key
"""
_REFUSE = f"""
    UPDATE job SET position = ?, name = ?, folder = ?, state = {FAILED}, error = ? WHERE key = ?
"""
_CLAIMANT = """
    SELECT job.key, job.position, job.id, job.state, account.name
    FROM claim JOIN job ON job.key = claim.job JOIN account ON account.key = job.account
    WHERE claim.folded = ?
"""
_CLAIM = """
    INSERT INTO claim (folded, job) VALUES (?, ?)
    ON CONFLICT (folded) DO UPDATE SET job = excluded.job
"""
_RELEASE = "DELETE FROM claim WHERE folded = ? AND job = ?"

_ALL_STATES = (PENDING, DOWNLOADED, FAILED, DONE, SKIPPED, FAILED_BEFORE)

# How the claims of kept archives end; no other name does (`filenames`).
_ZIP = ".zip"


class Admitted(NamedTuple):
    """What became of one account's share of an admitted batch, in jobs.

    `failed_before` failed for good in an earlier run. Refused jobs are not counted here.
    """

    pending: int = 0
    already_done: int = 0
    duplicates: int = 0
    failed_before: int = 0


class Refused(NamedTuple):
    """A job that this list cannot have fetched beside the jobs before it, and why."""

    job: Job
    error: JobError


@dataclass(slots=True)
class Admission:
    """What became of a batch: counts by account, and the jobs that were refused."""

    accounts: dict[str, Admitted] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)


class _Conflict(NamedTuple):
    """Another job of the list has the name; `published` says that it was published in this run."""

    error: PublishConflict
    published: bool


class _Row(NamedTuple):
    """What the journal knows of a job that is listed again."""

    key: int
    position: int
    state: int
    name: str | None
    folder: str | None
    expected: int | None
    error: str | None


def published_stem(job: Job) -> tuple[str, ...]:
    """Return what a job claims where only its file is published."""
    return (job.place,)


def named_again(job: Job) -> InvalidName:
    """Return why a list cannot have a job a second time, under another name."""
    return InvalidName(
        f"the list has job {job.id} a second time, under another name: {job.name!a}",
        hint="Give the job one name; its first mention is the one that counts.",
    )


def named_alike(job: Job, name: str, account: str, job_id: str) -> PublishConflict:
    """Return why a job cannot have a name that another job of the list has; `name` is folded."""
    whose = "" if account == job.account else f" of account {account}"
    if name.endswith(_ZIP):
        return PublishConflict(
            f"job {job_id}{whose} of the same list has the same id, which names its ZIP",
            hint="Kept ZIPs are named by their ids: fetch one of the two into another "
            "--out, or without keep_zip.",
        )
    return PublishConflict(
        f"job {job_id}{whose} of the same list would be published under the same name",
        hint="Give one of them another name.",
    )


def state_when_listed(state: int, code: str | None, *, again: bool) -> int:
    """Return the state of a known job that a new list names.

    `code` is that of its last failure, None where it never failed. `again` asks for it even if it
    is done or failed for good; a ZIP that is complete on disk is never asked for again.
    """
    if state in (PENDING, DOWNLOADED):
        return state
    if again:
        return PENDING
    if state in (DONE, SKIPPED):
        return SKIPPED
    return FAILED_BEFORE if code is not None and is_permanent(code) else PENDING


def enqueue(
    connection: sqlite3.Connection,
    jobs: Sequence[Job],
    first_position: int,
    names: ClaimedNames,
    *,
    fed: bool = False,
) -> Admission:
    """Put a batch at the end of the list that began at `first_position`; within a transaction.

    `fed`: each job is a list of its own. Nothing is a duplicate, and only jobs that have not ended
    keep their names from others.
    """
    admission = Admission()
    counts: dict[str, Counter[str]] = {}
    accounts: dict[str, int] = {}
    start = next_position(connection)
    for position, job in enumerate(jobs, start):
        if job.account not in accounts:
            accounts[job.account] = account_key(connection, job.account)
            counts[job.account] = Counter()
        try:
            became = _enqueue(
                connection, job, accounts[job.account], position, first_position, names, fed
            )
        except JobError as error:
            admission.refused.append(Refused(job, error))
        else:
            counts[job.account][became] += 1
    connection.execute("UPDATE list SET next_position = ?", (start + len(jobs),))
    admission.accounts = {name: Admitted(**counted) for name, counted in counts.items()}
    return admission


def _enqueue(
    connection: sqlite3.Connection,
    job: Job,
    account: int,
    position: int,
    first_position: int,
    names: ClaimedNames,
    fed: bool,
) -> str:
    """Admit one job and return the field of `Admitted` that counts it; raise why it is refused."""
    row = _find(connection, job, account)
    if row is None:
        key = _insert(connection, job, account, position)
        row = _Row(key, position, PENDING, job.name, job.folder or None, job.records, None)
        state = PENDING
    else:
        if row.position >= first_position and not fed:
            return _mentioned_again(job, row)
        code = json.loads(row.error)["code"] if row.error else None
        state = state_when_listed(row.state, code, again=job.again)
        listed = row._replace(position=position, state=state, expected=job.records)
        if state != SKIPPED:
            listed = listed._replace(name=job.name, folder=job.folder or None)
            before = _as_known(job, row)
            if before.place != job.place:
                released = [(same_file(name), row.key) for name in names(before)]
                connection.executemany(_RELEASE, released)
        connection.execute(_LIST_AGAIN, listed._asdict())
    if state == SKIPPED:
        job = _as_known(job, row)  # the name that its file has
    holding = (PENDING, DOWNLOADED) if fed else _ALL_STATES
    conflict = _claim(connection, job, names(job), row.key, first_position, holding)
    if state == SKIPPED:
        if conflict is not None and conflict.published:
            # Its file was replaced a moment ago: a failure of this list, and not one of its own.
            connection.execute(_LIST_AGAIN, row._asdict())
            raise conflict.error
        return "already_done"
    if state == FAILED_BEFORE:
        return "failed_before"
    if conflict is not None:
        text = json.dumps(asdict(Failure.of(conflict.error)))
        connection.execute(_REFUSE, (position, job.name, job.folder or None, text, row.key))
        raise conflict.error
    return "pending"


def _find(connection: sqlite3.Connection, job: Job, account: int) -> _Row | None:
    found = connection.execute(_FIND, (account, job.id)).fetchone()
    return None if found is None else _Row(*found)


def _insert(connection: sqlite3.Connection, job: Job, account: int, position: int) -> int:
    values = (account, job.id, job.name, job.folder or None, job.records, position)
    key = connection.execute(_INSERT, values).lastrowid
    assert key is not None, "an insert gives a row its key"
    return key


def _mentioned_again(job: Job, row: _Row) -> str:
    named_otherwise = job.name is not None and job.place != _as_known(job, row).place
    if named_otherwise and row.state not in (SKIPPED, DONE):
        raise named_again(job)
    return "duplicates"


def _as_known(job: Job, row: _Row) -> Job:
    """Return a job with the name that the journal knows it under."""
    return replace(job, name=row.name, folder=row.folder or "")


def _claim(
    connection: sqlite3.Connection,
    job: Job,
    names: Sequence[str],
    key: int,
    first_position: int,
    holding: Collection[int],
) -> _Conflict | None:
    """Claim names for a job, all or none; return the conflict with a job of the same list.

    `holding` are the states in which that one keeps its names.
    """
    folded = [same_file(name) for name in names]
    for name in folded:
        claimant = connection.execute(_CLAIMANT, (name,)).fetchone()
        if claimant is None or claimant[0] == key:
            continue
        _, position, job_id, state, account = claimant
        if position >= first_position and state in holding:
            return _Conflict(named_alike(job, name, account, job_id), state == DONE)
    connection.executemany(_CLAIM, ((name, key) for name in folded))
    return None


def record_refused(
    connection: sqlite3.Connection, refused: Sequence[tuple[Job, Failure]], first_position: int
) -> None:
    """Record jobs that cannot be asked for at all; what is done or in this list stays as it is."""
    start = next_position(connection)
    for position, (job, failure) in enumerate(refused, start):
        account = account_key(connection, job.account)
        row = _find(connection, job, account)
        if row is None:
            key = _insert(connection, job, account, position)
        elif row.state in (DONE, SKIPPED) or row.position >= first_position:
            continue
        else:
            key = row.key
        text = json.dumps(asdict(failure))
        connection.execute(_REFUSE, (position, job.name, job.folder or None, text, key))
    connection.execute("UPDATE list SET next_position = ?", (start + len(refused),))


def next_position(connection: sqlite3.Connection) -> int:
    """Return the position of the next job that is listed."""
    (position,) = connection.execute("SELECT next_position FROM list").fetchone()
    return int(position)


def account_key(connection: sqlite3.Connection, name: str) -> int:
    """Return the key of an account, known or new."""
    connection.execute("INSERT OR IGNORE INTO account (name) VALUES (?)", (name,))
    (key,) = connection.execute("SELECT key FROM account WHERE name = ?", (name,)).fetchone()
    return int(key)


def is_empty(connection: sqlite3.Connection) -> bool:
    """Return whether the journal has never heard of a job or an export."""
    known = "SELECT 1 FROM job UNION ALL SELECT 1 FROM export LIMIT 1"
    return connection.execute(known).fetchone() is None

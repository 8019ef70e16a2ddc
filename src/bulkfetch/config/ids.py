"""Lists of job ids, read lazily: a million lines cost no more memory than ten.

A malformed line becomes a job of its own, which fails without a request and names its line; so one
slip in a list of a million neither stops the others nor goes unseen. What is given by hand
(arguments, [[jobs]]) is refused at once instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NoReturn

from bulkfetch.config.ids_csv import looks_like_csv, read_rows
from bulkfetch.config.list_lines import label_of, open_lines, unreadable, waits
from bulkfetch.config.misfit import listed
from bulkfetch.config.settings import JobEntry, Settings
from bulkfetch.errors import ConfigError
from bulkfetch.models import Job, is_job_id
from bulkfetch.text import escape

_SHOWN_CHARS = 60


@contextmanager
def open_jobs(
    settings: Settings,
    ids: Sequence[str] = (),
    file: str | Path | Sequence[str | Path] | None = None,
    column: str | int | None = None,
    stdin: BinaryIO | None = None,
) -> Iterator[Iterator[Job]]:
    """Yield the jobs of a run, one after the other, and close what was opened.

    Ids given by hand (`ids`, `file`) are the run: then `ids_file` and `[[jobs]]` are not added,
    but `[[jobs]]` still lend their name and account to the ids they know. Duplicates are passed on.

    Args:
        ids: given as arguments.
        file: a list to read, or several, one after the other; "-" for stdin; relative to the
            working directory.
        column: of CSVs, by its title or as a number from 1; None: one id per line, '#' comments.
            Where a CSV has a heading, its columns `account` and `name` are read too; see
            `ids_csv.is_heading`.
        stdin: what "-" reads; None: the process's own. It is not closed.

    Reading may block on the disk or on stdin: iterate in a thread where that matters.

    Raises:
        ConfigError: a malformed argument, a missing file or column, no text, a CSV without a
            column, or ids that belong to none of several accounts. All of it before the first job
            is given; only a pipe that is not the first list is opened in its turn.
    """
    lists = (file,) if isinstance(file, str | Path) else tuple(file or ())
    with ExitStack() as stack:
        if lists or ids:
            parts: list[Iterable[Job]] = [[_argument(settings, text) for text in ids]]
        else:
            lists = () if settings.ids_file is None else (settings.ids_file,)
            column = settings.ids_column if column is None else column
            parts = [job_entries(settings)]
        _each_once(lists)
        for number, path in enumerate(lists):
            jobs = partial(_open_list, stack, settings, path, column, stdin)
            # A pipe is opened in its turn: its producer may be busy with the one before.
            parts.append(_later(jobs) if number and waits(path) else jobs())
        yield (job for part in parts for job in part)


def job_entries(settings: Settings) -> Iterator[Job]:
    """Yield the jobs of `[[jobs]]`."""
    for entry in settings.jobs:
        account = entry.account or settings.default_account
        if account is None:
            _no_account(settings, f"job {entry.id}")
        yield Job(entry.id, account, entry.name)


def job_of(settings: Settings, job_id: str | JobEntry) -> Job:
    """Return the job of an id or entry that a program passes in, as it is: the run checks it."""
    if isinstance(job_id, JobEntry):
        return Job(job_id.id, job_id.account or settings.default_account or "", job_id.name)
    if not isinstance(job_id, str):
        return Job(job_id, settings.default_account or "")
    account, name = _claimed(settings, job_id, "")
    return Job(job_id, account or "", name)


def shown(text: str) -> str:
    """Return a malformed id fit to be printed, and never a valid id by accident."""
    return escape(text, _SHOWN_CHARS) or "(empty)"


def _each_once(lists: Sequence[str | Path]) -> None:
    """Raise ConfigError for a list that can be read only once and is given twice."""
    seen: set[tuple[int, int]] = set()
    for path in lists if len(lists) > 1 else ():
        if not waits(path) and str(path) != "-":
            continue
        found = os.fstat(0) if str(path) == "-" else os.stat(path)
        if (found.st_dev, found.st_ino) in seen:
            raise ConfigError(
                f"{label_of(path)} is given twice as a list", hint="It can be read only once."
            )
        seen.add((found.st_dev, found.st_ino))


def _later(jobs: Callable[[], Iterator[Job]]) -> Iterator[Job]:
    yield from jobs()


def _argument(settings: Settings, text: str) -> Job:
    if not is_job_id(text):
        raise ConfigError(
            f"not a job id: {shown(text)}",
            hint="A job id is 1 to 20 digits such as 554023000000568002; a list goes to --ids.",
        )
    account, name = _claimed(settings, text, "")
    if account is None:
        _no_account(settings, f"job {text}")
    return Job(text, account, name)


def _no_account(settings: Settings, what: str) -> NoReturn:
    names = listed([account.name for account in settings.accounts])
    raise ConfigError(
        f"{what}: which account? Available: {names}",
        hint="Use --account NAME, or list ids as CSV with a column named account.",
    )


def _open_list(
    stack: ExitStack,
    settings: Settings,
    path: str | Path,
    column: str | int | None,
    stdin: BinaryIO | None,
) -> Iterator[Job]:
    label = label_of(path)
    lines = open_lines(stack, path, stdin)
    try:
        if column is None:
            return _plain(settings, lines, label)
        return _csv(settings, lines, label, column)
    except OSError as error:
        raise unreadable(label, error) from None


def _plain(settings: Settings, lines: Iterator[bytes], label: str) -> Iterator[Job]:
    number, line = _first_line(lines)
    text = line.partition(b"#")[0].decode("utf-8", "backslashreplace").strip()
    if (hint := looks_like_csv(text)) is not None:
        raise ConfigError(f"{label} is a CSV (line {number})", hint=hint)
    default = settings.default_account
    if default is None:
        _no_account(settings, label)
    entries = settings.entries

    # The loop that a million lines pass: bytes.isdigit() takes ASCII digits only.
    def jobs() -> Iterator[Job]:
        for at, line_ in enumerate(chain([line], lines), start=number):
            raw = line_.strip()
            if raw.isdigit() and len(raw) <= 20:
                text = raw.decode("ascii")
            else:
                raw = raw.partition(b"#")[0].strip()
                if not raw:
                    continue
                text = raw.decode("utf-8", "backslashreplace")
                text = text if is_job_id(text) else shown(text)
            origin = f"{label}:{at}"
            if entries and text in entries:
                yield _listed(settings, text, "", "", origin)
            else:
                yield Job(text, default, None, origin)

    return jobs()


def _first_line(lines: Iterator[bytes]) -> tuple[int, bytes]:
    """Return the first line with more than a comment and its number from 1; else the last line."""
    number, line = 0, b""
    while not line.partition(b"#")[0].strip() and (following := next(lines, b"")):
        number, line = number + 1, following
    return number, line


def _csv(
    settings: Settings, lines: Iterator[bytes], label: str, column: str | int
) -> Iterator[Job]:
    has_accounts, rows = read_rows(lines, label, column)
    default, entries = settings.default_account, settings.entries
    if default is None and not has_accounts:
        _no_account(settings, label)
    known = settings.account_names

    def jobs() -> Iterator[Job]:
        for text, account, name, place in rows:
            if not is_job_id(text):
                text = shown(text)
            if account and account not in known:
                account = shown(account)
            origin = f"{label}:{place}"
            if text in entries:
                yield _listed(settings, text, account, name, origin)
            else:
                yield Job(text, account or default or "", name or None, origin)

    return jobs()


def _listed(settings: Settings, job_id: str, account: str, name: str, origin: str) -> Job:
    """Return the job of a line; what the line does not say, "", is taken from [[jobs]]."""
    whose, lent = _claimed(settings, job_id, account)
    return Job(job_id, whose or "", name or lent, origin)


def _claimed(settings: Settings, job_id: str, account: str) -> tuple[str | None, str | None]:
    """Return an id's account and its name in [[jobs]], None and None where they are not known.

    `account` is what the list says, "" for nothing: then [[jobs]], then the default account.
    """
    entries = settings.entries.get(job_id)
    whose = account or settings.default_account
    if entries is None:
        return whose, None
    if not account and len(entries) == 1:
        whose = next(iter(entries))
    if (entry := entries.get(whose)) is not None:
        return whose, entry.name
    return account or None, None

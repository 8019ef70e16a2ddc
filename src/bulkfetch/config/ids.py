"""Lists of job ids, read lazily: a million lines cost no more memory than ten.

A malformed line becomes a job of its own, which fails without a request and names its line; so one
slip in a list of a million neither stops the others nor goes unseen. What is given by hand
(arguments, [[jobs]]) is refused at once instead.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NoReturn

from bulkfetch.config.ids_csv import read_rows
from bulkfetch.config.settings import JobEntry, Settings
from bulkfetch.errors import ConfigError
from bulkfetch.filenames import unsafe_stem
from bulkfetch.models import Job, is_job_id

# Longer lines are cut: no honest line is, and one without an end must not fill the memory.
LINE_BYTES = 64 * 1024
_SHOWN_CHARS = 60


@contextmanager
def open_jobs(
    settings: Settings,
    ids: Sequence[str] = (),
    file: str | Path | None = None,
    column: str | int | None = None,
    stdin: BinaryIO | None = None,
) -> Iterator[Iterator[Job]]:
    """Give the jobs of a run, one after the other, and close what was opened.

    Ids given by hand (`ids`, `file`) are the run: then `ids_file` and `[[jobs]]` are not added,
    but `[[jobs]]` still lend their name and account to the ids they know. Duplicates are passed on.

    Args:
        ids: given as arguments.
        file: a list to read, "-" for stdin; relative to the working directory.
        column: of a CSV, by the name in its first line or as a number from 1; None: one id per
            line, '#' comments. With a name, columns `account` and `name` are read where there are
            any. With a number, a first line without a digit in that column is its heading.
        stdin: what "-" reads; None: the process's own. It is not closed.

    Reading may block on the disk or on stdin: iterate in a thread where that matters.

    Raises:
        ConfigError: a malformed argument, a missing file or column, UTF-16 text, or ids that
            belong to none of several accounts. All of it before the first job is given.
    """
    with ExitStack() as stack:
        entries = settings.entries
        if file is None and not ids:
            listed = settings.ids_file
            column = settings.ids_column if column is None else column
            parts: list[Iterable[Job]] = [job_entries(settings)]
        else:
            listed = None if file is None else Path(file)
            parts = [[_argument(settings, entries, text) for text in ids]]
        if listed is not None:
            parts.append(_open_list(stack, settings, entries, listed, column, stdin))
        yield (job for part in parts for job in part)


def job_entries(settings: Settings) -> Iterator[Job]:
    """Give the jobs of `[[jobs]]`."""
    for entry in settings.jobs:
        yield _job(settings, entry, entry.id, None)


def job_of(settings: Settings, job_id: str) -> Job:
    """Give the job of an id that a program passes in; malformed ones as from a list.

    Raises ConfigError where the id belongs to none of several accounts.
    """
    entry = settings.entries.get(job_id)
    return _job(settings, entry, job_id if is_job_id(job_id) else shown(job_id), None)


def shown(text: str) -> str:
    """Make a malformed id fit to be printed: bounded, escaped, and never a valid id by accident."""
    clean = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[:200])
    clean = clean.strip() or "(empty)"
    return clean if len(clean) <= _SHOWN_CHARS else clean[: _SHOWN_CHARS - 1] + "…"


def _argument(settings: Settings, entries: Mapping[str, JobEntry], text: str) -> Job:
    if not is_job_id(text):
        raise ConfigError(
            f"not a job id: {shown(text)}",
            hint="A job id is 1 to 20 digits such as 554023000000568002; a list goes to --ids.",
        )
    return _job(settings, entries.get(text), text, None)


def _job(settings: Settings, entry: JobEntry | None, job_id: str, origin: str | None) -> Job:
    account = (entry.account if entry else None) or settings.default_account
    if account is None:
        _no_account(settings, f"job {job_id}")
    return Job(job_id, account, entry.name if entry else None, origin)


def _no_account(settings: Settings, what: str) -> NoReturn:
    names = ", ".join(account.name for account in settings.accounts)
    raise ConfigError(
        f"{what}: which account? there is {names}",
        hint="Call one of them [accounts.default], give the id a [[jobs]] table with an account, "
        "or list ids as CSV with a column named account.",
    )


def _open_list(
    stack: ExitStack,
    settings: Settings,
    entries: Mapping[str, JobEntry],
    path: Path,
    column: str | int | None,
    stdin: BinaryIO | None,
) -> Iterator[Job]:
    if str(path) == "-":
        label, source = "stdin", stdin or sys.stdin.buffer
    else:
        label = str(path)
        try:
            source = stack.enter_context(path.open("rb", buffering=256 * 1024))
        except OSError as error:
            raise ConfigError(f"ids file {path}: {error.strerror}") from None
    lines: Iterator[bytes] = _lines(source)
    try:
        first = next(lines, b"")
    except OSError as error:
        raise ConfigError(f"ids file {label}: {error.strerror}") from None
    if first[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ConfigError(f"{label} is UTF-16", hint="Save the list as UTF-8.")
    lines = chain([first.removeprefix(b"\xef\xbb\xbf")] if first else [], lines)
    if column is None:
        return _plain(settings, entries, lines, label)
    return _csv(settings, entries, lines, label, column)


def _lines(source: BinaryIO) -> Iterator[bytes]:
    """Give lines with their end, cut at LINE_BYTES, however long they are."""
    for line in iter(lambda: source.readline(LINE_BYTES), b""):
        yield line
        if len(line) == LINE_BYTES and line[-1:] != b"\n":
            while (more := source.readline(LINE_BYTES)) and more[-1:] != b"\n":
                pass


def _plain(
    settings: Settings, entries: Mapping[str, JobEntry], lines: Iterator[bytes], label: str
) -> Iterator[Job]:
    default = settings.default_account
    if default is None:
        _no_account(settings, label)

    # The loop that a million lines pass: bytes.isdigit() takes ASCII digits only.
    def jobs() -> Iterator[Job]:
        for number, line in enumerate(lines, start=1):
            raw = line.strip()
            if raw.isdigit() and len(raw) <= 20:
                text = raw.decode("ascii")
            else:
                raw = raw.partition(b"#")[0].strip()
                if not raw:
                    continue
                text = raw.decode("utf-8", "backslashreplace")
                text = text if is_job_id(text) else shown(text)
            origin = f"{label}:{number}"
            if entries and (entry := entries.get(text)) is not None:
                yield _job(settings, entry, text, origin)
            else:
                yield Job(text, default, None, origin)

    return jobs()


def _csv(
    settings: Settings,
    entries: Mapping[str, JobEntry],
    lines: Iterator[bytes],
    label: str,
    column: str | int,
) -> Iterator[Job]:
    default = settings.default_account
    has_accounts, rows = read_rows(lines, label, column)
    if default is None and not has_accounts:
        _no_account(settings, label)
    known = frozenset(account.name for account in settings.accounts)

    def jobs() -> Iterator[Job]:
        for text, account, name, number in rows:
            entry = entries.get(text) if entries else None
            account = account or (entry and entry.account) or default or ""
            yield Job(
                text if is_job_id(text) else shown(text),
                account if account in known or not account else shown(account),
                name or (entry.name if entry else None),
                f"{label}:{number}",
            )

    return _refused_by_id(settings, jobs())


def _refused_by_id(settings: Settings, jobs: Iterator[Job]) -> Iterator[Job]:
    """Give bad rows an id that no request can be made for, which says what is wrong with them."""
    names = frozenset(account.name for account in settings.accounts)
    somebody = settings.default_account or settings.accounts[0].name
    for job in jobs:
        if job.account not in names:
            problem = f"{job.id} of unknown account {job.account}"
        elif is_job_id(job.id) and job.name and (reason := unsafe_stem(job.name)) is not None:
            problem = f"{job.id}, whose name {reason}"
        else:
            yield job
            continue
        yield Job(shown(problem), somebody, None, job.origin)

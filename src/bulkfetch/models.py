"""The values that travel between the rooms: plain, frozen, comparable."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from bulkfetch.errors import BulkfetchError

Status = Literal["done", "failed", "pending"]

# ASCII on purpose: str.isdigit() also takes the digits of other scripts.
_JOB_ID = re.compile(r"[0-9]{1,20}", re.ASCII)


def is_job_id(text: str) -> bool:
    """Say whether `text` is a job id: 1 to 20 ASCII digits, nothing else."""
    return _JOB_ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Job:
    """One result to bring home.

    `id` may be malformed when it comes from a list (`is_job_id` tells); such a job is failed
    without a request. `name` is the published file's stem, None means the id. `origin` says where
    the id was read, as `ids.txt:17`, None where that says nothing.
    """

    id: str
    account: str = "default"
    name: str | None = None
    origin: str | None = None

    @property
    def stem(self) -> str:
        """The published file's name without its ending."""
        return self.name or self.id


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file under its final name. `path` is as the user gave `out`; `sha256` is in hex, None where
    it was not wanted (`sha256 = false`)."""

    path: str
    bytes: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed: stable code, HTTP status (None without a reply), text, advice."""

    code: str
    message: str
    hint: str = ""
    http: int | None = None

    @classmethod
    def of(cls, error: BulkfetchError) -> Failure:
        """Keep of an error what may be told."""
        return cls(code=error.code, message=error.message, hint=error.hint, http=error.http)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one job ended.

    `files` is empty unless done. `zip_bytes` and `records` are None where they are not known.
    `attempts` counts result requests over all runs. `skipped` marks what was done before this run.
    `quarantine` is the path of a refused archive kept for inspection. `error` is set for failed
    jobs, and for pending ones where a cause is known.
    """

    job_id: str
    account: str
    status: Status
    files: tuple[PublishedFile, ...] = ()
    zip_bytes: int | None = None
    records: int | None = None
    attempts: int = 0
    skipped: bool = False
    quarantine: str | None = None
    error: Failure | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a run came to: counts of jobs, of result requests, of bytes; seconds of wall time.

    `skipped` jobs were done before this run and are not counted in `done`. `aborted` is why the
    run or an account stopped early, None when it ran to its end. `interrupted` means that it was
    asked to stop. `list_read` is False when the run ended before its list was read to the end, so
    that there are more ids than counted here. `failures` are the first hundred.
    """

    done: int = 0
    failed: int = 0
    pending: int = 0
    skipped: int = 0
    requests: int = 0
    zip_bytes: int = 0
    file_bytes: int = 0
    elapsed_s: float = 0.0
    aborted: Failure | None = None
    interrupted: bool = False
    list_read: bool = True
    failures: tuple[Outcome, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every job of the list is done."""
        return not (self.failed or self.pending or self.aborted) and self.list_read

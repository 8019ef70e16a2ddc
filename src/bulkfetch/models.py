"""The values that travel between the packages: plain, frozen, comparable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from bulkfetch.errors import BulkfetchError

Status = Literal["done", "failed", "pending"]
# How a result that is a table may be published.
Format = Literal["csv", "csv.gz", "parquet"]

# What a column of text may be in a Parquet file, where all of its values exactly are.
ColumnType = Literal["boolean", "date", "datetime", "integer", "number"]

# ASCII on purpose: str.isdigit() also accepts the digits of other scripts.
_JOB_ID = re.compile(r"[0-9]{1,20}", re.ASCII)


def is_job_id(value: object) -> bool:
    """Return whether a value is a job id: a text of 1 to 20 ASCII digits, nothing else."""
    return isinstance(value, str) and _JOB_ID.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class Job:
    """One result to fetch.

    `name` is the published file's name without extension, None means the id. `origin` says where
    the id was read, as `ids.txt:17`, None if unknown. `again` requests it even if it was done
    before or has failed permanently. `folder` is where the file is published, below the output
    folder and with slashes; no list can set it, only an export. `records` is how many records the
    service says that the file holds, None if that is unknown.

    Nothing is checked here: a job with a malformed id, an impossible file name or an unknown
    account becomes a failed outcome without a request.
    """

    id: str
    account: str = "default"
    name: str | None = None
    origin: str | None = None
    again: bool = False
    folder: str = ""
    records: int | None = None

    @property
    def stem(self) -> str:
        """The published file's name without its extension."""
        return self.name or self.id

    @property
    def place(self) -> str:
        """The published file's path below the output folder, without its extension."""
        return self.in_folder(self.stem)

    def in_folder(self, name: str) -> str:
        """Return the path, below the output folder, of a name in the job's own folder."""
        return f"{self.folder}/{name}" if self.folder else name


@dataclass(frozen=True, slots=True)
class Forms:
    """What a job's table is published as: its formats, together; the rest is for Parquet.

    `types` has those columns, by name, that are to be more than text; `row_group_bytes` counts
    cells in memory.
    """

    formats: tuple[Format, ...] = ("csv",)
    types: Mapping[str, ColumnType] = field(default_factory=dict)
    row_group_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A published file. `path` begins with `out` as the user gave it, or is the URL of an object
    in a bucket; `sha256` is in hex, None with `sha256 = false`."""

    path: str
    bytes: int
    sha256: str | None

    @property
    def is_object(self) -> bool:
        """Whether it is in a bucket."""
        return "://" in self.path


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed: a stable code, HTTP status (None without a response), message and hint."""

    code: str
    message: str
    hint: str = ""
    http: int | None = None

    @classmethod
    def of(cls, error: BulkfetchError) -> Failure:
        """Return the failure for an error."""
        return cls(code=error.code, message=error.message, hint=error.hint, http=error.http)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one job ended.

    `files` is empty unless the job is done. `zip_bytes` and `records` are None if unknown.
    `attempts` counts result requests over all runs. `skipped` marks a job that an earlier run
    finished, done or failed permanently, and that was not requested again. `missing` marks a
    skipped job whose file is gone or has another size; `superseded_by` is the id of the newer job
    that was published under this one's name (`files` is then empty). `quarantine` is the path of a
    refused archive, kept for inspection. `error` is set for failed jobs, and for pending ones if a
    cause is known. `export` and `page` are set for a part of an export; its `job_id` is "" where
    the service has accepted none.
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
    missing: bool = False
    superseded_by: str | None = None
    export: str | None = None
    page: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` writes of this job; keys are added, never changed."""
        record: dict[str, Any] = {
            "type": "job",
            "id": self.job_id,
            "account": self.account,
            "status": self.status,
            "files": [asdict(file) for file in self.files],
            "zip_bytes": self.zip_bytes,
            "records": self.records,
            "attempts": self.attempts,
            "error": self.error and asdict(self.error),
        }
        if self.export is not None:
            record["export"], record["page"] = self.export, self.page
        if self.skipped:
            record["skipped"] = True
        if self.missing:
            record["missing"] = True
        if self.superseded_by is not None:
            record["superseded_by"] = self.superseded_by
        if self.quarantine is not None:
            record["quarantine"] = self.quarantine
        return record


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a run: counts of jobs, result requests and bytes; seconds of wall time.

    `skipped` jobs were done before this run and are not counted in `done`; `missing` of them have
    lost their file since, `superseded` ones their name to a newer job. `failed_before` of the
    failed jobs failed permanently in an earlier run and were not requested again. `aborted` is why
    the run or an account stopped early, None if neither did. `interrupted` means that the run was
    asked to stop. `list_read` is False if the run ended before its list was read completely, so
    that there are more ids than counted. `failures` are the first hundred.
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
    failed_before: int = 0
    missing: int = 0
    superseded: int = 0

    @property
    def ok(self) -> bool:
        """Whether every job of the list is done."""
        return not (self.failed or self.pending or self.aborted) and self.list_read

    @property
    def exit_status(self) -> int:
        """The exit status of `bulkfetch run` for this: 0, 1, 3, or 130 where it was interrupted.

        A stop requested when nothing was left to do makes no difference.
        """
        if self.aborted is not None:
            return 3
        if self.pending or not self.list_read:
            return 130 if self.interrupted else 3
        return 1 if self.failed else 0


@dataclass(frozen=True, slots=True)
class ExportReport:
    """How an export ended: done (published), failed, or pending (another call goes on with it).

    `mode` is "full" or "changes", None where it did not begin. `parts` are the pages that were
    brought home, under their final paths once it is done; `records` is their sum, None if unknown.
    `manifest` is the path of manifest.json, None unless done. The cursor is when the service
    accepted the first page, in its own words, and that of the export before; None if unknown.
    Credits are the sum over all runs. `skipped`: an earlier call of the same command has done it.
    """

    name: str
    account: str
    status: Status
    mode: str | None = None
    parts: tuple[Outcome, ...] = ()
    records: int | None = None
    manifest: str | None = None
    cursor_from: str | None = None
    cursor_to: str | None = None
    credits_spent: int = 0
    credits_wasted: int = 0
    error: Failure | None = None
    warnings: tuple[str, ...] = ()
    skipped: bool = False

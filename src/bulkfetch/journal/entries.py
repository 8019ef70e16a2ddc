"""What goes into the journal and comes out of it: values only."""

from __future__ import annotations

from typing import Literal, NamedTuple

from bulkfetch.models import Job


class Counts(NamedTuple):
    """Where the jobs of this run's list stand. `pending` are all that have not ended.

    `failed_before` failed for good in an earlier run; they are among the `failed`.
    """

    done: int = 0
    failed: int = 0
    pending: int = 0
    skipped: int = 0
    failed_before: int = 0


class Entry(NamedTuple):
    """A job to do, as `take` hands it out.

    `key` is the job's number in this journal, the same in every run. "downloaded" means that its
    whole ZIP is in staging, `zip_bytes` long (None while pending). `attempts` counts
    result requests over all earlier runs. `job.origin` is not kept.
    """

    key: int
    job: Job
    state: Literal["pending", "downloaded"]
    attempts: int = 0
    zip_bytes: int | None = None


class Rival(NamedTuple):
    """A job that was done before, is in the same list, and has a file at `path` (as `out` is named)
    that another job of the list would be published as."""

    job_id: str
    path: str


class Owner(NamedTuple):
    """The job that a published file is of: its key in this journal; and the file's size."""

    key: int
    bytes: int

"""Outcomes to columns and back.

Paths are kept relative to the output folder and given back under the folder's name of today: the
user may call the same folder `exports` now and `../exports` from elsewhere later.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, replace
from pathlib import Path

from bulkfetch.journal.schema import DONE, DOWNLOADED, FAILED, FAILED_BEFORE, PENDING, SKIPPED
from bulkfetch.models import Failure, Outcome, PublishedFile, Status

# What earlier versions wrote before the path of a file below the working directory.
_HERE = os.path.join(".", "")
# Kept as it is: a file in a bucket is nowhere below the folder.
_URL = re.compile(r"[a-z0-9]+://", re.ASCII)

STATUS: dict[int, Status] = {
    PENDING: "pending",
    DOWNLOADED: "pending",
    FAILED: "failed",
    DONE: "done",
    SKIPPED: "done",
    FAILED_BEFORE: "failed",
}

# What `Outcomes.read` expects, from job and account.
COLUMNS = (
    "job.id, account.name, state, files, zip_bytes, records, attempts, quarantine, error, "
    "(SELECT newer.id FROM job AS newer WHERE newer.key = job.superseded)"
)

OutcomeRow = tuple[
    str, str, int, str | None, int | None, int | None, int, str | None, str | None, str | None
]  # in the order of COLUMNS

OutcomeColumns = tuple[str | None, int | None, int | None, int, str | None, str | None]


class Outcomes:
    """The two directions, for one output folder, named as the user gave it."""

    def __init__(self, out: Path) -> None:
        # "" for ".", as pathlib writes the paths in it: plain text, since every job comes by here.
        self._prefix = os.fspath(out / "x").removesuffix("x")

    def write(self, outcome: Outcome) -> OutcomeColumns:
        """Return files, zip_bytes, records, attempts, quarantine, error as a row holds them."""
        files = [asdict(file) | {"path": self.inside(file.path)} for file in outcome.files]
        return (
            json.dumps(files) if files else None,
            outcome.zip_bytes,
            outcome.records,
            outcome.attempts,
            None if outcome.quarantine is None else self.inside(outcome.quarantine),
            json.dumps(asdict(outcome.error)) if outcome.error else None,
        )

    def read(self, row: OutcomeRow, *, skipped: bool = False) -> Outcome:
        """Return the outcome of a row of COLUMNS; `error` of a pending job is its last cause.

        A job that is fetched again, or was superseded, has no file to tell of.
        """
        job_id, account, state, _, zip_bytes, records, attempts, quarantine, error, newer = row
        status = STATUS[state]
        return Outcome(
            job_id=job_id,
            account=account,
            status=status,
            files=self.published(row) if status == "done" else (),
            zip_bytes=zip_bytes,
            records=records,
            attempts=attempts,
            skipped=skipped,
            quarantine=None if quarantine is None else self.outside(quarantine),
            error=Failure(**json.loads(error)) if error else None,
            superseded_by=newer,
        )

    def published(self, row: OutcomeRow) -> tuple[PublishedFile, ...]:
        """Return the files of a row of COLUMNS, done or not; none where it was superseded."""
        files, newer = row[3], row[9]
        if not files or newer is not None:
            return ()
        kept = (PublishedFile(**file) for file in json.loads(files))
        return tuple(replace(file, path=self.outside(file.path)) for file in kept)

    def inside(self, path: str) -> str:
        """Return a path below the output folder as the journal keeps it."""
        if _URL.match(path):
            return path
        if path.startswith(self._prefix) and not (self._prefix == "" and os.path.isabs(path)):
            return path[len(self._prefix) :].removeprefix(_HERE)
        return os.path.abspath(path)

    def outside(self, path: str) -> str:
        """Return a path that the journal keeps as the user would write it."""
        return (
            path
            if os.path.isabs(path) or _URL.match(path)
            else self._prefix + path.removeprefix(_HERE)
        )

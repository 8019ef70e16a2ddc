"""Outcomes to columns of the fleet's journal and back. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bulkfetch.models import Failure, Outcome, PublishedFile, Status

if TYPE_CHECKING:
    import asyncpg

PENDING, DONE, FAILED = 0, 1, 2
# Kinds of items: what a submission asks for.
ASKED, DONE_BEFORE, FAILED_BEFORE, REFUSED = 0, 1, 2, 3

STATES: dict[Status, int] = {"pending": PENDING, "done": DONE, "failed": FAILED}
_STATUS: dict[int, Status] = {state: status for status, state in STATES.items()}


def written(outcome: Outcome) -> str:
    """Return an outcome as a row holds it: JSON, without what the row says and what is None."""
    known = {
        "files": [asdict(file) for file in outcome.files] or None,
        "zip_bytes": outcome.zip_bytes,
        "records": outcome.records,
        "attempts": outcome.attempts or None,
        "quarantine": outcome.quarantine,
        "error": failure_text(outcome.error) if outcome.error else None,
    }
    return json.dumps({key: value for key, value in known.items() if value is not None})


def failure_text(failure: Failure) -> dict[str, Any]:
    """Return a failure as JSON has it."""
    return asdict(failure)


def failure_of(held: str | None) -> Failure | None:
    """Return the failure that a column of JSON holds, None for none."""
    return None if held is None else Failure(**json.loads(held))


def outcome_of(row: Mapping[str, Any] | asyncpg.Record) -> Outcome:
    """Return the outcome of a row with account, id, state, outcome and superseded_by.

    Of an item its kind is in it too, and `refused`. A pending one has no files to tell of, and its
    error is what became of it before.
    """
    kind = row.get("kind", ASKED)
    account, job_id = row["account"], row["id"]
    if kind == REFUSED:
        return Outcome(job_id, account, "failed", error=failure_of(row["refused"]))
    status = _STATUS[row["state"]]
    held: dict[str, Any] = json.loads(row["outcome"] or "{}")
    newer = row["superseded_by"] if status == "done" else None
    files = held.get("files", ()) if status == "done" and newer is None else ()
    return Outcome(
        job_id,
        account,
        status,
        files=tuple(PublishedFile(**file) for file in files),
        zip_bytes=held.get("zip_bytes"),
        records=held.get("records"),
        attempts=held.get("attempts", 0),
        skipped=kind in (DONE_BEFORE, FAILED_BEFORE),
        quarantine=held.get("quarantine"),
        error=Failure(**held["error"]) if "error" in held else None,
        superseded_by=newer,
    )

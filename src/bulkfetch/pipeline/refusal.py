"""Which jobs cannot be asked for at all: the one check for every way in."""

from __future__ import annotations

import re
from collections.abc import Container

from bulkfetch.config.ids import shown
from bulkfetch.errors import InvalidJobId, InvalidName, JobError, UnknownAccount
from bulkfetch.filenames import unsafe_folder, unsafe_stem
from bulkfetch.journal import Refused
from bulkfetch.models import Job, is_job_id

# What stands in an outcome for an account that was not named at all.
NO_ACCOUNT = "(none)"
# A long number as spreadsheets show it, and save it: 5.54023E+17.
_ROUNDED = re.compile(r"[0-9]+(?:[.,][0-9]+)?[eE]\+?[0-9]+", re.ASCII)


def refusal(job: Job, accounts: Container[str]) -> Refused | None:
    """Return why a job must not be asked for, None where it may be.

    The job that comes with it is fit to be printed and recorded: what is malformed about it is
    escaped and cut. `accounts` are the names that the settings know.
    """
    # Whatever the caller's program has put there.
    is_known = isinstance(job.account, str) and job.account in accounts
    error = _problem(job, is_known)
    if error is None:
        return None
    fit = Job(
        job.id if is_job_id(job.id) else _shown(job.id),
        job.account if is_known else _shown(job.account or NO_ACCOUNT),
        None,
        job.origin,
    )
    return Refused(fit, error)


def _problem(job: Job, is_known: bool) -> JobError | None:
    where = f"{job.origin}: " if job.origin else ""
    if not is_job_id(job.id):
        rounded = isinstance(job.id, str) and _ROUNDED.fullmatch(job.id) is not None
        hint = "A spreadsheet has rounded it: save the list again with this column as text."
        return InvalidJobId(
            f"{where}{_shown(job.id)!r} is not a job id", hint=hint if rounded else None
        )
    if not is_known:
        if not job.account:
            return UnknownAccount(f"{where}the job names none of several accounts")
        return UnknownAccount(f"{where}there is no account {_shown(job.account)!r}")
    for what, text, unsafe in (
        ("name", job.name, unsafe_stem),
        ("folder", job.folder or None, unsafe_folder),
    ):
        if text is None:
            continue
        if not isinstance(text, str):
            return InvalidName(f"{where}the {what} is no text")
        if (reason := unsafe(text)) is not None:
            return InvalidName(f"{where}the {what} {_shown(text)!r} {reason}")
    return None


def _shown(value: object) -> str:
    if isinstance(value, str):
        return shown(value)
    kind = type(value).__name__
    try:
        return shown(f"{kind} {value!r}")
    except Exception:  # its own code, or Python's for a number of thousands of digits
        return shown(kind)

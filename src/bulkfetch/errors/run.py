"""Errors of the whole run: the disk, the output folder, the journal."""

from __future__ import annotations

from bulkfetch.errors.base import BulkfetchError, NamesPath


class RunError(NamesPath, BulkfetchError):
    """The run stops; what is done stays done, and the same command continues later."""


class DiskFull(RunError):
    """The disk is full."""

    code = "DISK_FULL"
    default_hint = (
        "Free some space, then run the same command: complete results are not requested again."
    )


class NotWritable(RunError):
    """A folder or file cannot be written."""

    code = "NOT_WRITABLE"
    default_hint = "Check owner, permissions and limits of the output folder; then run again."


class OutputLocked(RunError):
    """Another run is using this output folder."""

    code = "LOCKED"
    default_hint = "Wait for the other run to end, or use another --out."


class JournalTooNew(RunError):
    """The journal was written by a newer bulkfetch."""

    code = "JOURNAL_TOO_NEW"
    default_hint = "Upgrade bulkfetch, or use another --out."


class JournalDamaged(RunError):
    """The journal cannot be read."""

    code = "JOURNAL_DAMAGED"
    default_hint = "Move .bulkfetch/journal.db away to start over; published files are not touched."

"""Errors of the whole run: the disk, the output folder, the journal."""

from __future__ import annotations

from bulkfetch.errors.base import BulkfetchError, NamesPath


class RunError(NamesPath, BulkfetchError):
    """The run stops; what is done stays done, and the same command continues later."""


class DiskFull(RunError):
    """The disk is full."""

    code = "DISK_FULL"
    default_hint = "Free some space: complete results are not requested again."


class NotWritable(RunError):
    """A folder or file cannot be written."""

    code = "NOT_WRITABLE"
    default_hint = "Check owner, permissions and limits of the output folder."


class OutputLocked(RunError):
    """Another run is using this output folder."""

    code = "LOCKED"
    default_hint = "Wait for the other run to end, or use another output folder."


class JournalTooNew(RunError):
    """The journal was written by a newer bulkfetch."""

    code = "JOURNAL_TOO_NEW"
    default_hint = "Upgrade bulkfetch, or use another output folder."


class JournalDamaged(RunError):
    """The journal cannot be read."""

    code = "JOURNAL_DAMAGED"
    default_hint = "Move .bulkfetch/journal.db away to start over; published files are not touched."


class DestinationFailed(RunError):
    """The bucket in which files are published cannot be used."""

    code = "DESTINATION_FAILED"
    default_hint = (
        "Check the bucket's address, [destination] and the network. Complete results are kept and "
        "not requested again."
    )


class DestinationRefused(RunError):
    """The bucket in which files are published refuses these credentials."""

    code = "DESTINATION_REFUSED"
    default_hint = (
        "The credentials are those of the environment (AWS_…, GOOGLE_…, AZURE_…), and have to "
        "permit to list, read, write and abort uploads. Complete results are kept and not "
        "requested again."
    )


class DatabaseLost(RunError):
    """The fleet's database was lost while a list was submitted, or away when a turn had to end."""

    code = "DATABASE_LOST"
    default_hint = "Submit the same list again: what is there already is not doubled."

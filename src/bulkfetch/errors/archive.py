"""Errors of one job's archive."""

from __future__ import annotations

from bulkfetch.errors.job import JobError


class ArchiveError(JobError):
    """The archive was refused; nothing of it was published."""


class ZipCorrupt(ArchiveError):
    """The archive is damaged."""

    code = "ZIP_CORRUPT"
    default_hint = "Both downloads were damaged; if another run's are too, create the export again."


class CountMismatch(ArchiveError):
    """The file does not hold as many records as the service says."""

    code = "COUNT_MISMATCH"
    default_hint = (
        "Both downloads were like that; compare the archive in quarantine with the CRM, or create "
        "the export again."
    )


class ZipEncrypted(ArchiveError):
    """The archive is encrypted."""

    code = "ZIP_ENCRYPTED"
    permanent = True
    default_hint = "Bulk exports are not encrypted; look at the file in quarantine."


class ZipUnsupported(ArchiveError):
    """The archive uses a feature that bulk exports do not use."""

    code = "ZIP_UNSUPPORTED"
    permanent = True
    default_hint = "Look at the file in quarantine; a common unzip tool may open it."


class ZipTooLarge(ArchiveError):
    """The archive would unpack to more than the limit or the free disk space allows."""

    code = "ZIP_TOO_LARGE"
    permanent = True
    default_hint = "Raise file_bytes in [limits], or free disk space, if such a size is expected."


class ZipUnsafe(ArchiveError):
    """The archive contains names, links or overlaps that no genuine export has."""

    code = "ZIP_UNSAFE"
    permanent = True
    default_hint = "Inspect the file in quarantine before you unpack it with other tools."


class ZipContent(ArchiveError):
    """The archive does not contain exactly one CSV or ICS file."""

    code = "ZIP_CONTENT"
    permanent = True
    default_hint = "Look at the file in quarantine; the id may belong to another kind of job."

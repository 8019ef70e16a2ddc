"""The forms in which the file of an archive may be published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from bulkfetch.archive.draft import Draft
from bulkfetch.archive.extract import ArchivedFile, Extracted, extract
from bulkfetch.archive.gzipped import extract_gzip, gzip_size
from bulkfetch.archive.records import RecordCounter
from bulkfetch.archive.validate import Suffix
from bulkfetch.models import Format, Forms

# What is put behind the stem of each published file. Nothing else is.
SUFFIXES = (".ics", *(f".{each}" for each in get_args(Format)))


def suffixes_of(suffix: Suffix, formats: Sequence[Format]) -> tuple[str, ...]:
    """Return the suffixes under which a file with this suffix is published in these formats.

    A calendar is published as it is, whatever the formats.
    """
    return (suffix,) if suffix == ".ics" else tuple(f".{each}" for each in formats)


def published_size(file: ArchivedFile, suffix: str) -> int | None:
    """Return the size in bytes of a file's form, None if that shows only when it is made."""
    match suffix:
        case ".csv" | ".ics":
            return file.member.bytes
        case ".csv.gz":
            return gzip_size(file)
        case _:
            return None


def write_form(
    file: ArchivedFile,
    suffix: str,
    draft: Draft,
    forms: Forms,
    *,
    digest: bool,
    counter: RecordCounter | None,
) -> Extracted:
    """Write a file in the form of a suffix to a draft, which the caller drops if this raises.

    Raises as `extract`; NotConvertible.
    """
    match suffix:
        case ".parquet":
            from bulkfetch.archive.parquet import extract_parquet  # late: it needs an extra

            return extract_parquet(
                file,
                draft,
                digest=digest,
                types=forms.types,
                row_group_bytes=forms.row_group_bytes,
            )
        case ".csv.gz":
            return extract_gzip(file, draft, digest=digest, counter=counter)
        case _:
            return extract(file, draft, digest=digest, counter=counter)

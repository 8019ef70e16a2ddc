"""Verifying and extracting archives: synchronous code for worker threads.

`structure` reads a ZIP's bytes into values, `validate` checks that it is a genuine export,
`inflate` has the decompressor, `records` counts what is in a file, `draft` is where its bytes go,
`extract` puts them together, `gzipped` and `parquet` do so for other forms of the file, `forms`
knows all of them.
"""

from bulkfetch.archive.draft import Draft, FileDraft
from bulkfetch.archive.extract import (
    ArchivedFile,
    Extracted,
    ExtractionCancelled,
    Member,
    extract,
    inspect,
)
from bulkfetch.archive.gzipped import extract_gzip
from bulkfetch.archive.inflate import ISAL, InflateEngine
from bulkfetch.archive.records import RecordCounter, count_problem, counter_of, recount
from bulkfetch.archive.suffixes import SUFFIXES, published_size, suffixes_of, write_form
from bulkfetch.archive.validate import ExtractLimits, Suffix

__all__ = [
    "ISAL",
    "SUFFIXES",
    "ArchivedFile",
    "Draft",
    "ExtractLimits",
    "Extracted",
    "ExtractionCancelled",
    "FileDraft",
    "InflateEngine",
    "Member",
    "RecordCounter",
    "Suffix",
    "count_problem",
    "counter_of",
    "extract",
    "extract_gzip",
    "inspect",
    "published_size",
    "recount",
    "suffixes_of",
    "write_form",
]

"""Verify and unpack: synchronous code for worker threads.

`structure` reads a ZIP's bytes into values, `names` and `judge` say whether it is an honest export,
`inflate` holds the engines, `source` is where bytes come from, `unpack` puts them together.
"""

from bulkfetch.archive.extract import Extracted, ExtractionCancelled, Member, extract, inspect
from bulkfetch.archive.inflate import ISAL, ZLIB, InflateEngine
from bulkfetch.archive.validate import ExtractLimits, Suffix

__all__ = [
    "ISAL",
    "ZLIB",
    "ExtractLimits",
    "Extracted",
    "ExtractionCancelled",
    "InflateEngine",
    "Member",
    "Suffix",
    "extract",
    "inspect",
]

"""Verify and unpack: synchronous code for worker threads.

`structure` reads a ZIP's bytes into values, `names` and `judge` say whether it is an honest export,
`inflate` holds the engines, `source` is where bytes come from, `unpack` puts them together.
"""

from bulkfetch.archive.inflate import ISAL, ZLIB, Engine
from bulkfetch.archive.judge import Limits, Suffix
from bulkfetch.archive.unpack import Extracted, ExtractionCancelled, Member, extract, inspect

__all__ = [
    "ISAL",
    "ZLIB",
    "Engine",
    "Extracted",
    "ExtractionCancelled",
    "Limits",
    "Member",
    "Suffix",
    "extract",
    "inspect",
]

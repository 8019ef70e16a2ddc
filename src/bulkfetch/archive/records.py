"""How many records an exported file holds, counted while it is unpacked.

A CSV's are counted as Python's csv module does, at a tenth of its cost: nothing but quotes and line
ends is looked at, by functions that go through a whole piece at once.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Protocol

from bulkfetch.archive.batch_reader import BatchReader
from bulkfetch.archive.inflate import Buffer
from bulkfetch.archive.validate import Suffix

_DROPPED = bytes(byte for byte in range(256) if byte not in b'"\n\r')
_READ_BYTES = 128 << 10
_EVENT = b"\nBEGIN:VEVENT\n"


class RecordCounter(Protocol):
    """Counts the records of one file, which is fed in pieces cut anywhere."""

    def feed(self, piece: Buffer) -> None:
        """Take the next piece."""

    def count(self) -> int | None:
        """Return the number of records, None if it cannot be told."""


class CsvRecords:
    """Counts the records of a CSV, of which the first is the header and does not count.

    A line ends with LF, CRLF or CR, outside of quotes. The count is None where a quote is never
    closed. Quotes in the middle of a cell are taken for real ones: `recount` knows better.
    """

    def __init__(self) -> None:
        self._ends = 0
        self._within_quotes = False
        self._line_ended = True
        self._ends_with_cr = False

    def feed(self, piece: Buffer) -> None:
        """Take the next piece."""
        if not piece:
            return
        text = bytes(piece)
        kept = text.translate(None, _DROPPED)
        if self._ends_with_cr or b"\r" in kept:
            kept = self._with_plain_ends(text, kept)
        self._line_ended = text.endswith((b"\n", b"\r"))
        # Two quotes that touch, or do so once everything between them is dropped, change nothing.
        runs = kept.replace(b'""', b"").split(b'"')
        self._ends += sum(map(len, runs[self._within_quotes :: 2]))
        self._within_quotes ^= len(runs) % 2 == 0

    def count(self) -> int | None:
        """Return the number of records, None if it cannot be told."""
        if self._within_quotes:
            return None
        return max(0, self._ends + (not self._line_ended) - 1)

    def _with_plain_ends(self, text: bytes, kept: bytes) -> bytes:
        """Return what is kept of a text with LF for every line end."""
        after_cr, self._ends_with_cr = self._ends_with_cr, text.endswith(b"\r")
        if after_cr and text.startswith(b"\n"):  # half of a line end that is counted already
            text, kept = text[1:], kept[1:]
        # To count in the whole text is half as expensive as to replace there.
        if kept.count(b"\r") == text.count(b"\r\n"):
            return kept.replace(b"\r", b"")
        return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").translate(None, _DROPPED)


class IcsEvents:
    """Counts the events of a calendar: its lines BEGIN:VEVENT, once folded lines are joined."""

    def __init__(self) -> None:
        self._events = 0
        # The end of what was fed, which the next piece may complete or continue as a folded line.
        self._tail = b"\n"

    def feed(self, piece: Buffer) -> None:
        """Take the next piece."""
        text = _unfolded(self._tail + piece)
        self._events += text.count(_EVENT, 0, len(text) - 1)
        self._tail = text[-len(_EVENT) :]

    def count(self) -> int | None:
        """Return the number of events."""
        return self._events + _unfolded(self._tail + b"\n").count(_EVENT)


def _unfolded(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n").replace(b"\n ", b"").replace(b"\n\t", b"")


def counter_of(suffix: Suffix) -> RecordCounter:
    """Return a counter for a kind of file."""
    return CsvRecords() if suffix == ".csv" else IcsEvents()


def recount(batches: Iterable[Sequence[Buffer]]) -> int | None:
    """Return what Python's csv module counts in a CSV, None if it cannot be told.

    For a file that seems to have another number of records than it should: ten times as expensive.
    """
    data = io.BufferedReader(BatchReader(batches), _READ_BYTES)
    with io.TextIOWrapper(data, "utf-8-sig", "surrogateescape", newline="") as text:
        try:
            return max(0, sum(1 for _ in csv.reader(text)) - 1)
        except csv.Error:
            return None


def count_problem(counted: int | None, expected: int) -> str:
    """Return what is wrong with a file's number of records, None where they cannot be counted."""
    if counted is None:
        return f"its quotes do not pair; by the service it should hold {expected} records"
    return f"it holds {counted} records; by the service it should hold {expected}"

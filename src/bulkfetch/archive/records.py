"""How many records an exported file holds, counted while it is unpacked. Pure.

A CSV's are counted as Python's csv module does, at a tenth of its cost: nothing but quotes and line
ends is looked at, by functions that go through a whole piece at once.
"""

from __future__ import annotations

from typing import Protocol

from bulkfetch.archive.inflate import Buffer
from bulkfetch.archive.validate import Suffix

_DROPPED = bytes(byte for byte in range(256) if byte not in b'"\n')
_EVENT = b"\nBEGIN:VEVENT\n"


class RecordCounter(Protocol):
    """Counts the records of one file, which is fed in pieces cut anywhere."""

    def feed(self, piece: Buffer) -> None:
        """Take the next piece."""

    def count(self) -> int | None:
        """Return the number of records, None if it cannot be told."""


class CsvRecords:
    """Counts the records of a CSV, of which the first is the header and does not count.

    A line ends with LF, CRLF or CR, outside of quotes. None where a quote has no other.
    """

    def __init__(self) -> None:
        self._ends = 0
        self._within_quotes = False
        self._line_ended = True
        self._ends_with_cr = False

    def feed(self, piece: Buffer) -> None:
        """Take the next piece."""
        text = bytes(piece)
        if text and (self._ends_with_cr or b"\r" in text):
            text = self._with_plain_ends(text)
        if not text:
            return
        self._line_ended = text.endswith(b"\n")
        # Two quotes that touch, or do so once everything between them is dropped, change nothing.
        runs = text.translate(None, _DROPPED).replace(b'""', b"").split(b'"')
        self._ends += sum(map(len, runs[self._within_quotes :: 2]))
        self._within_quotes ^= len(runs) % 2 == 0

    def count(self) -> int | None:
        """Return the number of records, None if it cannot be told."""
        if self._within_quotes:
            return None
        return max(0, self._ends + (not self._line_ended) - 1)

    def _with_plain_ends(self, text: bytes) -> bytes:
        if self._ends_with_cr and text.startswith(b"\n"):
            text = text[1:]  # the second half of a line end that is counted already
        self._ends_with_cr = text.endswith(b"\r")
        return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


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


def count_problem(counted: int | None, expected: int | None) -> str | None:
    """Return what is wrong with a file's number of records, None where nothing is.

    `counted` is None where it cannot be told, `expected` where the service has not said it.
    """
    if expected is None or counted == expected:
        return None
    if counted is None:
        return f"its quotes do not pair; by the service it should hold {expected} records"
    return f"it holds {counted} records; by the service it should hold {expected}"

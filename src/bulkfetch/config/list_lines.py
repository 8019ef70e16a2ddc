"""The lines of a list, whatever system and program wrote it. Knows nothing of ids.

A line ends with LF, CR LF, or CR alone, which is what Excel on a Mac writes as "CSV (Macintosh)".
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from bulkfetch.errors import ConfigError

# Longer lines are cut: no honest line is, and one without an end must not fill the memory.
LINE_BYTES = 64 * 1024

_BOM = b"\xef\xbb\xbf"
# How files begin that are often taken for lists, and what to do with them.
_NO_TEXT = (
    ((b"\xff\xfe", b"\xfe\xff"), "is UTF-16", "Save the list as UTF-8."),
    ((b"PK\x03\x04",), "is a ZIP archive or a workbook", "Save the list as CSV or plain text."),
    ((b"\x1f\x8b",), "is packed with gzip", "Unpack it: gunzip -c FILE | … --ids -"),
)


def label_of(path: str | Path) -> str:
    """Return what messages call a list."""
    return "stdin" if str(path) == "-" else str(path)


def waits(path: str | Path) -> bool:
    """Return whether reading may wait for a producer: all but a regular file and a folder.

    Raises ConfigError where there is no such file, or stdin is closed.
    """
    try:
        mode = os.fstat(0).st_mode if str(path) == "-" else os.stat(path).st_mode
    except OSError as error:
        raise unreadable(label_of(path), error) from None
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def open_lines(stack: ExitStack, path: str | Path, stdin: BinaryIO | None) -> Iterator[bytes]:
    """Open a list and return its lines with their ends, without a byte order mark.

    "-" reads `stdin`, None for the process's own, which is not closed. The stack closes the rest.
    Raises ConfigError for what cannot be opened or is no text; OSError while it is read, with the
    list's name as its file name.
    """
    label = label_of(path)
    try:
        if str(path) == "-":
            source = stdin or sys.stdin.buffer
        else:
            source = open(path, "rb", buffering=256 * 1024)  # noqa: SIM115
            stack.enter_context(source)
        lines = split_lines(source)
        first = next(lines, b"")
    except OSError as error:
        raise unreadable(label, error) from None
    for beginnings, what, hint in _NO_TEXT:
        if first.startswith(beginnings):
            raise ConfigError(f"{label} {what}", hint=hint)
    if b"\0\0" in (first[:4:2], first[1:4:2]):  # every other byte of its digits, without a mark
        raise ConfigError(f"{label} is UTF-16", hint="Save the list as UTF-8.")
    first = first.removeprefix(_BOM)
    return _named(label, chain([first] if first else [], lines))


def unreadable(label: str, error: OSError) -> ConfigError:
    """Return the configuration error for a list that cannot be read."""
    what = label if label == "stdin" else f"ids file {label}"
    return ConfigError(f"{what}: {error.strerror}")


def split_lines(source: BinaryIO) -> Iterator[bytes]:
    """Yield lines with their ends, cut at LINE_BYTES, however long they are. Raises OSError."""
    held = b""  # the beginning of a line whose end has not come
    skipping = False  # over the rest of a line that was cut
    for piece in iter(lambda: source.readline(LINE_BYTES), b""):
        # The way of a million lines: a whole one, which no CR divides.
        if piece[-1] == 10 and not held and not skipping and piece.find(b"\r", 0, -2) < 0:
            yield piece
            continue
        parts = (held + piece).splitlines(keepends=True)
        held = b"" if parts[-1][-1] == 10 else parts.pop()
        for part in parts:
            if not skipping:
                yield part[:LINE_BYTES]
            skipping = False
        if len(held) >= LINE_BYTES:
            if not skipping:
                yield held[:LINE_BYTES]
            skipping = True
            held = held[-1:] if held[-1] == 13 else b""  # an LF may follow, and belongs to it
    if held and not skipping:
        yield held


def _named(label: str, lines: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from lines
    except OSError as error:
        error.filename = label
        raise

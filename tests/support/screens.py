"""What a terminal shows, from what was written to it: as much of one as the program uses."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|\r|\n|[^\x00-\x1f]|.", re.DOTALL)
# Colours, and whether the cursor is seen: nothing that a text shows.
_UNSEEN = "mhl"


class Screen:
    """Lines of so many columns, those that have scrolled away included."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._lines: list[str] = [""]
        self._row = self._column = 0

    def feed(self, text: str) -> None:
        """Take what is written. Raises ValueError for what the program has no reason to write."""
        for token in _TOKEN.finditer(text):
            if token[2] is not None:
                self._control(token[1], token[2])
            elif token[0] == "\r":
                self._column = 0
            elif token[0] == "\n":
                self._down()
            elif token[0].isprintable():
                self._put(token[0])
            else:
                raise ValueError(f"not known: {token[0]!r}")

    def text(self) -> str:
        """Return all lines, without what is blank at their ends."""
        return "\n".join(line.rstrip() for line in self._lines).rstrip("\n") + "\n"

    def _control(self, figures: str, letter: str) -> None:
        if letter == "A":
            self._row -= int(figures or 1)
        elif letter == "K" and figures == "2":
            self._lines[self._row] = ""
        elif letter not in _UNSEEN:
            raise ValueError(f"not known: ESC [ {figures} {letter}")

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self._lines):
            self._lines.append("")

    def _put(self, character: str) -> None:
        if self._column == self._columns:
            self._column = 0
            self._down()
        line = self._lines[self._row].ljust(self._column)
        self._lines[self._row] = line[: self._column] + character + line[self._column + 1 :]
        self._column += 1


def shown(text: str, columns: int) -> str:
    """Return what a terminal of so many columns shows after `text` was written to it."""
    screen = Screen(columns)
    screen.feed(text)
    return screen.text()

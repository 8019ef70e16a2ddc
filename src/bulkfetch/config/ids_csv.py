"""Job ids in a column of a CSV file. Knows nothing of accounts or settings."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple, TypeAlias

from bulkfetch.config.misfit import nearest
from bulkfetch.errors import ConfigError
from bulkfetch.models import is_job_id
from bulkfetch.text import number

# Id, account and name, "" where there is no such column or nothing in it; and the row's line from
# 1, or its first and last as "8-9" where one of the three holds a line break.
Row: TypeAlias = tuple[str, str, str, str]
# Cells, first and last line. A row that is broken has one cell, which says so.
_Parsed: TypeAlias = tuple[list[str], int, int]

_DELIMITERS = ",;\t"
_QUOTED = re.compile(r'"[^"]*"')
# A line that Excel reads, and writes in some countries, before the heading.
_SEP = re.compile(r'"?sep=([,;|\t])"?\s*', re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{2}")
_LONG_NUMBER = re.compile(r"[0-9]{6}", re.ASCII)
_SHOWN_TITLES = 20


class _Places(NamedTuple):
    """Where in a row to look, from 0; -1 where there is no such column."""

    id: int
    account: int = -1
    name: int = -1


class _Broken(list[str]):
    """The cells of a row that cannot be read: one, which says why."""


def read_rows(lines: Iterator[bytes], label: str, column: str | int) -> tuple[bool, Iterator[Row]]:
    """Return whether there is a column `account`, and the rows, read lazily.

    `column` is a title in the first row (case and blanks count only where they must), or a number
    from 1; then the first row is a heading if `is_heading` says so. Where there is a heading,
    columns `account` and `name` are read too. The delimiter is the one most frequent in the first
    line, outside quotes. A broken row is given with words in place of its id, which name the lines
    that could not be read with it, and reading goes on.

    Raises ConfigError where there is no such column.
    """
    texts: Iterator[str] = (line.decode("utf-8", "backslashreplace") for line in lines)
    skipped, first_line, delimiter = _beginning(texts)
    rows = _parse(chain([first_line], texts), delimiter, skipped)
    first = next((row for row in rows if any(map(str.strip, row[0]))), None)
    if first is None:
        return False, iter(())
    cells = [cell.strip() for cell in first[0]]
    if isinstance(column, str) and (number := _number(column)) is None:
        places = _titled(cells, _by_title(first[0], column, label))
        return places.account >= 0, _rows(rows, places, len(cells))
    at = (column if isinstance(column, int) else number or 0) - 1
    if at < 0:
        raise ConfigError(
            f"{label}: no column number {at + 1}", hint="Columns are numbered from 1."
        )
    if isinstance(first[0], _Broken):
        return False, _rows(chain([first], rows), _Places(at), at + 1)
    if at >= len(cells):
        raise _no_column(f"number {at + 1}", "", cells, label)
    if is_heading(cells, at):
        places = _titled(cells, at)
        return places.account >= 0, _rows(rows, places, len(cells))
    return False, _rows(chain([first], rows), _Places(at), len(cells))


def is_heading(cells: list[str], at: int) -> bool:
    """Return whether the first row of a CSV is its heading, ids being in the column `at` from 0.

    It is one where that cell is no job id and looks like a title rather than a damaged id: without
    any digit, or with a word in it and without a long number. A row with a cell `account` or `name`
    is one as well.
    """
    cell = cells[at]
    if is_job_id(cell):
        return False
    if not {"account", "name"}.isdisjoint(map(_plain, cells)):
        return True
    if not any(char.isdigit() for char in cell):
        return cell != ""
    return _WORD.search(cell) is not None and _LONG_NUMBER.search(cell) is None


def looks_like_csv(line: str) -> str | None:
    """Return how to read a line that holds cells rather than one bare id; None where it doesn't.

    The answer is a hint for who gave no column. A cell in quotes is one, also if it is alone.
    """
    if not (line.startswith('"') or any(delimiter in line for delimiter in _DELIMITERS)):
        return None
    row = next(_parse([line], _delimiter(line), 0))[0]
    say = "Name the column with the ids: --ids-column, or ids_column beside ids_file"
    if isinstance(row, _Broken):
        return f"{say}."
    cells = [cell.strip() for cell in row]
    ids = [number for number, cell in enumerate(cells, start=1) if is_job_id(cell)]
    if len(ids) > 1 and len(ids) == sum(cell != "" for cell in cells):
        return "Write one id per line."
    return f"{say}; here number {ids[0]}." if ids else f"{say}. Available: {_titles(cells)}."


def _beginning(texts: Iterator[str]) -> tuple[int, str, str]:
    """Return how many lines come before the first that holds anything, that line, its delimiter."""
    skipped, line = 0, ""
    for line in texts:
        if match := _SEP.fullmatch(line):
            return skipped + 1, next(texts, ""), match[1]
        if line.strip():
            break
        skipped += 1
    return skipped, line, _delimiter(line)


def _delimiter(line: str) -> str:
    bare = _QUOTED.sub("", line)
    return max(_DELIMITERS, key=bare.count)


def _parse(texts: Iterable[str], delimiter: str, skipped: int) -> Iterator[_Parsed]:
    # strict: a quote that is never closed swallows lines, which must not go unseen.
    reader = csv.reader(texts, delimiter=delimiter, strict=True, skipinitialspace=True)
    before = skipped  # the last line of the row before
    while True:
        try:
            for row in reader:
                last = reader.line_num + skipped
                yield row, before + 1, last
                before = last
            return
        except csv.Error as error:
            first, before = before + 1, reader.line_num + skipped
            yield _broken(first, before, error), first, first


def _broken(first: int, last: int, error: csv.Error) -> _Broken:
    lines = f"line {first}" if first == last else f"lines {first} to {last}"
    open_to_the_end = "end of data" in str(error) or "limit" in str(error)
    why = "a quote is never closed" if open_to_the_end else "quotes do not match"
    return _Broken([f"{lines} not read: {why}"])


def _rows(rows: Iterable[_Parsed], places: _Places, columns: int) -> Iterator[Row]:
    at, account_at, name_at = places
    for row, first, last in rows:
        if at < len(row) and not isinstance(row, _Broken):
            account = row[account_at].strip() if 0 <= account_at < len(row) else ""
            name = row[name_at].strip() if 0 <= name_at < len(row) else ""
            text = row[at].strip()
            if text or any(map(str.strip, row)):
                torn = first != last and len(f"{text}{account}{name}".splitlines()) > 1
                yield text, account, name, f"{first}-{last}" if torn else str(last)
        elif isinstance(row, _Broken):
            yield row[0], "", "", str(first)
        elif any(map(str.strip, row)):
            yield f"line {last}: {len(row)} of {columns} columns", "", "", str(last)


def _number(column: str) -> int | None:
    """Return the number that a column was given by, None for a title."""
    if re.fullmatch(r"[0-9]{1,9}", column.strip(), re.ASCII) is None:
        return None
    return int(column)


def _titled(cells: list[str], at: int) -> _Places:
    """Return the other columns by their titles, without the column of the ids."""
    titles = [_plain(cell) for cell in cells]
    titles[at] = ""
    account, name = (titles.index(t) if t in titles else -1 for t in ("account", "name"))
    return _Places(at, account, name)


def _by_title(cells: list[str], column: str, label: str) -> int:
    if isinstance(cells, _Broken):
        raise ConfigError(f"{label}: no heading: {cells[0]}")
    for form in (str.strip, _plain):
        titles = [form(cell) for cell in cells]
        if form(column) in titles:
            return titles.index(form(column))
    raise _no_column(ascii(column.strip()[:40]), column, cells, label)


def _no_column(which: str, title: str, cells: list[str], label: str) -> ConfigError:
    """Return the complaint about a column that is not there, with what is."""
    ids = [number for number, cell in enumerate(cells, start=1) if is_job_id(cell.strip())]
    if ids:
        hint = f"Its first line has no titles; the ids may be in column {ids[0]}."
    elif like := nearest(_plain(title), map(_plain, cells)):
        titles = {_plain(cell): cell.strip() for cell in cells}
        hint = f"did you mean {titles[like][:40]!a}?"
    else:
        hint = f"Available: {_titles(cells)}."
    return ConfigError(
        f"{label}: no column {which} among its {number(len(cells), 'column')}", hint=hint
    )


def _titles(cells: list[str]) -> str:
    shown = [ascii(cell.strip()[:40]) for cell in cells[:_SHOWN_TITLES]]
    return ", ".join(shown) + (", …" if len(cells) > _SHOWN_TITLES else "")


def _plain(title: str) -> str:
    """Return a title without case and without blanks at its ends or doubled."""
    return " ".join(title.split()).casefold()

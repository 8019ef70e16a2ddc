"""Job ids in a column of a CSV file. Knows nothing of accounts or settings."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TypeAlias

from bulkfetch.config.complaints import nearest
from bulkfetch.errors import ConfigError

# Id, account, name and line number (from 1); "" where there is no such column or nothing in it.
Row: TypeAlias = tuple[str, str, str, int]

_DELIMITERS = ",;\t"


def read_rows(lines: Iterator[bytes], label: str, column: str | int) -> tuple[bool, Iterator[Row]]:
    """Say whether there is a column `account`, and give the rows, read lazily.

    `column` is a name in the first line (case counts only where it must), then columns `account`
    and `name` are read too; or a number from 1, then the first line is a heading if that column
    has no digit in it. The delimiter is the one most frequent in the first line. A broken row is
    given with words in place of its id, and reading goes on.

    Raises ConfigError where there is no column of that name.
    """
    first = next(lines, b"").decode("utf-8", "backslashreplace")
    delimiter = max(_DELIMITERS, key=first.count)
    heading = [field.strip() for field in _split(first, delimiter)]
    lower = [field.lower() for field in heading]
    texts: Iterable[str] = (line.decode("utf-8", "backslashreplace") for line in lines)
    if isinstance(column, str) and column.isdigit():
        column = int(column)
    if isinstance(column, str):
        at = _find(heading, column, label) if first else 0
        account_at = lower.index("account") if "account" in lower else -1
        name_at = lower.index("name") if "name" in lower else -1
        return account_at >= 0, _rows(texts, delimiter, (at, account_at, name_at), skipped=1)
    at = column - 1
    field = heading[at] if at < len(heading) else ""
    if field and not any(char.isdigit() for char in field):
        return False, _rows(texts, delimiter, (at, -1, -1), skipped=1)
    texts = chain([first] if first else [], texts)
    return False, _rows(texts, delimiter, (at, -1, -1), skipped=0)


def _rows(
    texts: Iterable[str], delimiter: str, places: tuple[int, int, int], skipped: int
) -> Iterator[Row]:
    at, account_at, name_at = places
    # strict: a quote that is never closed swallows lines, which must not go unseen.
    reader = csv.reader(texts, delimiter=delimiter, strict=True)
    while True:
        try:
            for row in reader:
                if at < len(row):
                    account = row[account_at].strip() if 0 <= account_at < len(row) else ""
                    name = row[name_at].strip() if 0 <= name_at < len(row) else ""
                    text = row[at].strip()
                    if text or any(map(str.strip, row)):
                        yield text, account, name, reader.line_num + skipped
                elif any(map(str.strip, row)):
                    yield "row too short", "", "", reader.line_num + skipped
            return
        except csv.Error as error:
            yield f"broken row: {error}", "", "", reader.line_num + skipped


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _find(heading: list[str], column: str, label: str) -> int:
    wanted, lower = column.strip(), [field.lower() for field in heading]
    if wanted in heading:
        return heading.index(wanted)
    if wanted.lower() in lower:
        return lower.index(wanted.lower())
    like = nearest(wanted, heading)
    columns = ", ".join(ascii(field[:40]) for field in heading[:20])
    raise ConfigError(
        f"{label}: no column {wanted[:40]!a}",
        hint=f"did you mean {like[:40]!a}?" if like else f"There is: {columns}.",
    )

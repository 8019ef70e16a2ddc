"""What a query finds, cut into pages, and pages written as CSV or iCalendar."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from bulkfetch.sandbox.org.columns import Column, OrgView, values_of
from bulkfetch.sandbox.org.criteria import Conditions, passing
from bulkfetch.sandbox.org.store import BLOCK
from bulkfetch.sandbox.org.values import Value, Zones, cells
from bulkfetch.sandbox.records import ics_event, ics_head, ics_tail


@dataclass(frozen=True, slots=True)
class Selection:
    """Records found, by number: for each block those of it, in the order of their ids."""

    spans: tuple[tuple[int, Sequence[int]], ...]

    @property
    def count(self) -> int:
        return sum(len(numbers) for _, numbers in self.spans)

    @property
    def last(self) -> int | None:
        """The number of the last record; None where there is none."""
        return self.spans[-1][1][-1] if self.spans else None

    def cut(self, offset: int, count: int) -> Selection:
        """Return so many of the records from `offset` on."""
        spans, skip, left = [], offset, count
        for block, numbers in self.spans:
            part = numbers[skip : skip + left]
            skip = max(0, skip - len(numbers))
            left -= len(part)
            if part:
                spans.append((block, part))
        return Selection(tuple(spans))


def select(
    org: OrgView, module: str, conditions: Sequence[Conditions], after: int | None = None
) -> Selection:
    """Find the records that pass all conditions, of those with numbers greater than `after`."""
    view, spans = org[module], []
    for block in view.blocks:
        if after is not None and (block + 1) * BLOCK <= after + 1:
            continue
        numbers = view.numbers(block)
        if conditions:
            values = partial(values_of, org, module, block=block)
            passed = zip(*(passing(each, values) for each in conditions), strict=True)
            numbers = [n for n, row in zip(numbers, passed, strict=True) if all(row)]
        if after is not None:
            numbers = [n for n in numbers if n > after]
        if numbers:
            spans.append((block, numbers))
    return Selection(tuple(spans))


def csv_head(columns: Sequence[Column]) -> bytes:
    """Return the header line."""
    return (",".join(column.name for column in columns) + "\n").encode()


def csv_block(
    org: OrgView,
    module: str,
    columns: Sequence[Column],
    block: int,
    numbers: Sequence[int],
    zones: Zones,
) -> bytes:
    """Return the rows of some records of a block."""
    rows = zip(
        *(
            cells(column.spec, _picked(org, module, column, block, numbers), zones)
            for column in columns
        ),
        strict=True,
    )
    return ("\n".join(map(",".join, rows)) + "\n").encode()


def ics_parts(org: OrgView, module: str, page: Selection) -> Iterator[bytes]:
    """Return a calendar of events, a part for each block."""
    yield ics_head()
    fields = org[module].fields
    for block, numbers in page.spans:
        columns = (
            _picked(org, module, Column(name, fields[name]), block, numbers)
            if name in fields
            else [None] * len(numbers)
            for name in ("Id", "Event_Title", "Start_DateTime", "Description")
        )
        yield b"".join(_event(*row) for row in zip(*columns, strict=True))
    yield ics_tail()


def _event(record_id: Value, title: Value, start_s: Value, notes: Value) -> bytes:
    start = datetime.fromtimestamp(int(start_s or 0), UTC)
    return ics_event(f"{record_id}@example.com", start, str(title or ""), str(notes or ""))


def _picked(
    org: OrgView, module: str, column: Column, block: int, numbers: Sequence[int]
) -> list[Value]:
    every = org[module].numbers(block)
    found = values_of(org, module, column, block)
    if len(every) == len(numbers):
        return found
    wanted = set(numbers)
    return [value for n, value in zip(every, found, strict=True) if n in wanted]

"""The records of one module: made when read, with what has changed since lying over them.

A `ModuleView` is how the module stood at one moment. Taking one costs what has changed, not what
there is, so a job can hold on to its own while the store goes on. Views may be read by threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bulkfetch.sandbox.org import values
from bulkfetch.sandbox.org.specs import FieldSpec, ModuleSpec
from bulkfetch.sandbox.org.standard import TIMES, USERS
from bulkfetch.sandbox.org.values import Value

BLOCK = 10_000
_COLUMNS_KEPT = 64  # of a block each: some 80 KB

Row = Mapping[str, Value]
ID = FieldSpec("Id", "bigint", filled=1.0)


@dataclass(frozen=True, slots=True)
class Deletion:
    """A record that is gone: which, since when (seconds since 1970), and how for good."""

    record_id: int
    at_s: float
    permanent: bool
    name: str | None


class ModuleView:
    """A module as it stood at one moment. Numbers of records grow with their ids."""

    def __init__(
        self,
        name: str,
        fields: Mapping[str, FieldSpec],
        made: _MadeColumns,
        end: int,
        changes: Mapping[int, Mapping[int, Row | None]],
    ) -> None:
        self.name, self.fields, self.end = name, fields, end
        self._made, self._changes = made, changes

    @property
    def blocks(self) -> range:
        return range(-(-self.end // BLOCK))

    def changed(self, block: int) -> bool:
        """Say whether a block is not as it was made."""
        return block in self._changes

    def numbers(self, block: int) -> Sequence[int]:
        """Return the numbers of a block's records, in order."""
        first = block * BLOCK
        last = min(first + BLOCK, self.end)
        changes = self._changes.get(block)
        if changes is None:
            return range(first, last)
        return [n for n in range(first, last) if changes.get(n, _AS_MADE) is not None]

    def column(self, name: str, block: int) -> list[Value]:
        """Return a field's values of a block's records, in the order of `numbers`."""
        base = self._made.of(self.fields[name], block)
        changes = self._changes.get(block)
        if changes is None:
            return base
        first = block * BLOCK
        return [
            row[name]
            if name in (row := changes.get(n) or _AS_MADE)
            else base[n - first]
            if n - first < len(base)
            else None
            for n in self.numbers(block)
        ]

    def value(self, number: int, name: str) -> Value:
        """Return one value; None too where there is no such record."""
        if not 0 <= number < self.end:
            return None
        block, place = divmod(number, BLOCK)
        row = self._changes.get(block, {}).get(number, _AS_MADE)
        if row is None or name in row:
            return None if row is None else row[name]
        base = self._made.of(self.fields[name], block)
        return base[place] if place < len(base) else None

    def count(self) -> int:
        """Return how many records there are."""
        gone = sum(row is None for rows in self._changes.values() for row in rows.values())
        return self.end - gone


class RecordStore:
    """The records of one module as they are now, and as they were where it `keeps` its past.

    `parents` tells how many a module has.
    """

    def __init__(
        self,
        name: str,
        spec: ModuleSpec,
        seed: int,
        size: int,
        parents: Callable[[str], int],
        keeps: bool = False,
    ) -> None:
        self.name, self.spec, self.end = name, spec, size
        own = (*spec.fields, *(TIMES if spec.timed else ()))
        self.fields = {each.api_name: each for each in (ID, *own)}
        self.deletions: list[Deletion] = []
        self._made = _MadeColumns(name, seed, size, parents)
        self._changes: dict[int, dict[int, Row | None]] = {}
        self._shared: set[int] = set()  # blocks whose changes a view holds
        self._view: ModuleView | None = None
        self._keeps = keeps
        self._past = [(0.0, size, self.view() if keeps else None)]

    def view(self) -> ModuleView:
        """Return the module as it is now."""
        if self._view is None:
            self._shared = set(self._changes)
            self._view = ModuleView(
                self.name, dict(self.fields), self._made, self.end, dict(self._changes)
            )
        return self._view

    def view_at(self, at_s: float) -> ModuleView:
        """Return the module as it was at a time (seconds since 1970), where it keeps its past."""
        return self._at(at_s)[2] or self.view()

    def count_at(self, at_s: float) -> int:
        """Return how many records there were at a time (seconds since 1970)."""
        return self._at(at_s)[1]

    def insert(self, given: Mapping[str, Any], now: float) -> int:
        """Add a record and return its id. Raises KeyError for unknown fields."""
        row: dict[str, Value] = {"Id": values.id_of(self.name, self.end)}
        for name, spec in self.fields.items():
            if spec.data_type == "boolean":
                row[name] = False
            elif spec.module == USERS:
                row[name] = values.id_of(USERS, 0)
        if self.spec.timed:
            row["Created_Time"] = int(now)
        self._put(self.end, row, given, now, touch=True)
        return values.id_of(self.name, self.end - 1)

    def modify(
        self, record_id: int, given: Mapping[str, Any], now: float, *, touch: bool = True
    ) -> None:
        """Change fields of a record, and with `touch` its Modified_Time. Raises KeyError."""
        number = self._number(record_id)
        row = self._changes.get(number // BLOCK, {}).get(number) or _AS_MADE
        self._put(number, row, given, now, touch=touch)

    def delete(self, record_id: int, now: float, *, permanent: bool = False) -> None:
        """Delete a record, into the bin or for good; one in the bin can go for good later.

        Raises KeyError.
        """
        found = next((each for each in self.deletions if each.record_id == record_id), None)
        if found is not None and permanent and not found.permanent:
            self.deletions.remove(found)
            self.deletions.append(Deletion(record_id, now, True, found.name))
            return
        number = self._number(record_id)
        name = next((n for n in self.fields if n.endswith("Name") or n == "Subject"), None)
        as_is = ModuleView(self.name, self.fields, self._made, self.end, self._changes)
        told = None if name is None else as_is.value(number, name)
        self.deletions.append(
            Deletion(record_id, now, permanent, None if told is None else str(told))
        )
        self._write(number, None, now)

    def put_field(self, spec: FieldSpec) -> None:
        """Add a field, or let one be another from now on."""
        self.fields[spec.api_name] = spec
        self._view = None

    def drop_field(self, name: str) -> None:
        """Take a field away. Raises KeyError."""
        del self.fields[name]
        self._view = None

    def _number(self, record_id: int) -> int:
        number = values.number_of(self.name, record_id)
        if number is None or number >= self.end:
            raise KeyError(f"{self.name} has no record {record_id}")
        if self._changes.get(number // BLOCK, {}).get(number, _AS_MADE) is None:
            raise KeyError(f"record {record_id} of {self.name} is deleted")
        return number

    def _put(
        self, number: int, row: Row, given: Mapping[str, Any], now: float, *, touch: bool
    ) -> None:
        made = dict(row)
        if touch and self.spec.timed:
            made["Modified_Time"] = int(now)
        for name, value in given.items():
            made[name] = values.value_of(self.fields[name], value)
        self._write(number, made, now)

    def _write(self, number: int, row: Row | None, now: float) -> None:
        block = number // BLOCK
        if block in self._shared:
            self._changes[block] = dict(self._changes[block])
            self._shared.discard(block)
        self._changes.setdefault(block, {})[number] = row
        count = self._past[-1][1] + (number == self.end) - (row is None)
        self.end = max(self.end, number + 1)
        self._view = None
        self._past.append((now, count, self.view() if self._keeps else None))

    def _at(self, at_s: float) -> tuple[float, int, ModuleView | None]:
        return next((each for each in reversed(self._past) if each[0] <= at_s), self._past[0])


class _MadeColumns:
    """The columns of the records that were there before the server, made a block at a time."""

    def __init__(self, module: str, seed: int, size: int, parents: Callable[[str], int]) -> None:
        self.size = size
        self._module, self._seed, self._parents = module, seed, parents
        self.of = lru_cache(maxsize=_COLUMNS_KEPT)(self._make)

    def _make(self, spec: FieldSpec, block: int) -> list[Value]:
        first = block * BLOCK
        count = max(0, min(BLOCK, self.size - first))
        seed = f"{self._seed}/{self._module}/{spec.api_name}/{block}"
        if spec.api_name == "Id":
            return [values.id_of(self._module, n) for n in range(first, first + count)]
        if spec.api_name in ("Created_Time", "Modified_Time"):
            created = values.created_times(first, count, self.size)
            later = spec.api_name == "Modified_Time"
            return values.modified_times(seed, created) if later else list(created)
        parents = None if spec.module is None else (spec.module, self._parents(spec.module))
        return values.column(spec, seed, first, count, parents)


_AS_MADE: Row = {}

"""The columns of an export: from the header of its parts, with types from the metadata. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from bulkfetch.config.column_types import column_types
from bulkfetch.models import ColumnType

# The column that every part begins with; the metadata call it `id`.
ID = "Id"


class ExportColumn(NamedTuple):
    """One column: its name in the header, Zoho's type (None if the metadata do not list it), the
    type of its cells, and whether a cell may be empty."""

    name: str
    api_type: str | None
    type: ColumnType | Literal["text"]
    nullable: bool

    def as_json(self) -> dict[str, Any]:
        """Return the column as schema.json has it."""
        return self._asdict()


class Retyped(NamedTuple):
    """A column whose type Zoho changed."""

    name: str
    before: str | None
    now: str | None


class Drift(NamedTuple):
    """How the columns differ from those of the export before."""

    added: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    retyped: tuple[Retyped, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the difference as the manifest has it."""
        return {
            "added": list(self.added),
            "gone": list(self.gone),
            "retyped": [each._asdict() for each in self.retyped],
        }


def columns_of(
    headers: Iterable[Sequence[str]], api_types: Mapping[str, str]
) -> tuple[ExportColumn, ...]:
    """Return the columns of an export in the order of its parts' headers.

    `api_types` has Zoho's type by API name; it may be empty, if the metadata cannot be had.
    """
    names = dict.fromkeys(name for header in headers for name in header)
    types = column_types(api_types)
    return tuple(
        ExportColumn(name, "bigint", "text", nullable=False)
        if name.casefold() == ID.casefold()
        else ExportColumn(name, api_types.get(name), types.get(name, "text"), nullable=True)
        for name in names
    )


def drift(before: Iterable[ExportColumn], now: Iterable[ExportColumn]) -> Drift:
    """Return how columns changed. A type that is not known on both sides counts as unchanged."""
    old, new = ({column.name: column for column in columns} for columns in (before, now))
    both = [(old[name], new[name]) for name in new if name in old]
    return Drift(
        added=tuple(name for name in new if name not in old),
        gone=tuple(name for name in old if name not in new),
        retyped=tuple(
            Retyped(was.name, was.api_type, column.api_type)
            for was, column in both
            if was.api_type and column.api_type and was.api_type != column.api_type
        ),
    )


def notices(
    asked: Iterable[str] | None, columns: Iterable[ExportColumn], found: Drift
) -> list[str]:
    """Return what the user should know of an export's columns, in sentences.

    `asked` are the fields that the export names, None for all; `found` is how columns changed.
    """
    there = {column.name.casefold() for column in columns}
    told = []
    # Without any part's header nothing can be said.
    if there and (lost := [name for name in asked or () if name.casefold() not in there]):
        told.append(f"Fields that were asked for are not in the files: {', '.join(lost)}.")
    for what, names in (
        ("New columns", found.added),
        ("Columns that are gone", found.gone),
        ("Columns of another type", tuple(each.name for each in found.retyped)),
    ):
        if names:
            told.append(f"{what} since the export before: {', '.join(names)}.")
    return told

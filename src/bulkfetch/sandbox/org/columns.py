"""Columns of a query: a module's own fields, and those of parents that a dotted name joins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bulkfetch.sandbox.org.specs import FieldSpec
from bulkfetch.sandbox.org.store import ModuleView
from bulkfetch.sandbox.org.values import Value, class_of, number_of

OrgView = Mapping[str, ModuleView]


class NoSuchField(Exception):
    """A name stands for no field; the message is the name."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column by the name it was asked for. `lookup` joins `spec`'s module; None: no join."""

    name: str
    spec: FieldSpec
    lookup: FieldSpec | None = None


def column_of(org: OrgView, module: str, name: str) -> Column:
    """Return the column that a name stands for. Raises NoSuchField."""
    own, dot, joined = name.partition(".")
    fields = org[module].fields
    if own in ("id", "Id") and not dot:
        return Column("Id", fields["Id"])
    spec = fields.get(own)
    if spec is None or not dot:
        if spec is None:
            raise NoSuchField(name)
        return Column(name, spec)
    parent = None if spec.module is None else org.get(spec.module)
    if class_of(spec) != "lookup" or parent is None:
        raise NoSuchField(name)
    found = parent.fields.get("Id" if joined == "id" else joined)
    if found is None:
        raise NoSuchField(name)
    return Column(name, found, spec)


def all_columns(org: OrgView, module: str) -> list[Column]:
    """Return the columns of a job that names none: Id first, then whatever can be exported."""
    return [
        Column(name, spec)
        for name, spec in org[module].fields.items()
        if spec.selected and class_of(spec) != "refused"
    ]


def values_of(org: OrgView, module: str, column: Column, block: int) -> list[Value]:
    """Return a column of a block's records."""
    view = org[module]
    if column.lookup is None:
        return view.column(column.spec.api_name, block)
    target = str(column.lookup.module)
    parent, field = org[target], column.spec.api_name
    known: dict[Value, Value] = {None: None}
    out = []
    for record_id in view.column(column.lookup.api_name, block):
        if record_id not in known:
            number = number_of(target, int(record_id or 0))
            known[record_id] = None if number is None else parent.value(number, field)
        out.append(known[record_id])
    return out

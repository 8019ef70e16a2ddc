"""Rows of exports to columns and back, for the tables of an output folder and those of a fleet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from bulkfetch.journal.export_rows import ExportRow, GenerationRow, PageFile, PageRow
from bulkfetch.models import Failure

Row = ExportRow | GenerationRow | PageRow


# The columns of each kind of row, which are its fields, in their order.
EXPORT, GENERATION, PAGE = (
    tuple(field.name for field in fields(kind)) for kind in (ExportRow, GenerationRow, PageRow)
)


def values(row: Row) -> tuple[Any, ...]:
    """Return a row as its columns hold it; lists and failures are JSON."""
    return tuple(_plain(getattr(row, field.name)) for field in fields(row))


def _plain(value: object) -> object:
    if isinstance(value, Failure):
        return json.dumps(asdict(value))
    return json.dumps(value) if isinstance(value, tuple) else value


def export_of(row: Sequence[Any]) -> ExportRow:
    """Return the name of a row; `turn` may be left out."""
    key, name, account, committed, prepared_s, *turn = row
    return ExportRow(key, name, account, committed, tuple(json.loads(prepared_s)), *turn)


def generation_of(row: Sequence[Any]) -> GenerationRow:
    """Return the generation of a row of GENERATION."""
    found = dict(zip(GENERATION, row, strict=True))
    found["queries"] = tuple(json.loads(found["queries"]))
    found["warnings"] = tuple(json.loads(found["warnings"]))
    return GenerationRow(**found)


def page_of(row: Sequence[Any]) -> PageRow:
    """Return the page of a row of PAGE."""
    found = dict(zip(PAGE, row, strict=True))
    error = found["error"]
    found["files"] = tuple(PageFile(*file) for file in json.loads(found["files"]))
    return PageRow(**{**found, "error": Failure(**json.loads(error)) if error else None})

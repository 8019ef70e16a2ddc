"""What `bulkfetch status` says of exports: how far each is, page by page, and its cursor."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bulkfetch.cli.printer import Printer

if TYPE_CHECKING:
    from bulkfetch.journal.export_rows import PageRow, StoredExport

_UNDER_WAY = frozenset({"ACTIVE", "PUBLISHING"})
_WORDS = {
    "PLANNED": "to be created",
    "CREATING": "being created",
    "UNKNOWN": "perhaps created",
    "PREPARING": "being prepared",
    "READY": "ready",
    "COUNTED": "fetched and counted",
    "EXPIRED": "expired",
    "FAILED": "failed",
}


def tell_exports(printer: Printer, stored: Sequence[StoredExport]) -> bool:
    """Tell of each export, and return whether any is unfinished or has failed."""
    for export in stored:
        printer.result(_line(export), _record(export))
        if not _is_under_way(export):
            continue
        for page in export.pages:
            printer.result(_page_line(page), _page_record(export.row.name, page))
    return any(map(is_unfinished, stored))


def _is_under_way(export: StoredExport) -> bool:
    return export.generation is not None and export.generation.state in _UNDER_WAY


def is_unfinished(export: StoredExport) -> bool:
    """Return whether a command has left something of an export to be done."""
    return export.row.turn == "due" or _is_under_way(export)


def _line(export: StoredExport) -> str:
    row, generation = export.row, export.generation
    left = _left(export)
    last = f"last {left['folder']}, cursor {left['cursor_to']}" if left else "none complete yet"
    if generation is None or not _is_under_way(export):
        return f"export {row.name}: nothing under way; {last}"
    counts = Counter(page.state for page in export.pages)
    pages = ", ".join(f"{count} {_WORDS[state]}" for state, count in counts.items())
    if generation.state == "PUBLISHING":
        pages = "being published"
    return (
        f"export {row.name}: {_mode(export)}, pages: {pages}; {generation.spent:,} credits; {last}"
    )


def _page_line(page: PageRow) -> str:
    chain = f"chain {page.chain}, " if page.chain > 1 else ""
    job = f", job {page.job_id}" if page.job_id else ""
    records = page.count if page.records is None else page.records
    many = "" if records is None else f", {records:,} records"
    why = f": {page.error.code}: {page.error.message}" if page.error else ""
    return f"  {chain}page {page.number}: {_WORDS[page.state]}{job}{many}{why}"


def _record(export: StoredExport) -> dict[str, Any]:
    row, generation, left = export.row, export.generation, _left(export)
    return {
        "type": "export",
        "name": row.name,
        "account": row.account,
        "status": "pending" if is_unfinished(export) else "done" if left else None,
        "state": generation.state if generation else None,
        "mode": _mode(export),
        "started": generation.started if generation else None,
        "pages": len(export.pages),
        "credits": {
            "spent": generation.spent if generation else 0,
            "wasted": generation.wasted if generation else 0,
        },
        "folder": left.get("folder"),
        "finished": left.get("finished"),
        "cursor": left.get("cursor_to"),
        "warnings": list(generation.warnings) if generation else [],
    }


def _page_record(name: str, page: PageRow) -> dict[str, Any]:
    """Return a page without its token, which is a secret of a kind."""
    error = page.error
    return {
        "type": "page",
        "export": name,
        "chain": page.chain,
        "page": page.number,
        "state": page.state,
        "id": page.job_id,
        "created_time": page.created_time,
        "count": page.count,
        "records": page.records,
        "tries": page.tries,
        "error": None if error is None else {"code": error.code, "message": error.message},
    }


def _left(export: StoredExport) -> dict[str, Any]:
    """Return what the last complete export of a name left, {} where there is none."""
    left: dict[str, Any] = json.loads(export.row.committed or "{}")
    return left


def _mode(export: StoredExport) -> str | None:
    if export.generation is None:
        return None
    mode = json.loads(export.generation.step).get("mode")
    return mode if isinstance(mode, str) else None

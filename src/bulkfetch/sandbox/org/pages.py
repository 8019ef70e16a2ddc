"""The pages of a query: which records each job's file holds, and the file.

A chain is what a page token goes on with. How its pages see data that changes is not known of Zoho,
so it is a switch: `snapshot`, all as the first page saw it; `live`, each as it is when its job is
created, going on behind the last record of the page before; `shifting`, the same, but going on
behind so many records, so that a deletion makes a gap and an insertion a repetition.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal

from bulkfetch.sandbox.archives import Piece, deflated_zip
from bulkfetch.sandbox.bodies import Segments
from bulkfetch.sandbox.org.columns import Column, OrgView
from bulkfetch.sandbox.org.query import OrgQuery
from bulkfetch.sandbox.org.store import BLOCK
from bulkfetch.sandbox.org.table import Selection, csv_block, csv_head, ics_parts, select
from bulkfetch.sandbox.org.values import Zones

PageMode = Literal["snapshot", "live", "shifting"]
_FILES_KEPT = 4
_PIECES_KEPT = 128  # of a block each: some 200 KB deflated


@dataclass(frozen=True, slots=True)
class OrgPage:
    """One page of a query. `whole` is all that a snapshot found; None otherwise."""

    query: OrgQuery
    org: OrgView
    number: int
    found: Selection
    more: bool
    whole: Selection | None = None


def first_page(query: OrgQuery, org: OrgView, per_page: int, mode: PageMode) -> OrgPage:
    """Return page 1."""
    found = select(org, query.module, query.conditions)
    kept = found if mode == "snapshot" else None
    return OrgPage(query, org, 1, found.cut(0, per_page), found.count > per_page, kept)


def numbered_page(query: OrgQuery, org: OrgView, per_page: int, number: int) -> OrgPage:
    """Return a page by its number: a query of its own, as before version 7."""
    found = select(org, query.module, query.conditions)
    page = found.cut((number - 1) * per_page, per_page)
    return OrgPage(query, org, number, page, found.count > number * per_page)


def next_page(before: OrgPage, org: OrgView, per_page: int, mode: PageMode) -> OrgPage:
    """Return the page after another; `org` is how things are now."""
    query, number = before.query, before.number + 1
    if before.whole is not None:
        page = before.whole.cut((number - 1) * per_page, per_page)
        more = before.whole.count > number * per_page
        return OrgPage(query, before.org, number, page, more, before.whole)
    if mode == "shifting":
        return numbered_page(query, org, per_page, number)
    found = select(org, query.module, query.conditions, after=before.found.last)
    return OrgPage(query, org, number, found.cut(0, per_page), found.count > per_page)


class PageFiles:
    """The ZIPs of pages; blocks that did not change are packed once."""

    def __init__(self, zones: Zones) -> None:
        self._zones = zones
        self._files: OrderedDict[str, tuple[OrgPage, int, Segments]] = OrderedDict()
        self._packed: OrderedDict[tuple[str, tuple[Column, ...], int], Piece] = OrderedDict()

    def make(self, job_id: str, page: OrgPage, left_out: int = 0) -> Segments:
        """Return the ZIP of a page, its last `left_out` records missing."""
        kept = self._files.get(job_id)
        if kept is None or kept[0] is not page or kept[1] != left_out:
            found = page.found.cut(0, max(0, page.found.count - left_out))
            name = f"{job_id}.{page.query.file_type}"
            kept = page, left_out, deflated_zip(name, self._pieces(page, found))
            self._files[job_id] = kept
            _shorten(self._files, _FILES_KEPT)
        return kept[2]

    def _pieces(self, page: OrgPage, found: Selection) -> list[Piece]:
        query = page.query
        if query.file_type == "ics":
            return [Piece.of(part) for part in ics_parts(page.org, query.module, found)]
        pieces = [Piece.of(csv_head(query.columns))]
        joined = any(column.lookup is not None for column in query.columns)
        for block, numbers in found.spans:
            as_made = len(numbers) == BLOCK and not page.org[query.module].changed(block)
            key = (query.module, query.columns, block)
            piece = self._packed.get(key) if as_made and not joined else None
            if piece is None:
                rows = csv_block(page.org, query.module, query.columns, block, numbers, self._zones)
                piece = Piece.of(rows)
                if as_made and not joined:
                    self._packed[key] = piece
                    _shorten(self._packed, _PIECES_KEPT)
            pieces.append(piece)
        return pieces


def _shorten(kept: OrderedDict[Any, Any], most: int) -> None:
    while len(kept) > most:
        kept.popitem(last=False)

"""What only an output folder's journal knows of exports: the turn of a command, and what is read.

What all that keep exports do is in `test_export_stores`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.support.export_stores import ACCOUNT, begun
from tests.support.journals import opened

from bulkfetch.journal import Change, ExportRow, ExportTables, JournalReader
from bulkfetch.models import ExportReport, Status

pytestmark = pytest.mark.anyio


async def test_who_looks_on_finds_what_is_kept(tmp_path: Path) -> None:
    """A reader of the file sees the same rows as the run."""
    async with opened(tmp_path) as journal:
        known = await begun(journal.exports)
    with JournalReader.open(tmp_path / ".bulkfetch") as reader:
        assert reader.exports() == [known]


async def test_a_turn_is_done_when_nothing_of_it_is_due(tmp_path: Path) -> None:
    """A committed export stays done while another is due, and is forgotten with the last.

    One that has failed is due no more, one that is pending is.
    """

    async def turns(store: ExportTables) -> Mapping[str, str | None]:
        return {name: known.row.turn for name, known in (await store.load(["A", "B", "C"])).items()}

    async def end(store: ExportTables, name: str, status: Status) -> None:
        await store.write(Change(end=ExportReport(name, ACCOUNT, status)))

    async with opened(tmp_path) as journal:
        store = journal.exports
        rows = await store.begin([("A", ACCOUNT), ("B", ACCOUNT), ("C", ACCOUNT)])
        assert rows["A"] == ExportRow(rows["A"].key, "A", ACCOUNT, turn="due")
        await end(store, "A", "done")
        assert await turns(store) == {"A": "done", "B": "due", "C": "due"}
        await end(store, "B", "pending")
        await end(store, "C", "failed")
        assert await turns(store) == {"A": "done", "B": "due", "C": None}
        await end(store, "B", "done")
        assert await turns(store) == {"A": None, "B": None, "C": None}

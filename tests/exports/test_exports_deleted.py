"""The list of deletions, written while it is read."""

from __future__ import annotations

import asyncio
import csv
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bulkfetch.control.responses import DeletedRecord
from bulkfetch.errors import NotWritable, ServerError
from bulkfetch.exports.deleted import write_deleted

TIME = "2026-09-30T07:30:01+05:30"


async def deletions(count: int, *, breaks: bool = False) -> AsyncIterator[DeletedRecord]:
    """Yield so many deletions, then break off if told to."""
    for number in range(count):
        yield DeletedRecord(str(554023 + number), "A name", "recycle", TIME)
    if breaks:
        raise ServerError("no more")


def written(count: int, path: Path) -> int:
    """Write so many deletions and return how many were counted."""
    return asyncio.run(write_deleted(deletions(count), path))


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1234])
def test_every_deletion_has_a_row(tmp_path: Path, count: int) -> None:
    """The ids stand first, no names are kept, and the number told is that of the rows."""
    path = tmp_path / "deleted.csv"
    assert written(count, path) == count
    rows = list(csv.reader(path.read_text().splitlines()))
    assert rows[0] == ["id", "deleted_time", "type"]
    assert rows[1:] == [[str(554023 + n), TIME, "recycle"] for n in range(count)]


def test_what_the_service_does_not_tell_is_an_empty_cell(tmp_path: Path) -> None:
    """Odd text is quoted, so that a row stays a row."""

    async def odd() -> AsyncIterator[DeletedRecord]:
        yield DeletedRecord("1")
        yield DeletedRecord("2", type='a,"b"\n\ud800')

    path = tmp_path / "deleted.csv"
    assert asyncio.run(write_deleted(odd(), path)) == 2
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1:] == [["1", "", ""], ["2", "", 'a,"b"\n\\ud800']]


def test_a_list_that_broke_off_is_written_anew(tmp_path: Path) -> None:
    """The error comes through, and the next call leaves nothing of the first."""
    path = tmp_path / "deleted.csv"
    with pytest.raises(ServerError):
        asyncio.run(write_deleted(deletions(700, breaks=True), path))
    assert written(2, path) == 2
    assert len(path.read_text().splitlines()) == 3


def test_a_folder_that_is_not_there_is_an_error_of_the_disk(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(NotWritable, match="deleted"):
        written(1, tmp_path / "missing" / "deleted.csv")


@pytest.mark.slow
def test_memory_is_flat_however_many_there_are(tmp_path: Path) -> None:
    """Fifty thousand deletions take no more room than a thousand."""
    peaks = []
    for count in (1_000, 50_000):
        tracemalloc.start()
        written(count, tmp_path / "deleted.csv")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 200_000

"""deleted.csv: the ids of records that were deleted since the export before."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterable, Iterable
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from bulkfetch.control.responses import DeletedRecord
from bulkfetch.disk import disk_errors, fsync_file

# Rows between two writes: a few dozen kB, however many deletions there are.
_BATCH = 500
_COLUMNS = ("id", "deleted_time", "type")


async def write_deleted(records: AsyncIterable[DeletedRecord], path: Path) -> int:
    """Write a list of deletions, on the device before returning; return how many there are.

    Without any, the file has its header. A record may stand there twice, if it moved on from the
    recycle bin while the list was read. Raises what reading raises, DiskFull, NotWritable.
    If cancelled: the file has a part of them, and is written anew by the next call.
    """
    count = 0
    with disk_errors(path):
        async with await anyio.open_file(path, "wb") as file:
            await file.write(_lines([_COLUMNS]))
            batch: list[DeletedRecord] = []
            async for record in records:
                batch.append(record)
                if len(batch) == _BATCH:
                    await file.write(_lines(map(_cells, batch)))
                    count += len(batch)
                    batch.clear()
            await file.write(_lines(map(_cells, batch)))
        await anyio.to_thread.run_sync(partial(fsync_file, path))
    return count + len(batch)


def _cells(record: DeletedRecord) -> tuple[str, ...]:
    return (record.id, record.deleted_time or "", record.type or "")


def _lines(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")

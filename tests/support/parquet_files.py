"""A CSV's bytes as a Parquet file, made as the pipeline does it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from tests.support.zips import Item, pack

from bulkfetch.archive import ArchivedFile, Extracted, ExtractLimits, FileDraft, inspect
from bulkfetch.archive.parquet import extract_parquet
from bulkfetch.models import ColumnType

LIMITS = ExtractLimits(file_bytes=1 << 40)


def converted(
    data: bytes,
    folder: Path,
    types: Mapping[str, ColumnType] | None = None,
    row_group_bytes: int = 1 << 20,
) -> tuple[Extracted, Path]:
    """Return what was told of the Parquet file, and where it is; nothing is there if it failed."""
    archive, made = folder / "in.zip", folder / "out.parquet"
    archive.write_bytes(pack(Item(data=data)))
    draft = FileDraft(made)
    try:
        file = ArchivedFile(archive, inspect(archive, LIMITS), LIMITS)
        found = extract_parquet(file, draft, types=types or {}, row_group_bytes=row_group_bytes)
        draft.close()
    except BaseException:
        draft.drop()
        raise
    return found, made


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a Parquet file."""
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found

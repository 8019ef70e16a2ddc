"""How a reader puts an export's folders together: the newest row of each Id, minus the deleted.

It knows only what is on disk, as every reader does.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

Row = dict[str, str]


def published(home: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return the folders of an export with their manifests, the oldest cursor first."""
    found = [(path.parent, json.loads(path.read_bytes())) for path in home.glob("*/manifest.json")]
    return sorted(found, key=lambda pair: (_time(pair[1]["cursor"]["to"]), pair[0].name))


def rows_of(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the rows of one folder's parts, in their order."""
    for part in manifest["parts"]:
        with (folder / part["file"]).open(encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)


class Folder(NamedTuple):
    """What one folder holds; `gone` has the time of each deletion, by id."""

    mode: str
    rows: Iterable[Row]
    gone: Mapping[str, str]


def put_together(folders: Sequence[Folder]) -> dict[str, Row]:
    """Return the records by Id, as the folders since the newest full export tell them."""
    last_full = max(at for at, folder in enumerate(folders) if folder.mode == "full")
    newest: dict[str, Row] = {}
    gone: dict[str, str] = {}
    for folder in folders[last_full:]:
        for row in folder.rows:
            before = newest.get(row["Id"])
            if before is None or _time(row["Modified_Time"]) >= _time(before["Modified_Time"]):
                newest[row["Id"]] = row
        gone |= folder.gone
    return {
        record_id: row
        for record_id, row in newest.items()
        if record_id not in gone or _time(gone[record_id]) < _time(row["Modified_Time"])
    }


def read_back(home: Path) -> dict[str, Row]:
    """Return the records by Id, as the folders on disk tell them."""
    return put_together(
        [
            Folder(manifest["mode"], rows_of(folder, manifest), _deletions(folder, manifest))
            for folder, manifest in published(home)
        ]
    )


def _deletions(folder: Path, manifest: Mapping[str, Any]) -> dict[str, str]:
    if manifest["deleted"] is None:
        return {}
    with (folder / manifest["deleted"]["file"]).open(encoding="utf-8", newline="") as file:
        return {row["id"]: row["deleted_time"] for row in csv.DictReader(file)}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)

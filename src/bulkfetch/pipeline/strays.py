"""Which files below `.bulkfetch` nothing needs any more. Decides; removes nothing.

A body of a job that the journal does not know may be all that is left of a result, of which a lost
journal told: it counts as a stray only once it is old.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from bulkfetch.journal.housekeeping import Recorded
from bulkfetch.pipeline.staged import StagedFile

RecordedOf = Callable[[str, str], Recorded]


class Stray(NamedTuple):
    """A file, or a folder with all in it, and why it is not needed."""

    path: str
    bytes: int
    why: str


def strays_in_staging(
    files: Iterable[StagedFile], recorded: RecordedOf, before: float
) -> Iterator[Stray]:
    """Yield the staged files that no job needs, while no run is active.

    `recorded` takes an account and an id; `before` is in seconds since 1970.
    """
    for file in files:
        found = recorded(file.account, file.job_id)
        if file.kind == "draft":
            yield Stray(file.path, file.bytes, "half made by a run that was cut off")
        elif found == "done":
            yield Stray(file.path, file.bytes, "its job is done")
        elif found == "unknown" and file.changed < before:
            yield Stray(file.path, file.bytes, "old, and of no known job")


def strays_in_quarantine(
    files: Iterable[StagedFile], recorded: RecordedOf, before: float
) -> Iterator[Stray]:
    """Yield the refused archives of jobs that are done by now, and old ones; as `staging`'s."""
    for file in files:
        if recorded(file.account, file.job_id) == "done":
            yield Stray(file.path, file.bytes, "its job is done")
        elif file.changed < before:
            yield Stray(file.path, file.bytes, "old")


def stray_exports(hidden: Path, needed: Collection[str]) -> Iterator[Stray]:
    """Yield the hidden folders of exports that are not under way.

    `hidden` has a folder for each export, with one for each of its generations; `needed` are those
    under way, as NAME/GENERATION. Links are not followed. Raises OSError.
    """
    for home in _folders(hidden):
        for folder in _folders(home.path):
            if f"{home.name}/{folder.name}" not in needed:
                yield Stray(folder.path, _size(folder.path), "of an export that was given up")


def _folders(path: str | Path) -> list[os.DirEntry[str]]:
    if not os.path.isdir(path):
        return []
    with os.scandir(path) as entries:
        found = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    return sorted(found, key=lambda entry: entry.name)


def _size(folder: str) -> int:
    return sum(
        os.lstat(os.path.join(place, name)).st_size
        for place, _, names in os.walk(folder)
        for name in names
    )

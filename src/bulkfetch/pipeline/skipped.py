"""What an earlier run brought home, looked at but not fetched again: people move files on."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import replace

from bulkfetch.models import Outcome, PublishedFile
from bulkfetch.pipeline.layout import OutputLayout


def looked_at(outcomes: Iterable[Outcome], places: OutputLayout) -> list[Outcome]:
    """Return the outcomes, those marked `missing` whose file is gone or has another size.

    Blocking: one stat for each file.
    """
    return [
        replace(outcome, missing=True) if are_missing(outcome.files, places) else outcome
        for outcome in outcomes
    ]


def are_missing(files: Iterable[PublishedFile], places: OutputLayout) -> bool:
    """Return whether one of the files is no longer there as it was published."""
    return any(_size(places.absolute(file.path)) != file.bytes for file in files)


def _size(path: str) -> int | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None

"""What `bulkfetch check` finds on the disk: the output folder, the state folder, the list.

Nothing is created or changed. The checks use the same code as a run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bulkfetch.cli.check_findings import Finding
from bulkfetch.errors import ConfigError, RunError
from bulkfetch.text import size

if TYPE_CHECKING:
    from bulkfetch.config import Settings


def disk_findings(settings: Settings) -> Iterator[Finding]:
    """Yield findings on everything on the disk that a run would use."""
    yield _out(settings)
    yield from _journal(settings)
    yield _state_dir(settings)
    yield _ids_file(settings)


def _out(settings: Settings) -> Finding:
    from bulkfetch.disk import free_bytes
    from bulkfetch.journal import OutputLock
    from bulkfetch.pipeline.layout import STATE_DIR
    from bulkfetch.pipeline.preflight import lacking_room, require_writable

    origin = settings.origin("out")
    try:
        require_writable(settings.out)
        if (error := lacking_room(settings.out, settings.limits.free_bytes)) is not None:
            raise error
        holder = OutputLock.holder(settings.out / STATE_DIR)
    except RunError as error:
        return Finding.of("out", error, origin)
    free = free_bytes(_existing(settings.out))
    value = f"{settings.out}, {'free space unknown' if free is None else f'{size(free)} free'}"
    if holder is not None:
        hint = "A run started now would end with LOCKED."
        return Finding("out", f"{value}, held by {holder}", origin, "warning", hint)
    return Finding("out", value, origin)


def _journal(settings: Settings) -> Iterator[Finding]:
    """Open the journal like `status`; a run would fail with the same errors."""
    from bulkfetch.journal import JournalReader
    from bulkfetch.pipeline.layout import STATE_DIR

    folder = settings.out / STATE_DIR
    try:
        with JournalReader.open(folder):
            yield Finding("journal", str(folder / "journal.db"))
    except ConfigError:
        return  # no run has used this folder yet
    except RunError as error:
        yield Finding.of("journal", error)


def _state_dir(settings: Settings) -> Finding:
    origin = "environment BULKFETCH_STATE_DIR" if "BULKFETCH_STATE_DIR" in os.environ else "default"
    hint = "Runs cannot see each other's requests; set BULKFETCH_STATE_DIR to another folder."
    if settings.state_dir is None:
        return Finding("state", "this user has no state folder", origin, "warning", hint)
    problem = _unusable(settings.state_dir)
    if problem is not None:
        return Finding("state", f"{settings.state_dir}: {problem}", origin, "warning", hint)
    return Finding("state", str(settings.state_dir), origin)


def _ids_file(settings: Settings) -> Finding:
    from bulkfetch.config import open_jobs
    from bulkfetch.config.list_lines import waits

    path, origin = settings.ids_file, settings.origin("ids_file")
    if path is None:
        return Finding("ids_file", "none", origin)
    try:
        if waits(path):
            return Finding("ids_file", f"{path}, not opened: it is not a regular file", origin)
        with open_jobs(settings):
            return Finding("ids_file", str(path), origin)
    except ConfigError as error:
        return Finding.of("ids_file", error, origin)


def _existing(path: Path) -> Path:
    """Return the path, or the nearest existing folder above it."""
    path = path.absolute()
    # Not Path.exists, which raises if this user may not search a folder above.
    return next(folder for folder in (path, *path.parents) if os.path.exists(folder))


def _unusable(path: Path) -> str | None:
    """Return why no files can be created in the folder at `path`, which may not exist yet."""
    existing = _existing(path)
    if not existing.is_dir():
        return f"{existing} is not a folder"
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"{existing} cannot be written"
    return None

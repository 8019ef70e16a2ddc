"""Destinations, and what a test may see of them from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bulkfetch.destination import Destination, FolderDestination


@dataclass(frozen=True)
class SeenDestination:
    """A destination, with what others find there, and a way to put something there."""

    destination: Destination
    files: Callable[[], Mapping[str, bytes]]
    put: Callable[[str, bytes], object]
    drafts: Callable[[], int]


def folder_destination(folder: Path) -> SeenDestination:
    """Return a folder as a destination."""
    out, staging = folder / "out", folder / "out" / ".bulkfetch" / "staging"
    staging.mkdir(parents=True)

    def files() -> dict[str, bytes]:
        found = (path for path in out.rglob("*") if path.is_file() and staging not in path.parents)
        return {path.relative_to(out).as_posix(): path.read_bytes() for path in found}

    def put(place: str, content: bytes) -> None:
        (out / place).parent.mkdir(parents=True, exist_ok=True)
        (out / place).write_bytes(content)

    return SeenDestination(
        FolderDestination(out, staging, "exports/", 0),
        files,
        put,
        lambda: len([*staging.iterdir()]),
    )

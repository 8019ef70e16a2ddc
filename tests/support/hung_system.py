"""A system that does not answer, for one program: a preloaded library."""

from __future__ import annotations

from pathlib import Path

from tests.support import file_systems

SOURCE = Path(__file__).with_name("hung_system.c")


def built(folder: Path) -> Path:
    """Build the library in a folder, or skip the test where that cannot be done."""
    return file_systems.built(folder, SOURCE)

"""File systems with the habits of SMB, FUSE and 9P, for one program: a preloaded library."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("file_systems.c")


def built(folder: Path) -> Path:
    """Build the library in a folder, or skip the test where that cannot be done."""
    gcc = shutil.which("gcc")
    if gcc is None or not sys.platform.startswith("linux"):
        pytest.skip("the library that plays file systems takes gcc and Linux")
    library = folder / "file_systems.so"
    command = [gcc, "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"gcc cannot build: {made.stderr.splitlines()[:1]}")
    return library

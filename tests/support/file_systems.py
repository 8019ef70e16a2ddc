"""File systems with the habits of SMB, FUSE and 9P, for one program: a preloaded library."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("file_systems.c")


def built(folder: Path, source: Path = SOURCE) -> Path:
    """Build a library in a folder, or skip the test where that cannot be done."""
    gcc = shutil.which("gcc")
    if gcc is None or not sys.platform.startswith("linux"):
        pytest.skip("a library to be preloaded takes gcc and Linux")
    library = folder / f"{source.stem}.so"
    command = [gcc, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"gcc cannot build: {made.stderr.splitlines()[:1]}")
    return library

"""The C programs that show the machine's limits, compiled when they are needed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).with_name("c")


@dataclass(frozen=True, slots=True)
class Built:
    """A program, or why there is none."""

    path: Path
    missing: str | None = None


def program(name: str, libraries: Sequence[str], into: Path) -> Built:
    """Compile c/{name}.c unless that has been done since its last change."""
    source, target = SOURCES / f"{name}.c", into / name
    compiler = shutil.which("cc")
    if compiler is None:
        return Built(target, "a C compiler (apt install gcc libc6-dev)")
    newest = max(path.stat().st_mtime for path in SOURCES.iterdir())
    if target.exists() and target.stat().st_mtime >= newest:
        return Built(target)
    into.mkdir(parents=True, exist_ok=True)
    command = [compiler, "-O2", "-Wall", "-Wextra", "-pthread", "-o", os.fspath(target)]
    done = subprocess.run(
        [*command, os.fspath(source), *(f"-l{library}" for library in libraries)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return Built(target)
    if "isa-l" in done.stderr or "-lisal" in done.stderr:
        return Built(target, "libisal (apt install libisal-dev)")
    if "openssl/" in done.stderr or "-lssl" in done.stderr:
        return Built(target, "OpenSSL's headers (apt install libssl-dev)")
    return Built(target, f"cc: {done.stderr.strip().splitlines()[0]}")

"""Where a measurement was taken: machine, versions, revision."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = ("aiohttp", "aiofiles", "aiolimiter", "anyio", "isal", "uvloop")
# How each program tells its version.
PROGRAMS = {
    "nginx": ("nginx", "-v"),
    "curl": ("curl", "--version"),
    "wget2": ("wget2", "--version"),
    "aria2c": ("aria2c", "--version"),
    "unzip": ("unzip", "-v"),
    "bsdtar": ("bsdtar", "--version"),
    "igzip": ("igzip", "--version"),
    "openssl": ("openssl", "version"),
    "cc": ("cc", "--version"),
}


def describe() -> dict[str, object]:
    """Give everything that a reader needs to judge or repeat a figure."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()}",
        "load": round(os.getloadavg()[0], 2),
        "python": sys.version.split()[0],
        "libraries": {name: version for name in LIBRARIES if (version := _library(name))},
        "programs": {name: version for name in PROGRAMS if (version := program_version(name))},
        "revision": revision(),
    }


def revision(path: Path = ROOT) -> str:
    """Give the commit of a checkout, with "+changes" where tracked sources differ from it."""
    commit = _output("git", "-C", os.fspath(path), "rev-parse", "--short=12", "HEAD")
    if commit is None:
        return "unknown"
    changed = _output("git", "-C", os.fspath(path), "status", "--porcelain", "--", "src")
    return commit + ("+changes" if changed else "")


def program_version(name: str) -> str | None:
    """Give the version of a program, None where it is not installed."""
    command = PROGRAMS[name]
    if shutil.which(command[0]) is None:
        return None
    text = _output(*command) or ""
    found = re.search(r"\d+\.\d+[.\w]*", text)
    return found.group() if found else "?"


def _library(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1) if found else platform.machine()


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip()

"""The paths below the output folder, and what a dead run may have left there.

Everything under `.bulkfetch/` is ours and lies on the file system of the published files, so that
publishing is a rename.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

from bulkfetch.disk import StrPath
from bulkfetch.errors import NamesPath
from bulkfetch.models import Job

E = TypeVar("E", bound=NamesPath)

STATE_DIR = ".bulkfetch"


class OutputLayout:
    """The paths of one output folder. `shown` is the folder as the user gave it, for reports.

    `above` is what reports write before a path in it: `shown` with its slash.
    `state` is the folder of journal, lock, staging and quarantine; in `staging` bodies and unpacked
    files are until they are published, in `quarantine` refused archives are kept for inspection.
    """

    def __init__(self, out: Path, shown: str) -> None:
        self.out = out
        self.shown = shown
        # As the journal has it: "exports" for "./exports/", nothing for the working directory.
        self.above = os.fspath(Path(shown) / "x").removesuffix("x")
        self.state = out / STATE_DIR
        self.staging = self.state / "staging"
        self.quarantine = self.state / "quarantine"
        self._prefix = os.path.join(out, "")
        # A job's paths are plain strings: Python 3.12 keeps every part of a Path until it ends.
        self._in_staging = os.path.join(self.staging, "")
        self._in_quarantine = os.path.join(self.quarantine, "")

    @classmethod
    def of(cls, out: str | Path) -> OutputLayout:
        """Return the layout of a folder as the user gave it, wherever the process goes later."""
        return cls(Path(out).absolute(), os.fspath(out))

    def part(self, job: Job) -> str:
        """A body on its way in."""
        return f"{self._in_staging}{self.key(job)}.part"

    def zip(self, job: Job) -> str:
        """A body that is complete, checked in structure, and synced."""
        return f"{self._in_staging}{self.key(job)}.zip"

    def quarantined(self, job: Job) -> str:
        """A refused archive."""
        return f"{self._in_quarantine}{self.key(job)}.zip"

    def report(self, path: StrPath) -> str:
        """Return a path below the output folder as the user would write it."""
        return self.above + os.fspath(path).removeprefix(self._prefix)

    def as_given(self, error: E) -> E:
        """Return an error with the file or folder that it names as the user would write it."""
        if error.path is not None:
            path = os.path.abspath(error.path)
            if path == os.fspath(self.out):
                return error.renamed(self.shown)
            if path.startswith(self._prefix):
                return error.renamed(self.report(path))
        return error

    def absolute(self, reported: str) -> str:
        """Return where a path of a report is, whatever the working directory is by now."""
        return os.path.join(self.out, reported.removeprefix(self.above))

    def prepare(self) -> None:
        """Make the folders, and keep a new one out of Git. Raises OSError."""
        is_new = not self.state.exists()
        self.staging.mkdir(parents=True, exist_ok=True)
        if is_new:
            (self.state / ".gitignore").write_bytes(b"*\n")

    def leftovers(self) -> frozenset[str]:
        """Clear away half-unpacked files of a dead run; give the keys of jobs with a body here.

        Raises OSError.
        """
        keys = set()
        for entry in os.scandir(self.staging):
            if entry.name.endswith((".out", ".keep")):
                os.unlink(entry.path)
            elif entry.name.endswith((".part", ".zip")):
                keys.add(entry.name.rpartition(".")[0])
        return frozenset(keys)

    @staticmethod
    def key(job: Job) -> str:
        """The stem of a job's files in staging and quarantine."""
        # An account's name is checked by the settings to be fit for a file name.
        return f"{job.account}.{job.id}"

"""Other revisions of this project, laid out beside the checkout with `git worktree`."""

from __future__ import annotations

import compileall
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import ROOT


@dataclass(frozen=True, slots=True)
class Revision:
    """A bulkfetch to be measured: `label` is "" for the checkout itself; `source` holds `src`."""

    label: str
    source: Path

    @property
    def env(self) -> dict[str, str]:
        """The environment that has a Python import this bulkfetch, and what is here."""
        return {"PYTHONPATH": os.pathsep.join(map(os.fspath, (self.source / "src", ROOT)))}


def checkout() -> Revision:
    """Give the project as it stands."""
    return Revision("", ROOT)


def compiled(revision: Revision) -> None:
    """Have its bytecode lie beside it, as an installed one's does: peers are installed too.

    Where the environment says PYTHONDONTWRITEBYTECODE every start would compile all of it.
    """
    compileall.compile_dir(revision.source / "src", quiet=1)


def lay_out(name: str, into: Path) -> Revision:
    """Put a commit's tree into `into` and give it. Raises ValueError for an unknown commit."""
    commit = _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if not commit:
        raise ValueError(f"no such revision: {name}")
    folder = into / commit[:12]
    if not folder.exists():
        _git("worktree", "prune")
        into.mkdir(parents=True, exist_ok=True)
        if _git("worktree", "add", "--detach", "--force", os.fspath(folder), commit) is None:
            raise ValueError(f"git worktree could not lay out {name}")
    return Revision(f"@{commit[:7]}", folder)


def clear(revision: Revision) -> None:
    """Take a revision's folder away again."""
    _git("worktree", "remove", "--force", os.fspath(revision.source))


def _git(*arguments: str) -> str | None:
    done = subprocess.run(
        ["git", "-C", os.fspath(ROOT), *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else None

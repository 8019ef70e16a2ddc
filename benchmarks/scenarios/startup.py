"""Start-up: the command's help, and a run that finds nothing to do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.model import Case, Contest, Target, figure
from benchmarks.stage import DATA, Stage

HELP, IDLE = "bulkfetch --help", "bulkfetch run, all done before"
EMPTY = "bulkfetch run, an empty list"
LEAST = "click, sqlite3 and an empty anyio.run"

# A list without an id. The settings lie beside the output folder.
_EMPTY = """
printf 'out = "%s"\\n[account]\\ndata_center = "us"\\n' "$1" > "$1.toml"
exec "$2" -m bulkfetch run "$1.toml" --ids /dev/null -q
"""
# A list that an earlier run, which is not measured, has brought home.
_IDLE = """
cd "$2" && exec "$1" -m bulkfetch run idle.toml --ids idle.txt -q
"""
# What a run that asks nobody uses of others' work.
_LEAST = "import click, sqlite3, anyio; anyio.run(anyio.sleep, 0)"


def contests(stage: Stage) -> Sequence[Contest]:
    """Both, what they stand on, and the bare interpreter that neither can undercut."""
    env = stage.ours(HELP, "").env
    empty = stage.shell(EMPTY, _EMPTY, sys.executable, needs=[])
    done = _all_done(env)

    def idle(_: Path) -> Sequence[str]:
        return ["sh", "-c", _IDLE, "sh", sys.executable, os.fspath(done)]

    def python(*words: str) -> Sequence[str]:
        return [sys.executable, *words]

    return [
        Contest(
            name="startup",
            title="Start-up",
            cases=[
                Case(HELP, lambda _: python("-m", "bulkfetch", "--help"), env=env, ours=True),
                Case(IDLE, idle, env=env, ours=True),
                replace(empty, env=env, ours=True),
                Case(LEAST, lambda _: python("-c", _LEAST)),
                Case("python -c pass", lambda _: python("-c", "pass")),
                Case("python -c 'import aiohttp'", lambda _: python("-c", "import aiohttp")),
            ],
            reference="python -c pass",
            repeats=stage.scaled(21, 3),
            notes="All done before: list read, folder locked, journal asked; no request.",
            targets=[
                Target("--help, s", figure(HELP, "wall_s"), 0.2),
                Target("run of nothing to do, s", figure(IDLE, "wall_s"), 0.3),
            ],
        )
    ]


def _all_done(env: Mapping[str, str]) -> Path:
    """Have ten jobs brought home from the built-in stand-in; give the folder."""
    room = DATA / "idle"
    room.mkdir(parents=True, exist_ok=True)
    (room / "idle.toml").write_text('out = "out"\n[account]\ndata_center = "sandbox"\n')
    (room / "idle.txt").write_text("".join(f"55402300000056{number:04d}\n" for number in range(10)))
    subprocess.run(
        [sys.executable, "-m", "bulkfetch", "run", "idle.toml", "--ids", "idle.txt", "-q"],
        cwd=room,
        env={**os.environ, **env},
        check=True,
    )
    return room

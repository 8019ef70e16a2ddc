"""Start-up: the command's help, and a run that finds nothing to do."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.model import Case, Contest, Target, figure
from benchmarks.stage import Stage

HELP, IDLE = "bulkfetch --help", "bulkfetch run, nothing to do"

# A list without an id. The settings lie beside the output folder.
_IDLE = """
printf 'out = "%s"\\n[account]\\ndata_center = "us"\\n' "$1" > "$1.toml"
exec "$2" -m bulkfetch run "$1.toml" --ids /dev/null -q
"""


def contests(stage: Stage) -> Sequence[Contest]:
    """Both, and the bare interpreter that neither can undercut."""
    env = stage.ours(HELP, "").env
    idle = stage.shell(IDLE, _IDLE, sys.executable, needs=[])

    def python(*words: str) -> Sequence[str]:
        return [sys.executable, *words]

    return [
        Contest(
            name="startup",
            title="Start-up",
            cases=[
                Case(HELP, lambda _: python("-m", "bulkfetch", "--help"), env=env, ours=True),
                replace(idle, env=env, ours=True),
                Case("python -c pass", lambda _: python("-c", "pass")),
                Case("python -c 'import aiohttp'", lambda _: python("-c", "import aiohttp")),
            ],
            reference="python -c pass",
            repeats=stage.scaled(11, 3),
            notes="Nothing to do: settings read, folder locked, journal opened, no request.",
            targets=[
                Target("--help, s", figure(HELP, "wall_s"), 0.2),
                Target("run of nothing to do, s", figure(IDLE, "wall_s"), 0.2),
            ],
        )
    ]

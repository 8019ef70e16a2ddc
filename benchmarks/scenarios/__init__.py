"""The scenarios: each module gives the contests of one subject.

`contests(stage)` is all that a module owes; names of contests begin with the module's.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from benchmarks.model import Contest
from benchmarks.stage import Stage

NAMES = (
    "startup",
    "window",
    "stream",
    "extract",
    "formats",
    "bucket",
    "endtoend",
    "small",
    "journal",
    "growth",
    "fleet",
)


def contests(name: str, stage: Stage) -> Sequence[Contest]:
    """Give a scenario's contests."""
    module = importlib.import_module(f"benchmarks.scenarios.{name}")
    found: Sequence[Contest] = module.contests(stage)
    return found

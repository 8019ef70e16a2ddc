"""Every step of a small run cut: the list of steps is what a run was seen to do.

All steps of larger runs: `python -m tests.support.kill_cuts --jobs 3 --cut die|EIO|ENOSPC`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.support.kill_cuts import FREE, cut_run, quick_folder, steps_of
from tests.support.kill_scene import Service, service
from tests.support.kill_steps import Cut, deaths
from tests.support.kill_zygote import Zygote

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Bench:
    """What all cuts of this module share."""

    folder: Path
    server: Service
    zygote: Zygote
    steps: list[str]


@pytest.fixture(scope="module", params=[20, 3000], ids=["small", "larger"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A sandbox, a warm program, and the steps of a run of one job of so many records."""
    options = replace(FREE, records=request.param)
    with quick_folder() as folder, service(folder, options) as server, Zygote() as zygote:
        yield Bench(folder, server, zygote, steps_of(folder, server, zygote))


def test_the_steps_follow_the_order_that_makes_the_promise(bench: Bench) -> None:
    """Body synced and recorded; unpacked, synced, published, recorded; a ZIP's file removed."""
    job = "default.5540230000005680000"
    steps = iter(bench.steps)
    order = [
        f"write {job}.part",
        f"fsync {job}.part",
        f"replace {job}.zip",
        "fsync staging",
        "commit journal.db",
        f"writev {job}.csv.out",
        f"fsync {job}.csv.out",
        "rename 5540230000005680000.csv",
        "fsync out",
        "commit journal.db",
        f"unlink {job}.zip",
    ]
    assert [step for step in order if step not in steps] == []


def test_a_run_killed_after_any_step_is_finished_by_the_next(bench: Bench) -> None:
    """SIGKILL after each step: the next run ends right, and asks only for what was not there."""
    for number in deaths(bench.steps):
        run = cut_run(bench.folder, bench.server, bench.zygote, "die", number)
        if run is not None:
            assert run.first.ended.status == -9, run.step
            # What had been asked for and had not come whole is asked for once more, nothing else.
            assert run.requests <= 2, run.step


def test_any_step_that_fails_ends_the_run_with_words(bench: Bench) -> None:
    """ENOSPC or EIO at each step: exit 3 with code and hint, or no harm; then finished at once."""
    for number, step in enumerate(bench.steps, 1):
        if "window.db" in step or step == "mkdir state":
            continue  # tests/ratelimit has these; each would wait for a period of the window
        cut: Cut = "ENOSPC" if number % 2 else "EIO"
        run = cut_run(bench.folder, bench.server, bench.zygote, cut, number)
        if run is None or run.first.ended.status == 0:
            continue
        assert run.first.ended.status == 3, run.step
        code = "DISK_FULL" if cut == "ENOSPC" else "NOT_WRITABLE"
        assert f"error: {code}: " in run.first.ended.err, run.step
        assert "hint: " in run.first.ended.err, run.step
        assert "Traceback" not in run.first.ended.err, run.step
        assert run.requests <= 2, run.step

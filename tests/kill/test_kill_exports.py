"""Every step of an export cut: from the first page planned to the manifest.

All of them with what each cut left: `python -m tests.support.kill_exports`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.kill_exports import PAGES, Bench, ExportScene, benches, cut_export

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """A sandbox, and a warm program."""
    with benches() as found:
        yield found


def test_an_export_killed_after_any_step_is_finished_by_the_next_call(bench: Bench) -> None:
    """SIGKILL after each step: the same bytes in the end, and no page created again but the one
    whose create call may have left; then its 50 credits are told as wasted."""
    whole = ExportScene(bench.folder / "whole", bench.server)
    steps = whole.run(bench.zygote).steps
    digests, lost = whole.published(), 0
    for number in range(1, len(steps) + 1):
        cut = cut_export(bench, number)
        if cut is None:
            continue
        assert cut.first.ended.status == -9, cut.step
        if cut.left.generation == "COMMITTED":  # nothing was left to do: the next one begins anew
            assert (cut.creates, cut.results) == (PAGES + 1, PAGES + 1), cut.step
            continue
        assert cut.digests == digests, cut.step
        extra = cut.creates - PAGES
        assert extra in ((0, 1) if "CREATING" in cut.left.pages else (0,)), cut.step
        lost += extra
        assert cut.wasted == (50 if "CREATING" in cut.left.pages else 0), cut.step
        # A body that had not come whole is asked for once more; nothing else is.
        assert cut.results <= PAGES + 1, cut.step
    assert lost > 0, "no kill fell between a create call and its record"


def test_any_step_that_fails_ends_the_export_with_words(bench: Bench) -> None:
    """ENOSPC or EIO at each step: exit 3 with code and hint, or no harm; then finished at once."""
    whole = ExportScene(bench.folder / "as a whole", bench.server)
    steps = whole.run(bench.zygote).steps
    digests = whole.published()
    for number, step in enumerate(steps, 1):
        if any(name in step for name in ("control.db", "control.lock", "window.db", "mkdir state")):
            continue  # other tests have these; each would wait for the budget's or window's minute
        cut = cut_export(bench, number, "ENOSPC" if number % 2 else "EIO")
        if cut is None or cut.first.ended.status == 0:
            continue
        err = cut.first.ended.err
        assert cut.first.ended.status == 3, (cut.step, err)
        assert f"error: {'DISK_FULL' if number % 2 else 'NOT_WRITABLE'}: " in err, cut.step
        assert "hint: " in err, cut.step
        assert "Traceback" not in err, cut.step
        assert cut.creates <= PAGES + 1, cut.step
        assert cut.digests == digests or cut.left.generation == "COMMITTED", cut.step

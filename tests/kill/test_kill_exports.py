"""Every step of an export cut: from the first page planned to the manifest.

All of them with what each cut left: `python -m tests.support.kill_exports`.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.kill_exports import OPTIONS, PAGES, Bench, ExportScene, benches, cut_export
from tests.support.kill_steps import deaths
from tests.support.s3_server import s3_server

from bulkfetch.sandbox import SandboxThread

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """A sandbox, and a warm program."""
    with benches() as found:
        yield found


def test_an_export_killed_after_any_step_is_finished_by_the_next_call(bench: Bench) -> None:
    """SIGKILL after each step: the same bytes in the end, and no page created again but the one
    whose create call may have left; then its 50 credits are told as wasted."""
    whole = bench.scene("whole")
    steps = whole.run(bench.zygote).steps
    digests = whole.published()
    for number in deaths(steps):
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
        assert cut.wasted == (50 if "CREATING" in cut.left.pages else 0), cut.step
        # A body that had not come whole is asked for once more; nothing else is.
        assert cut.results <= PAGES + 1, cut.step


@pytest.mark.parametrize("page", range(PAGES))
def test_a_kill_between_a_create_call_and_its_record_costs_one_more_create(
    tmp_path: Path, page: int
) -> None:
    """The service has the job, the program never hears of it: one orphan, told as wasted."""
    faults = {"create": ("",) * page + ("stall_before_head",)}
    with SandboxThread(replace(OPTIONS, faults=faults)) as sandbox:
        killed = ExportScene(tmp_path / "killed", sandbox.url)
        process = killed.program.start("export", "jobs.toml", stdin=subprocess.DEVNULL)
        try:
            while sandbox.call(lambda s: len(s.created())) <= page:
                assert process.poll() is None, "it ended without this create call"
                time.sleep(0.01)
            process.kill()
            process.communicate()
        finally:
            killed.program.close()
        assert "CREATING" in killed.left().pages
        ended = killed.program.run("export", "jobs.toml", "--json")
        assert ended.status == 0, ended.err
        assert ended.records[-2]["credits_wasted"] == 50
        assert sandbox.call(lambda s: len(s.created())) == PAGES + 1
        whole = ExportScene(tmp_path / "whole", sandbox.url)
        assert whole.program.run("export", "jobs.toml").status == 0
        assert killed.published() == whole.published()


def test_any_step_that_fails_ends_the_export_with_words(bench: Bench) -> None:
    """ENOSPC or EIO at each step: exit 3 with code and hint, or no harm; then finished at once."""
    whole = bench.scene("as a whole")
    steps = whole.run(bench.zygote).steps
    digests = whole.published()
    for number, step in enumerate(steps, 1):
        if any(name in step for name in ("control.", "window.", "mkdir state")):
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


def test_an_export_to_a_bucket_killed_after_any_step_is_finished_by_the_next_call(
    bench: Bench,
) -> None:
    """SIGKILL after each step from the first look for a name on: nothing half is named or
    described, nothing is asked of Zoho again, and the next call publishes the same bytes."""
    with s3_server() as server:
        there = replace(bench, bucket=server)
        whole = there.scene("in a bucket")
        steps = whole.run(there.zygote).steps
        digests = whole.published()
        looks = [number for number, step in enumerate(steps, 1) if step.startswith("bucket list")]
        cuts = [
            number
            for number, step in enumerate(steps, 1)
            # After a look, all is as before it; of the disk's steps others have more.
            if number >= looks[1] and step.startswith(("bucket put", "commit", "rmdir", "unlink"))
        ]
        assert sum(steps[number - 1].startswith("bucket put") for number in cuts) == PAGES + 4
        for number in cuts:
            cut = cut_export(there, number)
            if cut is None:
                continue
            assert cut.first.ended.status == -9, cut.step
            if cut.left.generation == "COMMITTED":  # the next one begins anew
                assert (cut.creates, cut.results) == (PAGES + 1, PAGES + 1), cut.step
                continue
            assert (cut.creates, cut.results) == (PAGES, PAGES), cut.step
            assert cut.digests == digests, cut.step
            names = [key for key in server.objects if key.startswith(f"die{number}/Leads/2")]
            assert len({name.split("/")[2] for name in names}) == 1, (cut.step, names)

"""Lists of every kind: names, endings, duplicates, malformed ids, slow and failing iterables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.flow_clock import run_flow
from tests.support.flows import ids, loop_windows, read, settings_for, small, watch

from bulkfetch import Client, Job, Outcome, Report
from bulkfetch.sandbox import Sandbox


def test_names_and_endings(tmp_path: Path) -> None:
    """A job's name is its file's, the ending is the archive's: CSV or ICS."""
    calendar = "554023000000990777"
    jobs: list[str | Job] = [
        Job(ids(1)[0], name="Leads 2026"),
        calendar,
        Job("1", name="Termine.Büro"),
    ]
    seen = run_flow(watch(small(), jobs, tmp_path / "out"))
    names = {path.name for path in (tmp_path / "out").iterdir()} - {".bulkfetch"}
    assert names == {"Leads 2026.csv", f"{calendar}.ics", "Termine.Büro.csv"}
    assert seen.report.done == 3


def test_kept_zips(tmp_path: Path) -> None:
    """keep_zip publishes the archive beside its file, as it came."""
    out, (job,) = tmp_path / "out", ids(1)

    async def main() -> bytes:
        async with Sandbox(small()) as sandbox:
            await watch(sandbox, [Job(job, name="Leads")], out, keep_zip=True)
            body = sandbox.zip_of(job)
            return body.read(0, body.length)

    archive = run_flow(main())
    assert (out / f"{job}.zip").read_bytes() == archive
    assert {path.name for path in out.iterdir()} == {".bulkfetch", "Leads.csv", f"{job}.zip"}


def test_duplicates(tmp_path: Path) -> None:
    """An id that comes again is fetched once and told once."""
    (job, other) = ids(2)
    jobs: list[str | Job] = [Job(job, name="first"), other, Job(job, name="first"), job, other]
    seen = run_flow(watch(small(), jobs, tmp_path / "out"))
    assert sorted(seen.by_id()) == [job, other]
    assert (tmp_path / "out" / "first.csv").is_file()
    assert len(seen.arrivals) == seen.report.done == 2


def test_malformed_ids(tmp_path: Path) -> None:
    """A malformed id is a failed job that names its line, is never asked for, holds up nobody."""
    jobs: list[str | Job] = ["12x", ids(1)[0], Job("abc", origin="ids.txt:17"), "", "1" * 21, "١٢"]
    seen = run_flow(watch(small(), jobs, tmp_path / "out"))
    failed = [outcome for outcome in seen.outcomes if outcome.status == "failed"]
    assert len(failed) == seen.report.failed == 5
    errors = [outcome.error for outcome in failed if outcome.error]
    assert {error.code for error in errors} == {"INVALID_JOB_ID"}
    assert any("ids.txt:17" in error.message for error in errors)
    assert len(seen.arrivals) == seen.report.done == 1


@pytest.mark.parametrize("empty", [[], (), iter([]), {}], ids=["list", "tuple", "iterator", "dict"])
def test_empty(tmp_path: Path, empty: Any) -> None:
    """A list of nothing is done at once, and nobody is asked."""
    seen = run_flow(watch(small(), empty, tmp_path / "out"))
    assert (seen.outcomes, seen.arrivals, seen.windows) == ([], [], [])
    assert seen.report == Report(elapsed_s=seen.report.elapsed_s)
    assert seen.report.ok


def test_slow_source(tmp_path: Path) -> None:
    """Ids that come one by one are fetched as they come."""

    async def trickle() -> AsyncIterator[str]:
        for job in ids(4):
            yield job
            await asyncio.sleep(100)

    seen = run_flow(watch(small(), trickle(), tmp_path / "out"))
    assert seen.seconds() == [0.0, 100.0, 200.0, 300.0]
    assert seen.report.done == 4


@pytest.mark.slow
def test_fast_source(tmp_path: Path) -> None:
    """A source that never waits is read in batches, and no faster than the journal takes them."""
    read = 0

    async def flood() -> AsyncIterator[str]:
        nonlocal read
        for job in ids(9000):
            read += 1
            yield job

    async def main() -> None:
        with loop_windows():
            async with Sandbox(small()) as sandbox:
                made = settings_for(sandbox.url, tmp_path / "out")
                async with Client(made) as client:
                    run = client.fetch(flood())
                    async for _ in run:
                        break
                    # Read ahead of the journal: one batch on its way, one in the stream.
                    admitted = run.progress().counts
                    assert read <= admitted.pending + admitted.done + 2 * 2000 + 1
                    while not run.progress().list_read:
                        await asyncio.sleep(0.1)
                    assert run.progress().counts.pending >= 8980

    run_flow(main())
    assert read == 9000


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "async"])
def test_raising_source(tmp_path: Path, plain: bool) -> None:
    """What the caller's iterable raises is raised where the run is read; nothing else is lost."""
    jobs = ids(30)

    def broken() -> Iterator[str]:
        yield from jobs[:20]
        raise LookupError("the caller's own")

    async def broken_too() -> AsyncIterator[str]:
        for job in broken():
            yield job

    outcomes: list[Outcome] = []

    async def main() -> None:
        with loop_windows():
            async with Sandbox(small()) as sandbox:
                made = settings_for(sandbox.url, tmp_path / "out")
                async with Client(made) as client:
                    run = client.fetch(broken() if plain else broken_too())
                    with pytest.raises(LookupError, match="own"):
                        await read(run, outcomes)
                    assert not run.report.list_read
                    assert not run.report.ok
                    assert run.report.pending + run.report.done == len(outcomes)
                    await asyncio.sleep(100)
                    again = client.fetch(jobs)
                    assert {outcome.status async for outcome in again} == {"done"}
                    assert again.report.ok
                assert len(sandbox.results()) <= 40

    run_flow(main())


@pytest.mark.slow
def test_cleaned_up_source(tmp_path: Path) -> None:
    """An async generator of the caller's is closed when its list is stopped."""
    closed: list[str] = []

    async def endless() -> AsyncIterator[str]:
        try:
            for job in ids(10**6):
                yield job
                await asyncio.sleep(1)
        finally:
            closed.append("closed")

    async def main() -> Report:
        with loop_windows():
            async with Sandbox(small()) as sandbox:
                made = settings_for(sandbox.url, tmp_path / "out")
                async with Client(made) as client:
                    run = client.fetch(endless())
                    async for _ in run:
                        run.stop()
                    return run.report

    report = run_flow(main())
    assert closed == ["closed"]
    assert report.interrupted
    assert not report.list_read

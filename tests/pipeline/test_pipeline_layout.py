"""Paths below the output folder, and the room in staging."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import anyio
import pytest
from tests.support.virtual_clock import run_virtual

from bulkfetch.disk import disk_error
from bulkfetch.errors import DiskFull
from bulkfetch.models import Job
from bulkfetch.pipeline.dispatch import StagingBudget
from bulkfetch.pipeline.layout import OutputLayout

JOB = Job("554023000000568002", "acme.eu", "Leads")


def test_paths(tmp_path: Path) -> None:
    """Everything but what is published lies in .bulkfetch, named by account and id."""
    places = OutputLayout(tmp_path, "out")
    for path in map(Path, (places.part(JOB), places.zip(JOB))):
        assert path.parent == places.staging == tmp_path / ".bulkfetch" / "staging"
        assert path.stem == "acme.eu.554023000000568002"
    assert places.part(JOB) != places.zip(JOB)
    assert Path(places.quarantined(JOB)).parent == places.quarantine


def test_reports(tmp_path: Path) -> None:
    """Paths are told with the folder as the user gave it."""
    places = OutputLayout(tmp_path, "../exports")
    assert places.report(tmp_path / "Leads.csv") == "../exports/Leads.csv"
    assert places.report(places.quarantined(JOB)).startswith("../exports/.bulkfetch/quarantine/")


def test_accounts_do_not_meet(tmp_path: Path) -> None:
    """The same id of two accounts has two places, whatever dots their names hold."""
    places = OutputLayout(tmp_path, "out")
    jobs = [Job("1", "a"), Job("1", "a.1"), Job("11", "a"), Job("1", "b")]
    assert len({places.zip(job) for job in jobs}) == len(jobs)


def test_leftovers(tmp_path: Path) -> None:
    """Half-unpacked files are removed, bodies are told by key, what is not ours is left alone."""
    places = OutputLayout(tmp_path, "out")
    places.prepare()
    places.prepare()
    other = Job("2", "acme.eu")
    half = [places.staging / f"{places.key(JOB)}{end}" for end in (".csv.out", ".zip.keep")]
    bodies = map(Path, (places.zip(JOB), places.part(JOB), places.part(other)))
    for path in (*half, *bodies):
        path.write_bytes(b"PK")
    (places.staging / "notes.txt").write_text("mine")
    assert places.leftovers() == {places.key(JOB), places.key(other)}
    assert not any(path.exists() for path in half)
    assert Path(places.zip(JOB)).exists()
    assert (places.staging / "notes.txt").exists()


def test_room() -> None:
    """Who waits for room in staging goes on as soon as there is some, and not before."""

    async def main() -> list[int]:
        room = StagingBudget(100)
        went: list[int] = []

        async def wait() -> None:
            await room.wait()
            went.append(round(asyncio.get_running_loop().time()))

        await room.wait()
        room.add(60)
        await room.wait()
        room.add(60)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            tasks.start_soon(wait)
            await asyncio.sleep(10)
            room.remove(10)  # 110: still too much
            await asyncio.sleep(10)
            room.remove(10)  # 100: full
            await asyncio.sleep(10)
            room.remove(1)
        return went

    assert run_virtual(main()) == [30, 30]


def test_errors_name_what_the_user_gave(tmp_path: Path) -> None:
    """Below the output folder and of itself; what lies elsewhere keeps its name."""
    places = OutputLayout(tmp_path, "../exports")
    for path, told in (
        (places.zip(JOB), "../exports/.bulkfetch/staging/acme.eu.554023000000568002.zip"),
        (places.out, "../exports"),
        (tmp_path.parent / "other", str(tmp_path.parent / "other")),
    ):
        error = disk_error(OSError(errno.EFBIG, "File too large", str(path)))
        assert places.as_given(error).message == f"File too large: {told}"
    assert places.as_given(DiskFull("full")).message == "full"


def test_a_disk_without_room_starts_nothing() -> None:
    """With ZIPs in staging one waits for what their end frees; without, it is the end."""

    async def main() -> None:
        lacking = [True]
        full = DiskFull("nothing fits")
        room = StagingBudget(100, lambda: full if lacking[0] else None)
        with pytest.raises(DiskFull, match="nothing fits"):
            await room.wait()
        room.add(10)
        waiting = asyncio.create_task(room.wait())
        await anyio.sleep(5)
        assert not waiting.done()
        lacking[0] = False
        room.remove(10)
        await waiting
        lacking[0] = True
        room.add(10)
        waiting = asyncio.create_task(room.wait())
        await anyio.sleep(5)
        room.remove(10)
        with pytest.raises(DiskFull):
            await waiting

    run_virtual(main())

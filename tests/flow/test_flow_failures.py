"""Lists in which some jobs fail: the good ones come home, the others are told of, once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.flow_clock import run_flow
from tests.support.flows import (
    Seen,
    csv_job,
    ids,
    loop_windows,
    settings_for,
    small,
    staged,
    watch,
)

from bulkfetch import Client, Job, Outcome
from bulkfetch.sandbox import Sandbox

GOOD = ids(6)
GONE, FORBIDDEN, DAMAGED, BUSY = (f"554023000000990{end}" for end in ("404", "403", "666", "429"))


def test_some_fail(tmp_path: Path) -> None:
    """Good, unknown, forbidden, damaged, one 429: each ends as it should, and is told as such.

    The same list again asks only for what is neither done nor failed for good.
    """
    out = tmp_path / "out"
    jobs = [*GOOD, GONE, FORBIDDEN, DAMAGED, BUSY]

    async def both() -> tuple[Seen, Seen]:
        async with Sandbox(small()) as sandbox:
            return await watch(sandbox, jobs, out), await watch(sandbox, jobs, out)

    first, second = run_flow(both())
    told = first.by_id()
    assert {told[job].status for job in [*GOOD, BUSY]} == {"done"}
    for job, code, http in (
        (GONE, "RESOURCE_NOT_FOUND", 404),
        (FORBIDDEN, "NO_PERMISSION", 403),
        (DAMAGED, "ZIP_CORRUPT", None),
    ):
        error = told[job].error
        assert error is not None
        assert (told[job].status, error.code, error.http) == ("failed", code, http)
        assert error.hint
    assert [told[job].attempts for job in (GOOD[0], GONE, DAMAGED, BUSY)] == [1, 1, 2, 2]
    kept = told[DAMAGED].quarantine
    assert kept is not None
    assert Path(kept).stat().st_size == told[DAMAGED].zip_bytes
    assert (first.report.done, first.report.failed, first.report.pending) == (7, 3, 0)
    assert {outcome.job_id for outcome in first.report.failures} == {GONE, FORBIDDEN, DAMAGED}
    assert not first.report.ok
    assert staged(out) == []

    assert {arrival.job_id for arrival in second.arrivals} == {DAMAGED}
    again = second.by_id()
    assert {again[job].skipped for job in [*GOOD, BUSY]} == {True}
    assert again[GOOD[0]].files == told[GOOD[0]].files
    assert (again[GONE].attempts, again[GONE].skipped) == (1, True)
    assert again[GONE].error == told[GONE].error
    assert second.report.failed_before == 2
    assert (second.report.done, second.report.skipped, second.report.failed) == (0, 7, 3)


def test_mended_at_the_server(tmp_path: Path) -> None:
    """What failed for good comes home when it is asked for again."""
    options = small(jobs={GOOD[0]: csv_job(error="NO_PERMISSION")})

    async def both() -> tuple[Seen, Seen]:
        async with Sandbox(options) as sandbox:
            first = await watch(sandbox, GOOD[:2], tmp_path / "out")
            sandbox.put_job(GOOD[0], csv_job())
            again: list[str | Job] = [Job(GOOD[0], again=True), GOOD[1]]
            return first, await watch(sandbox, again, tmp_path / "out")

    first, second = run_flow(both())
    assert first.by_id()[GOOD[0]].status == "failed"
    assert second.by_id()[GOOD[0]].status == "done"
    assert second.report.ok


@pytest.mark.parametrize(
    ("fault", "code", "requests"),
    [
        ("INTERNAL_ERROR", "INTERNAL_ERROR", 5),
        ("close_in_body", "TRUNCATED", 5),
        ("reset_before_head", "CONNECTION_LOST", 5),
        ("zip_truncated", "ZIP_CORRUPT", 2),
        ("zip_traversal", "ZIP_UNSAFE", 1),
        ("zip_encrypted", "ZIP_ENCRYPTED", 1),
        ("zip_program", "ZIP_CONTENT", 1),
        ("html_200", "NOT_A_ZIP", 1),
        ("gzip_encoding", "ENCODED_BODY", 1),
    ],
)
def test_hopeless(tmp_path: Path, fault: str, code: str, requests: int) -> None:
    """A job that fails each time is failed after its tries; the others do not mind."""
    options = small(faults={GOOD[0]: (fault,) * 9})
    seen = run_flow(watch(options, GOOD, tmp_path / "out"))
    outcome = seen.by_id()[GOOD[0]]
    assert outcome.error is not None
    assert (outcome.status, outcome.error.code, outcome.attempts) == ("failed", code, requests)
    assert len(seen.arrivals) == len(GOOD) - 1 + requests
    assert seen.report.done == len(GOOD) - 1
    assert staged(tmp_path / "out") == []


@pytest.mark.slow
def test_quarantine(tmp_path: Path) -> None:
    """Refused archives are kept up to a limit; the oldest go first, too large ones at once."""
    out, jobs = tmp_path / "out", ids(5)
    options = small(faults=dict.fromkeys(jobs, ("zip_encrypted",)))
    run_flow(watch(options, jobs[:1], tmp_path / "probe"))
    (one,) = (tmp_path / "probe" / ".bulkfetch" / "quarantine").iterdir()
    size = one.stat().st_size + 20  # sizes differ a little

    for job in jobs:
        seen = run_flow(watch(options, [job], out, limits={"quarantine_bytes": 3 * size}))
        assert seen.outcomes[0].quarantine is not None
    left = sorted(path.name for path in (out / ".bulkfetch" / "quarantine").iterdir())
    assert left == [f"default.{job}.zip" for job in jobs[2:]]

    once_more = [Job(jobs[0], again=True)]
    tight = run_flow(watch(options, once_more, out, limits={"quarantine_bytes": size // 2}))
    assert tight.outcomes[0].quarantine is None
    assert left == sorted(path.name for path in (out / ".bulkfetch" / "quarantine").iterdir())
    assert staged(out) == []


def test_folder_in_the_way(tmp_path: Path) -> None:
    """Where a folder has the final name the job fails; moved away, no request is needed."""
    out = tmp_path / "out"
    way = out / f"{GOOD[0]}.csv"
    way.mkdir(parents=True)
    (way / "mine").write_text("mine")

    async def both() -> tuple[Outcome, Seen]:
        with loop_windows():
            return await within()

    async def within() -> tuple[Outcome, Seen]:
        async with Sandbox(small()) as sandbox, Client(settings_for(sandbox.url, out)) as client:
            outcomes = [outcome async for outcome in client.fetch(GOOD[:1])]
            assert (way / "mine").read_text() == "mine"
            way.rename(tmp_path / "elsewhere")
            client_run = client.fetch(GOOD[:1])
            seen = Seen(outcomes=[outcome async for outcome in client_run])
            seen.arrivals = sandbox.results()
            return outcomes[0], seen

    first, second = run_flow(both())
    assert first.error is not None
    assert (first.status, first.error.code) == ("failed", "PUBLISH_CONFLICT")
    assert second.by_id()[GOOD[0]].status == "done"
    assert len(second.arrivals) == 1
    assert way.is_file()
    assert staged(out) == []


@pytest.mark.slow
def test_crowded_quarantine(tmp_path: Path) -> None:
    """Many refused at once, and far more than fit: each is told of, and the run goes on."""
    jobs = ids(60)
    options = small(requests=1000, faults=dict.fromkeys(jobs[1:], ("zip_encrypted",)))
    seen = run_flow(
        watch(
            options,
            jobs,
            tmp_path / "out",
            window={"requests": 1000, "concurrency": 60},
            limits={"quarantine_bytes": 2500, "threads": 8},
        )
    )
    assert (seen.report.done, seen.report.failed) == (1, 59)
    left = list((tmp_path / "out" / ".bulkfetch" / "quarantine").iterdir())
    assert sum(path.stat().st_size for path in left) <= 2500

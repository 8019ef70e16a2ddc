"""What an earlier run has ended: looked at, told, and asked for again only where it may help."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.flow_clock import run_flow
from tests.support.flows import Seen, csv_job, ids, small, staged, watch

from bulkfetch import Job
from bulkfetch.journal import JournalReader
from bulkfetch.sandbox import Sandbox

ONE, TWO, THREE = ids(3)


@pytest.mark.parametrize(
    "lose",
    [
        Path.unlink,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes() + b"more"),
        lambda path: path.rename(path.with_suffix(".moved")),
        lambda path: (path.rename(path.with_suffix(".real")), path.mkdir()),
    ],
    ids=["removed", "emptied", "grown", "moved", "a folder"],
)
def test_a_lost_file_is_told_and_not_fetched(
    tmp_path: Path, lose: Callable[[Path], object]
) -> None:
    """A done job whose file is gone or has another size is `missing`; nothing is asked."""
    out = tmp_path / "out"

    async def runs() -> tuple[Seen, Seen]:
        async with Sandbox(small()) as sandbox:
            first = await watch(sandbox, [ONE, TWO], out)
            path = Path(first.by_id()[ONE].files[0].path)
            content = path.read_bytes()
            lose(path)
            return first, await _seen_beside(path, content, sandbox, out)

    first, second = run_flow(runs())
    told = second.by_id()
    assert (told[ONE].status, told[ONE].skipped, told[ONE].missing) == ("done", True, True)
    assert (told[TWO].skipped, told[TWO].missing) == (True, False)
    assert told[ONE].files == first.by_id()[ONE].files
    assert (second.report.missing, second.report.skipped) == (1, 2)
    assert second.report.ok
    assert not second.arrivals


async def _seen_beside(path: Path, content: bytes, sandbox: Sandbox, out: Path) -> Seen:
    """Run again, and put the lost file back for those who look at the folder afterwards."""

    def restore(_: object) -> None:
        if path.is_dir():
            path.rmdir()
        path.write_bytes(content)

    return await watch(sandbox, [ONE, TWO], out, reading=restore)


def test_again_fetches_what_is_done(tmp_path: Path) -> None:
    """A job that is asked for again is fetched and published once more, also over what it lost."""
    out = tmp_path / "out"

    async def runs() -> tuple[Seen, Seen, Seen]:
        async with Sandbox(small()) as sandbox:
            first = await watch(sandbox, [ONE, TWO], out)
            Path(first.by_id()[ONE].files[0].path).write_bytes(b"")
            second = await watch(sandbox, [Job(ONE, again=True), TWO], out)
            return first, second, await watch(sandbox, [ONE, TWO], out)

    first, second, third = run_flow(runs())
    assert [arrival.job_id for arrival in second.arrivals] == [ONE]
    assert (second.report.done, second.report.skipped) == (1, 1)
    assert second.by_id()[ONE].files == first.by_id()[ONE].files
    assert second.by_id()[ONE].attempts == 2
    assert third.report.skipped == 2
    assert not third.arrivals


def test_again_that_fails_takes_nothing_away(tmp_path: Path) -> None:
    """Where the result has expired meanwhile, the file stays and still belongs to the job."""
    out = tmp_path / "out"

    async def runs() -> Seen:
        async with Sandbox(small()) as sandbox:
            await watch(sandbox, [Job(ONE, name="Leads")], out)
            sandbox.put_job(ONE, csv_job(error="RESOURCE_NOT_FOUND"))
            again = Job(ONE, name="Leads", again=True)
            return await watch(sandbox, [again], out, foreign={"Leads.csv"})

    seen = run_flow(runs())
    assert seen.by_id()[ONE].status == "failed"
    assert (out / "Leads.csv").stat().st_size > 0


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        ("RESOURCE_NOT_FOUND", False),
        ("NO_PERMISSION", False),
        ("AUTHORIZATION_FAILED", False),
        ("INTERNAL_ERROR", True),
    ],
)
def test_what_failed_for_good_is_not_asked_again(tmp_path: Path, error: str, asked: bool) -> None:
    """A plain run asks again only for what failed for a passing cause, and counts the others."""
    out = tmp_path / "out"

    async def runs() -> tuple[Seen, Seen, Seen]:
        async with Sandbox(small(jobs={ONE: csv_job(error=error)})) as sandbox:
            first = await watch(sandbox, [ONE, TWO], out)
            second = await watch(sandbox, [ONE, TWO], out)
            return first, second, await watch(sandbox, [Job(ONE, again=True)], out, foreign=_TWO)

    first, second, third = run_flow(runs())
    assert bool(second.arrivals) is asked
    assert second.report.failed_before == (0 if asked else 1)
    assert (second.report.failed, second.report.skipped) == (1, 1)
    told = second.by_id()[ONE]
    assert (told.status, told.skipped) == ("failed", not asked)
    assert told.error == first.by_id()[ONE].error
    assert third.arrivals


_TWO = {f"{TWO}.csv"}


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["zip_encrypted", "zip_traversal", "zip_program", "zip_bomb"])
def test_a_hostile_archive_is_not_asked_again(tmp_path: Path, fault: str) -> None:
    """An archive that was refused for what it is costs one request, however often it is listed."""
    out = tmp_path / "out"

    async def runs() -> Seen:
        async with Sandbox(small(faults={ONE: (fault, fault)})) as sandbox:
            await watch(sandbox, [ONE], out)
            return await watch(sandbox, [ONE], out)

    seen = run_flow(runs())
    assert not seen.arrivals
    assert seen.by_id()[ONE].skipped


def test_a_damaged_archive_is_asked_again(tmp_path: Path) -> None:
    """Damage may be the network's or the disk's: the next run asks once more."""
    out = tmp_path / "out"

    async def runs() -> Seen:
        async with Sandbox(small(faults={ONE: ("zip_bit_flip", "zip_bit_flip")})) as sandbox:
            await watch(sandbox, [ONE], out)
            return await watch(sandbox, [ONE], out)

    assert run_flow(runs()).by_id()[ONE].status == "done"


@pytest.mark.slow
def test_fresh_ids_go_before_second_tries(tmp_path: Path) -> None:
    """What failed before waits until every id that was never tried has been asked for."""
    out, old, fresh = tmp_path / "out", ids(25), ids(25, first=1001)

    async def runs() -> Seen:
        options = small(faults=dict.fromkeys(old, ("close_in_body",) * 5))
        async with Sandbox(options) as sandbox:
            await watch(sandbox, old, out, limits={"tries": 1})
            return await watch(sandbox, [*old, *fresh], out, limits={"tries": 1})

    asked = list(dict.fromkeys(arrival.job_id for arrival in run_flow(runs()).arrivals))
    assert asked[:25] == fresh
    assert asked[25:] == old


@pytest.mark.parametrize(
    ("job", "code"),
    [
        (Job(ONE, name="../UP"), "INVALID_NAME"),
        (Job(ONE, name="/tmp/evil"), "INVALID_NAME"),
        (Job(ONE, name="a\\b"), "INVALID_NAME"),
        (Job(ONE, name=".."), "INVALID_NAME"),
        (Job(ONE, name=".bulkfetch"), "INVALID_NAME"),
        (Job(ONE, name=""), "INVALID_NAME"),
        (Job(ONE, name="nul"), "INVALID_NAME"),
        (Job(ONE, name="a\x00b"), "INVALID_NAME"),
        (Job(ONE, name="a\udc80"), "INVALID_NAME"),
        (Job(ONE, name="x" * 300), "INVALID_NAME"),
        (Job(ONE, name="Leads.csv"), "INVALID_NAME"),
        (Job(ONE, name=5), "INVALID_NAME"),  # type: ignore[arg-type]
        (Job(ONE, account="nope"), "UNKNOWN_ACCOUNT"),
        (Job(ONE, account=""), "UNKNOWN_ACCOUNT"),
        (Job(ONE, account="../../x"), "UNKNOWN_ACCOUNT"),
        (Job(ONE, account=None), "UNKNOWN_ACCOUNT"),  # type: ignore[arg-type]
        (Job("../../etc/passwd"), "INVALID_JOB_ID"),
        (Job(int(ONE)), "INVALID_JOB_ID"),  # type: ignore[arg-type]
        (int(ONE), "INVALID_JOB_ID"),
        (None, "INVALID_JOB_ID"),
        (b"123", "INVALID_JOB_ID"),
        (["1"], "INVALID_JOB_ID"),
    ],
    ids=repr,
)
def test_a_bad_job_fails_alone(tmp_path: Path, job: Job, code: str) -> None:
    """It is a failed outcome with its own id, costs no request, reaches the journal, stops nobody.

    Nothing is written outside of the output folder.
    """
    out = tmp_path / "deep" / "out"
    seen = run_flow(watch(small(), [TWO, job, THREE], out))
    told = seen.by_id()
    assert {told[TWO].status, told[THREE].status} == {"done"}
    (failed,) = (outcome for outcome in seen.outcomes if outcome.status == "failed")
    assert failed.error is not None
    assert failed.error.code == code
    assert (ONE in failed.job_id) is (ONE in repr(job))
    assert [arrival.job_id for arrival in seen.arrivals] == [TWO, THREE]
    assert {path.name for path in (tmp_path / "deep").iterdir()} == {"out"}
    with JournalReader.open(out / ".bulkfetch") as reader:
        recorded = [(each.job_id, each.error and each.error.code) for each in reader.failed()]
    assert recorded == [(failed.job_id, code)]
    assert staged(out) == []


class _Mute:
    def __repr__(self) -> str:
        raise ValueError("says nothing of itself")


@pytest.mark.parametrize(
    ("job", "code"),
    [
        # 198 bytes as composed, 594 as written
        (Job(ONE, name=unicodedata.normalize("NFD", "\uac01" * 66)), "INVALID_NAME"),
        (Job(ONE, name=["Leads"]), "INVALID_NAME"),  # type: ignore[arg-type]
        (Job(ONE, account=["default"]), "UNKNOWN_ACCOUNT"),  # type: ignore[arg-type]
        (Job(ONE, account={}), "UNKNOWN_ACCOUNT"),  # type: ignore[arg-type]
        (10**5000, "INVALID_JOB_ID"),
        (_Mute(), "INVALID_JOB_ID"),
        (Job(_Mute()), "INVALID_JOB_ID"),  # type: ignore[arg-type]
        (Job(ONE, account=_Mute()), "UNKNOWN_ACCOUNT"),  # type: ignore[arg-type]
        (Job(ONE, name=_Mute()), "INVALID_NAME"),  # type: ignore[arg-type]
    ],
    ids=[
        "decomposed name",
        "list as name",
        "list as account",
        "dict as account",
        "number that Python does not write",
        "mute",
        "mute id",
        "mute account",
        "mute name",
    ],
)
def test_a_job_that_can_hardly_be_told_fails_alone(tmp_path: Path, job: Any, code: str) -> None:
    """Whatever a list holds, it is one failed outcome, and the others are fetched."""
    seen = run_flow(watch(small(), [TWO, job, THREE], tmp_path / "out"))
    (failed,) = (outcome for outcome in seen.outcomes if outcome.status == "failed")
    assert failed.error is not None
    assert failed.error.code == code
    assert seen.report.done == 2


def test_a_bad_job_that_was_put_right_is_fetched(tmp_path: Path) -> None:
    """A job that could not be asked for is asked for once its list is right."""
    out = tmp_path / "out"

    async def runs() -> Seen:
        async with Sandbox(small()) as sandbox:
            await watch(sandbox, [Job(ONE, name="a/b")], out)
            return await watch(sandbox, [Job(ONE, name="a-b")], out)

    assert run_flow(runs()).report.done == 1


def test_a_bad_mention_of_a_done_job_leaves_it_done(tmp_path: Path) -> None:
    """The slip is told; what was done stays done."""
    out = tmp_path / "out"

    async def runs() -> tuple[Seen, Seen]:
        async with Sandbox(small()) as sandbox:
            await watch(sandbox, [ONE], out)
            slip = await watch(sandbox, [Job(ONE, name="a/b")], out, foreign={f"{ONE}.csv"})
            return slip, await watch(sandbox, [ONE], out)

    slip, after = run_flow(runs())
    assert slip.by_id()[ONE].status == "failed"
    assert (after.report.skipped, after.arrivals) == (1, [])

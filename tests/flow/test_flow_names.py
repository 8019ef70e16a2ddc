"""Who gets a name: one owner for each published path, and no file of anybody else is replaced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.flow_clock import run_flow
from tests.support.flows import Seen, ids, small, staged, watch
from tests.support.journals import drain, opened

from bulkfetch import Job
from bulkfetch.sandbox import JobSpec, Sandbox

ONE, TWO, THREE = ids(3)


def _code(seen: Seen, job_id: str) -> str | None:
    error = seen.by_id()[job_id].error
    return error.code if error else None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Job(ONE, name="Leads"), Job(TWO, name="Leads")),
        (Job(ONE, name="Leads"), Job(TWO, name="LEADS")),
        (Job(ONE, name="Stra\u00dfe"), Job(TWO, name="STRASSE")),
        (Job(ONE, name="caf\u00e9"), Job(TWO, name="cafe\u0301")),
        (Job(ONE, name=TWO), Job(TWO)),
        (Job(ONE), Job(TWO, name=ONE)),
    ],
    ids=["same", "case", "fold", "normal form", "name is an id", "id is a name"],
)
def test_the_second_job_of_a_name_fails(tmp_path: Path, first: Job, second: Job) -> None:
    """Of two jobs in one list that would be one file, the second fails and costs no request.

    It does so in each later run of the same list, too.
    """
    out = tmp_path / "out"

    async def twice() -> list[Seen]:
        async with Sandbox(small()) as sandbox:
            return [await watch(sandbox, [first, second, THREE], out) for _ in range(2)]

    for seen in run_flow(twice()):
        told = seen.by_id()
        assert told[ONE].status == told[THREE].status == "done"
        assert (told[TWO].status, _code(seen, TWO)) == ("failed", "PUBLISH_CONFLICT")
        assert TWO not in {arrival.job_id for arrival in seen.arrivals}
        assert ONE in str(told[TWO].error)
        assert (seen.report.failed, seen.report.ok) == (1, False)


def test_the_first_mention_keeps_a_name_whoever_is_sooner(tmp_path: Path) -> None:
    """It is the list's order that decides, not the order in which bodies come home."""
    options = small(faults={ONE: ("INTERNAL_ERROR", "INTERNAL_ERROR")})
    jobs = [Job(ONE, name="Leads"), Job(TWO, name="Leads")]
    seen = run_flow(watch(options, jobs, tmp_path / "out"))
    assert (seen.by_id()[ONE].status, _code(seen, TWO)) == ("done", "PUBLISH_CONFLICT")


def test_one_id_in_two_accounts_is_one_file(tmp_path: Path) -> None:
    """Two accounts with a job of the same id would publish one file: the second fails."""
    jobs = [Job(ONE, "a"), Job(ONE, "b"), Job(TWO, "b", "Deals")]
    seen = run_flow(watch(small(), jobs, tmp_path / "out", accounts={"a": {}, "b": {}}))
    ends = [(each.job_id, each.account, each.status) for each in seen.outcomes]
    assert sorted(ends) == [(ONE, "a", "done"), (ONE, "b", "failed"), (TWO, "b", "done")]


def test_kept_zips_are_owned_too(tmp_path: Path) -> None:
    """With keep_zip two jobs of one id under two names would leave one archive: refused."""
    jobs = [Job(ONE, "a", "Leads"), Job(ONE, "b", "Deals")]
    seen = run_flow(
        watch(small(), jobs, tmp_path / "out", accounts={"a": {}, "b": {}}, keep_zip=True)
    )
    assert sorted(each.status for each in seen.outcomes) == ["done", "failed"]
    (failure,) = seen.report.failures
    assert failure.error is not None
    assert "of account a" in failure.error.message
    assert "keep_zip" in failure.error.hint  # another name would not help


def test_one_id_under_two_names_is_refused(tmp_path: Path) -> None:
    """The first name counts; the contradiction is a failure of its own, with the id."""
    jobs: list[str | Job] = [
        Job(ONE, name="Leads"),
        TWO,
        Job(ONE, name="Other", origin="a.csv:4"),
    ]
    seen = run_flow(watch(small(), jobs, tmp_path / "out"))
    ends = [(each.job_id, each.status, each.error and each.error.code) for each in seen.outcomes]
    assert sorted(ends, key=str) == sorted(
        [(ONE, "done", None), (TWO, "done", None), (ONE, "failed", "INVALID_NAME")], key=str
    )
    assert (seen.report.done, seen.report.failed) == (2, 1)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        ".bulkfetch",
        "Leads.csv",
        f"{TWO}.csv",
    }


def test_a_later_list_takes_a_name_over(tmp_path: Path) -> None:
    """A new id under an old name replaces the file; the older job says who superseded it."""
    out = tmp_path / "out"

    async def nights() -> list[Seen]:
        async with Sandbox(small()) as sandbox:
            first, second = [Job(ONE, name="Leads")], [Job(TWO, name="Leads")]
            nights = [(first, set()), (second, set()), (first, {"Leads.csv"}), (second, set())]
            return [await watch(sandbox, jobs, out, foreign=not_told) for jobs, not_told in nights]

    seen = run_flow(nights())
    old, new = seen[2].by_id()[ONE], seen[3].by_id()[TWO]
    assert (old.status, old.skipped, old.superseded_by, old.files) == ("done", True, TWO, ())
    assert (old.missing, seen[2].report.superseded, seen[2].report.missing) == (False, 1, 0)
    assert (new.status, new.skipped, new.superseded_by) == ("done", True, None)
    assert new.files == seen[1].by_id()[TWO].files
    assert not seen[2].arrivals
    assert not seen[3].arrivals


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("first", [0, 1])
def test_names_that_were_a_line_off_are_put_right(tmp_path: Path, done: bool, first: int) -> None:
    """A job that is named otherwise gives its name up to the next one of the same list."""
    out = tmp_path / "out"
    wrong = [Job(ONE, name="Deals"), Job(TWO, name="Tasks")]
    right = [Job(ONE, name="Leads", again=done), Job(TWO, name="Deals", again=done)]

    async def nights() -> Seen:
        async with Sandbox(small()) as sandbox:
            if done:
                await watch(sandbox, wrong, out)
            else:
                async with opened(out) as journal:
                    await journal.enqueue(wrong)
            left = {"Tasks.csv"} if done else set()
            return await watch(sandbox, [right[first], right[1 - first]], out, foreign=left)

    seen = run_flow(nights())
    names = [Path(seen.by_id()[job].files[0].path).name for job in (ONE, TWO)]
    assert names == ["Leads.csv", "Deals.csv"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_of_the_users_is_not_replaced(tmp_path: Path, overwrite: bool) -> None:
    """A regular file that was there before is a conflict, unless it may be overwritten.

    The archive is kept: once the way is free, the next run needs no request.
    """
    out = tmp_path / "out"
    out.mkdir()
    (out / "Deals.csv").write_bytes(b"mine\n")

    async def runs() -> list[Seen]:
        async with Sandbox(small()) as sandbox:
            jobs = [Job(ONE, name="Deals")]
            (out / "spare").mkdir()
            foreign = set() if overwrite else {"Deals.csv"}
            first = await watch(sandbox, jobs, out, foreign=foreign, overwrite=overwrite)
            if overwrite:
                return [first]
            assert (out / "Deals.csv").read_bytes() == b"mine\n"
            (out / "Deals.csv").rename(out / "spare" / "Deals.csv")
            return [first, await watch(sandbox, jobs, out)]

    seen = run_flow(runs())
    if overwrite:
        assert seen[0].by_id()[ONE].status == "done"
        assert (out / "Deals.csv").read_bytes() != b"mine\n"
        return
    assert _code(seen[0], ONE) == "PUBLISH_CONFLICT"
    assert (out / "spare" / "Deals.csv").read_bytes() == b"mine\n"
    assert seen[1].by_id()[ONE].status == "done"
    assert not seen[1].arrivals
    assert staged(out) == []


def test_a_published_file_that_was_changed_is_the_users(tmp_path: Path) -> None:
    """A newer job does not replace what somebody has put in a published file's place."""
    out = tmp_path / "out"

    async def runs() -> Seen:
        async with Sandbox(small()) as sandbox:
            await watch(sandbox, [Job(ONE, name="Deals")], out)
            (out / "Deals.csv").write_bytes(b"edited by hand\n")
            return await watch(sandbox, [Job(TWO, name="Deals")], out, foreign={"Deals.csv"})

    seen = run_flow(runs())
    assert _code(seen, TWO) == "PUBLISH_CONFLICT"
    assert (out / "Deals.csv").read_bytes() == b"edited by hand\n"


@pytest.mark.parametrize("what", ["file", "folder", "link"])
@pytest.mark.parametrize("keep_zip", [False, True])
def test_a_conflict_names_the_file_as_the_user_gave_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, keep_zip: bool
) -> None:
    """The message has the path as `out` has it, not one from the root of the file system."""
    monkeypatch.chdir(tmp_path)
    name = f"{ONE}.zip" if keep_zip else f"{ONE}.csv"
    Path("out").mkdir()
    match what:
        case "file":
            Path("out", name).write_bytes(b"mine")
        case "folder":
            Path("out", name).mkdir()
        case _:
            Path("out", name).symlink_to("elsewhere")
    seen = run_flow(watch(small(), [ONE], Path("out"), foreign={name}, keep_zip=keep_zip))
    (failure,) = seen.report.failures
    assert failure.error is not None
    assert failure.error.message.startswith(f"out/{name} ")
    assert str(tmp_path) not in failure.error.message


@pytest.mark.parametrize("first", [".", "../out", "absolute"])
@pytest.mark.parametrize("then", [".", "../out", "absolute"])
def test_a_file_belongs_to_its_job_from_wherever_it_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, then: str
) -> None:
    """However `out` was written, the next night's job replaces the file that is the older one's."""
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.chdir(out)

    async def nights() -> list[Seen]:
        async with Sandbox(small()) as sandbox:
            return [
                await watch(
                    sandbox,
                    [Job(job_id, name="Leads")],
                    out if written == "absolute" else Path(written),
                    foreign=not_told,
                )
                for job_id, written, not_told in (
                    (ONE, first, set()),
                    (TWO, then, set()),
                    (ONE, first, {"Leads.csv"}),
                )
            ]

    seen = run_flow(nights())
    assert seen[1].by_id()[TWO].status == "done"
    assert seen[2].by_id()[ONE].superseded_by == TWO


def test_a_kept_zip_does_not_replace_a_file(tmp_path: Path) -> None:
    """Neither does a kept archive replace one that bulkfetch did not publish."""
    out = tmp_path / "out"
    out.mkdir()
    (out / f"{ONE}.zip").write_bytes(b"mine")
    seen = run_flow(watch(small(), [ONE], out, keep_zip=True))
    assert _code(seen, ONE) == "PUBLISH_CONFLICT"
    assert (out / f"{ONE}.zip").read_bytes() == b"mine"
    assert sorted(path.name for path in out.iterdir()) == [".bulkfetch", f"{ONE}.zip"]


def test_a_name_in_another_spelling_takes_over_and_back(tmp_path: Path) -> None:
    """Three nights, one name in two spellings: no night's own file is in the way of the next."""
    out = tmp_path / "out"
    sizes = {job_id: JobSpec(records=10 + number) for number, job_id in enumerate(ids(3))}

    async def nights() -> list[Seen]:
        async with Sandbox(small(jobs=sizes)) as sandbox:
            names = ((ONE, "Leads"), (TWO, "LEADS"), (THREE, "Leads"))
            others = {"Leads.csv", "LEADS.csv"}
            return [
                await watch(
                    sandbox, [Job(job_id, name=name)], out, foreign=others - {f"{name}.csv"}
                )
                for job_id, name in names
            ]

    assert [seen.report.done for seen in run_flow(nights())] == [1, 1, 1]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ([Job(ONE, name="a/b")], "INVALID_NAME"),
        ([Job(TWO, name="Leads"), Job(ONE, name="Leads")], "PUBLISH_CONFLICT"),
        ([Job(TWO, name=ONE), Job(ONE)], "PUBLISH_CONFLICT"),
    ],
    ids=["bad name", "same name", "name of a newer one"],
)
def test_a_list_that_is_wrong_loses_no_zip(tmp_path: Path, bad: list[Job], code: str) -> None:
    """What was complete before a slip in the list is unpacked without a request after it."""
    out = tmp_path / "out"
    body = Sandbox(small()).zip_of(ONE)
    archive = body.read(0, body.length)

    async def downloaded() -> None:
        async with opened(out) as journal:
            await journal.enqueue([Job(ONE)])
            (entry,) = await drain(journal)
            await journal.downloaded(entry, zip_bytes=len(archive), attempts=1)
        (out / ".bulkfetch" / "staging").mkdir()
        (out / ".bulkfetch" / "staging" / f"default.{ONE}.zip").write_bytes(archive)

    asyncio.run(downloaded())

    async def runs() -> tuple[Seen, Seen]:
        async with Sandbox(small()) as sandbox:
            slip = await watch(sandbox, bad, out)
            others = {path.name for path in out.glob("*.csv")}
            return slip, await watch(sandbox, [Job(ONE, name="Right")], out, foreign=others)

    slip, right = run_flow(runs())
    assert _code(slip, ONE) == code
    assert (right.report.done, right.arrivals) == (1, [])


@pytest.mark.parametrize("spelling", ["Leads", "LEADS"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_new_job_does_not_replace_one_that_its_own_list_has_as_done(
    tmp_path: Path, spelling: str, overwrite: bool
) -> None:
    """In one list a name has one owner also where the job that has the file is listed later.

    The older file stays, the newer archive is kept; once the lists are apart it takes over.
    """
    out = tmp_path / "out"
    old, new = Job(ONE, name="Leads"), Job(TWO, name=spelling)

    async def nights() -> list[Seen]:
        async with Sandbox(small()) as sandbox:
            first = await watch(sandbox, [old], out)
            both = [
                await watch(sandbox, jobs, out, overwrite=overwrite)
                for jobs in ([new, old], [new, old])
            ]
            others = {"Leads.csv"} - {f"{spelling}.csv"}
            return [first, *both, await watch(sandbox, [new], out, foreign=others)]

    first, both, again, alone = run_flow(nights())
    for seen in (both, again):
        assert (_code(seen, TWO), seen.by_id()[ONE].files) == (
            "PUBLISH_CONFLICT",
            first.by_id()[ONE].files,
        )
        assert (seen.report.failed, seen.report.skipped) == (1, 1)
    assert [len(seen.arrivals) for seen in (both, again, alone)] == [1, 0, 0]
    assert alone.by_id()[TWO].status == "done"


def test_a_done_job_that_its_own_list_has_just_replaced_is_told(tmp_path: Path) -> None:
    """Where the list goes on after the newer one was published, the older one fails in words."""
    out = tmp_path / "out"
    published = asyncio.Event()

    async def listed() -> AsyncIterator[Job]:
        yield Job(TWO, name="Leads")
        await published.wait()
        yield Job(ONE, name="Leads")

    async def nights() -> Seen:
        async with Sandbox(small()) as sandbox:
            await watch(sandbox, [Job(ONE, name="Leads")], out)
            return await watch(sandbox, listed(), out, reading=lambda _: published.set())

    seen = run_flow(nights())
    assert seen.by_id()[TWO].status == "done"
    assert _code(seen, ONE) == "PUBLISH_CONFLICT"
    assert (seen.report.done, seen.report.failed, seen.report.skipped) == (1, 1, 0)

"""The commands for what earlier runs left: verify, --again, --failed, --pending, --overwrite."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from tests.support.journals import drain, failed, opened
from tests.support.programs import IDS, Ended, Program

from bulkfetch import Job, Outcome
from bulkfetch.models import Failure

Call = Callable[..., Ended]

GONE = "554023000000990404"  # the sandbox knows no such result


def _jobs(ended: Ended) -> dict[str, dict[str, object]]:
    return {each["id"]: each for each in ended.records if each["type"] == "job"}


def test_verify_finds_every_change(program: Program, call: Call) -> None:
    """A file that is gone, cut, altered in place or no file any more is named; exit 1, else 0."""
    name = program.settings()
    assert call("run", name, *IDS[:5]).status == 0
    assert call("verify", "exports").status == 0
    out = program.folder / "exports"
    (out / f"{IDS[0]}.csv").unlink()
    (out / f"{IDS[1]}.csv").write_bytes(b"")
    altered = bytearray((out / f"{IDS[2]}.csv").read_bytes())
    altered[-3] ^= 1
    (out / f"{IDS[2]}.csv").write_bytes(altered)
    (out / f"{IDS[3]}.csv").rename(out / "moved")
    (out / f"{IDS[3]}.csv").mkdir()
    ended = call("verify", "exports", "--json")
    assert ended.status == 1
    problems = {each["id"]: each["problem"] for each in ended.records if each["type"] == "file"}
    assert problems == dict(
        zip(IDS[:5], ("MISSING", "SIZE", "SHA256", "MISSING", None), strict=True)
    )
    assert ended.records[-1] == {"type": "summary", "files": 5, "bad": 4}
    text = call("verify", "exports")
    assert text.out.splitlines()[-1] == "5 files, 4 of them changed or missing"
    assert call("verify", "exports", IDS[4]).status == 0
    assert call("verify", "exports", IDS[0]).status == 1


@pytest.mark.parametrize("out", ["exports", "./exports", "exports//", "../{}/exports/.", "{}"])
def test_verify_takes_the_folder_in_any_spelling(program: Program, call: Call, out: str) -> None:
    """It finds the files however OUT is written, and from within OUT."""
    call("run", program.settings(), IDS[0])
    folder = str(program.folder / "exports") if out == "{}" else out.format(program.folder.name)
    assert call("verify", folder).status == 0
    (program.folder / "exports" / f"{IDS[0]}.csv").unlink()
    assert call("verify", folder).status == 1


def test_verify_says_what_it_cannot_compare(program: Program, call: Call) -> None:
    """Without a digest from the run only the size is compared, and that is said."""
    call("run", program.settings("sha256 = false"), *IDS[:2])
    ended = call("verify", "exports")
    assert (ended.status, ended.out) == (
        0,
        "2 files, all as they were published; of 2 only the size is known (sha256 = false)\n",
    )
    assert "only the size" not in call("verify", "exports", "--json").out


def test_a_link_in_a_files_place_is_missing(program: Program, call: Call) -> None:
    """As a run has it: the file itself is gone, wherever the link leads."""
    name = program.settings()
    call("run", name, IDS[0])
    file = program.folder / "exports" / f"{IDS[0]}.csv"
    file.rename(program.folder / "moved.csv")
    file.symlink_to("../moved.csv")
    (record, _) = call("verify", "exports", "--json").records
    assert record["problem"] == "MISSING"
    assert _jobs(call("run", name, IDS[0], "--json"))[IDS[0]]["missing"] is True


def test_verify_leaves_out_what_was_superseded(program: Program, call: Call) -> None:
    """A job whose name a newer one took over has no file to compare."""
    name = program.settings()
    for number in (0, 1):
        (program.folder / "list.csv").write_text(f"id,name\n{IDS[number]},Leads\n")
        assert call("run", name, "--ids", "list.csv", "--ids-column", "id").status == 0
    ended = call("verify", "exports", "--json")
    assert (ended.status, [each.get("id") for each in ended.records]) == (0, [IDS[1], None])
    assert "1 superseded by newer ones" in call("status", "exports").out


def test_verify_where_no_run_has_been(call: Call) -> None:
    """It is a usage error, with words, and nothing is made."""
    ended = call("verify", "nowhere")
    assert (ended.status, ended.out) == (2, "")
    assert "no run has written there" in ended.err


def test_a_missing_file_is_told_and_fetched_again_on_request(program: Program, call: Call) -> None:
    """A plain run tells of it and asks nothing; --again missing fetches just that."""
    name = program.settings()
    call("run", name, *IDS[:3])
    lost = program.folder / "exports" / f"{IDS[1]}.csv"
    content = lost.read_bytes()
    lost.unlink()
    ended = call("run", name, *IDS[:3], "--json")
    assert ended.status == 0
    assert _jobs(ended)[IDS[1]]["missing"] is True
    assert "missing" not in _jobs(ended)[IDS[0]]
    assert (ended.records[-1]["missing"], ended.records[-1]["requests"]) == (1, 0)
    assert "--again missing" in ended.err
    ended = call("run", name, "--again", "missing", "--json")
    assert (ended.status, set(_jobs(ended)), ended.records[-1]["done"]) == (0, {IDS[1]}, 1)
    assert lost.read_bytes() == content
    assert call("verify", "exports").status == 0
    ended = call("run", name, "--again", "missing")
    assert (ended.status, ended.err) == (0, "no file is missing: nothing to do\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    "option", [("--again", "missing"), ("--failed",), ("--again", "missing", "--failed")]
)
@pytest.mark.parametrize("whole", [False, True], ids=["pending", "its ZIP here"])
def test_the_same_command_goes_on_after_a_kill(
    program: Program, call: Call, option: tuple[str, ...], whole: bool
) -> None:
    """A run that was killed on its way leaves nothing that the same command does not take up."""
    name = program.settings()
    out = program.folder / "exports"
    call("run", name, *IDS[:3])
    (out / f"{IDS[0]}.csv").unlink()

    async def as_killed() -> None:
        async with opened(out) as journal:
            await journal.enqueue([Job(IDS[1], again=True)])
            (entry,) = await drain(journal)
            await journal.failed(entry, failed(entry, out))
        async with opened(out) as journal:
            await journal.enqueue([Job(job_id, again=True) for job_id in IDS[:2]])
            entries = await drain(journal)
            if whole:
                for entry in entries:
                    await journal.downloaded(entry, zip_bytes=9, attempts=2)

    asyncio.run(as_killed())
    planned = call("plan", name, *IDS[:3], "--json").records[-1]
    assert (planned["to_fetch"], planned["downloaded"]) == ((0, 2) if whole else (2, 0))
    verified = call("verify", "exports", "--json")
    assert (verified.status, verified.records[-1]) == (
        1,
        {"type": "summary", "files": 3, "bad": 1},
    )
    ended = call("run", name, *option, "--json")
    assert ended.status == 0
    expected = ({IDS[0]} if "missing" in option else set()) | (
        {IDS[1]} if "--failed" in option else set()
    )
    assert set(_jobs(ended)) == expected
    assert all(job["status"] == "done" for job in _jobs(ended).values())


@pytest.mark.slow
def test_missing_takes_what_failed_on_its_way_back(program: Program, call: Call) -> None:
    """A lost file whose job failed for a passing cause is still lost; one that expired is told."""
    name = program.settings()
    out = program.folder / "exports"
    call("run", name, *IDS[:2])
    for job_id in IDS[:2]:
        (out / f"{job_id}.csv").unlink()

    async def as_failed() -> None:
        async with opened(out) as journal:
            await journal.enqueue([Job(job_id, again=True) for job_id in IDS[:2]])
            passing, lasting = await drain(journal)
            await journal.failed(passing, failed(passing, out))
            gone = Failure("RESOURCE_NOT_FOUND", "gone", "", 404)
            await journal.failed(lasting, Outcome(IDS[1], "default", "failed", error=gone))

    asyncio.run(as_failed())
    ended = call("run", name, "--again", "missing", "--json")
    assert set(_jobs(ended)) == {IDS[0]}
    assert (out / f"{IDS[0]}.csv").exists()


@pytest.mark.slow
def test_failed_of_an_account_that_is_put_back(program: Program, call: Call) -> None:
    """--failed without an account's table says so, and asks for its jobs once it is there again."""
    tables = '[accounts.{}]\ndata_center = "sandbox"\n[accounts.{}.window]\nrequests = 1000\n'
    both = "".join(tables.format(name, name) for name in ("default", "b"))
    (program.folder / "both.toml").write_text(f'out = "exports"\n{both}')
    (program.folder / "one.toml").write_text(f'out = "exports"\n{tables.format("c", "c")}')
    out = program.folder / "exports"

    async def as_failed() -> None:
        async with opened(out) as journal:
            await journal.enqueue([Job(IDS[0], "b")])
            (entry,) = await drain(journal, "b")
            await journal.failed(entry, failed(entry, out))

    asyncio.run(as_failed())
    ended = call("run", "one.toml", "--failed", "--json")
    assert _jobs(ended)[IDS[0]]["error"]["code"] == "UNKNOWN_ACCOUNT"  # type: ignore[index]
    assert call("run", "one.toml", "--failed", "--json").status == 0
    ended = call("run", "both.toml", "--failed", "--json")
    assert (ended.status, _jobs(ended)[IDS[0]]["status"]) == (0, "done")


def test_again_keeps_the_name(program: Program, call: Call) -> None:
    """A job that is asked for again by its id is published under the name of before."""
    (program.folder / "list.csv").write_text(f"id,name\n{IDS[0]},Leads\n")
    name = program.settings()
    call("run", name, "--ids", "list.csv", "--ids-column", "id")
    (program.folder / "exports" / "Leads.csv").write_bytes(b"")
    ended = call("run", name, "--again", IDS[0])
    assert (ended.status, ended.out) == (0, "exports/Leads.csv\n")
    assert sorted(each.name for each in (program.folder / "exports").iterdir()) == [
        ".bulkfetch",
        "Leads.csv",
    ]


def test_again_joins_a_list(program: Program, call: Call) -> None:
    """Beside a list given by hand, what is asked for again is fetched as well."""
    name = program.settings()
    call("run", name, IDS[0])
    ended = call("run", name, IDS[0], IDS[1], "--again", IDS[0], "--json")
    assert (ended.records[-1]["done"], ended.records[-1]["skipped"]) == (2, 0)


@pytest.mark.parametrize("word", ["lost", "12x", ""])
def test_again_takes_ids(program: Program, call: Call, word: str) -> None:
    """Anything but an id or the word `missing` is a usage error."""
    name = program.settings()
    call("run", name, IDS[0])
    assert call("run", name, "--again", word).status == 2


def test_what_failed_for_good_is_counted_and_asked_on_request(program: Program, call: Call) -> None:
    """A plain run says how many there are and asks nothing; --failed asks, under its name."""
    (program.folder / "list.csv").write_text(f"id,name\n{GONE},Leads\n{IDS[0]},Deals\n")
    name = program.settings()
    command = ("run", name, "--ids", "list.csv", "--ids-column", "id")
    assert call(*command).status == 1
    ended = call(*command, "--json")
    assert (ended.status, ended.records[-1]["requests"]) == (1, 0)
    assert (ended.records[-1]["failed"], ended.records[-1]["failed_before"]) == (1, 1)
    assert _jobs(ended)[GONE]["skipped"] is True
    assert _jobs(ended)[GONE]["error"]["code"] == "RESOURCE_NOT_FOUND"  # type: ignore[index]
    text = call(*command)
    assert "1 job failed permanently in an earlier run and was not requested again" in text.err
    assert "retry the failed jobs" not in text.err
    planned = call("plan", name, "--ids", "list.csv", "--ids-column", "id", "--json")
    assert (planned.records[-1]["to_fetch"], planned.records[-1]["failed_before"]) == (0, 1)
    ended = call("run", name, "--failed", "--json")
    assert (set(_jobs(ended)), ended.records[-1]["requests"]) == ({GONE}, 1)


def test_pending_takes_what_earlier_lists_have_left(program: Program, call: Call) -> None:
    """Under its name and without the list; what is done or has failed for good is not asked for."""
    rows = f"id,name\n{IDS[0]},Leads\n{GONE},Deals\n{IDS[1]},Tasks\n"
    (program.folder / "list.csv").write_text(rows)
    name = program.settings()
    call("run", name, "--ids", "list.csv", "--ids-column", "id")
    out = program.folder / "exports"

    async def listed() -> None:
        async with opened(out) as journal:
            await journal.enqueue([Job(IDS[2], "default", "Calls")])

    asyncio.run(listed())
    ended = call("run", name, "--pending", "--json")
    assert ended.status == 0
    assert {
        job_id: job["files"][0]["path"]  # type: ignore[index]
        for job_id, job in _jobs(ended).items()
    } == {IDS[2]: "exports/Calls.csv"}
    ended = call("run", name, "--pending", "--json")
    assert (ended.status, _jobs(ended), ended.records[-1]["requests"]) == (0, {}, 0)


def test_failed_leaves_out_what_only_the_list_can_put_right(program: Program, call: Call) -> None:
    """Bad names, accounts and ids reach status, keep their id and code, and are not asked for."""
    rows = f"id,account,name\n{IDS[0]},,a/b\n{IDS[1]},nope,\nx12,,\n{IDS[2]},,fine\n"
    (program.folder / "list.csv").write_text(rows)
    name = program.settings()
    ended = call("run", name, "--ids", "list.csv", "--ids-column", "id", "--json")
    codes = {
        job_id: job["error"]["code"]  # type: ignore[index]
        for job_id, job in _jobs(ended).items()
        if job["error"]
    }
    expected = {IDS[0]: "INVALID_NAME", IDS[1]: "UNKNOWN_ACCOUNT", "x12": "INVALID_JOB_ID"}
    assert (ended.status, codes) == (1, expected)
    status = call("status", "exports", "--json")
    told = {each["id"]: each["error"]["code"] for each in status.records if each["type"] == "job"}
    assert told == expected
    ended = call("run", name, "--failed")
    assert (ended.status, ended.out) == (0, "")
    assert ended.err == "each failed job needs its hint followed first: nothing to do\n"


def test_failed_tells_how_many_it_leaves_out(program: Program, call: Call) -> None:
    """Beside what is asked for again, the number of those that only a change can mend."""
    rows = f"id,name\n{IDS[0]},a/b\n{IDS[1]},same\n{IDS[2]},SAME\nx12,\n"
    (program.folder / "list.csv").write_text(rows)
    name = program.settings()
    call("run", name, "--ids", "list.csv", "--ids-column", "id")
    ended = call("run", name, "--failed", "--json")
    assert _jobs(ended).keys() == {IDS[2]}
    assert "2 jobs that failed are left out: their hints come first\n" in ended.err


def test_that_nothing_has_failed_or_is_pending_is_no_warning(program: Program, call: Call) -> None:
    """Each of --failed, --pending and --again missing says what there is none of, with 0."""
    name = program.settings()
    assert call("run", name, IDS[0]).status == 0
    for options, said in (
        (["--failed"], "no job has failed"),
        (["--pending"], "no job is pending"),
        (
            ["--failed", "--pending", "--again", "missing"],
            "no job has failed, no job is pending, no file is missing",
        ),
    ):
        ended = call("run", name, *options)
        assert (ended.status, ended.out, ended.err) == (0, "", f"{said}: nothing to do\n")
    assert call("run", name, "--failed", "--fail-empty").status == 3


def test_a_conflict_in_a_list_is_told(program: Program, call: Call) -> None:
    """Two rows of one name: one file, the other row fails with PUBLISH_CONFLICT, exit 1."""
    rows = f"id,name\n{IDS[0]},Leads\n{IDS[1]},Leads\n{IDS[2]},leads\n"
    (program.folder / "list.csv").write_text(rows)
    ended = call("run", program.settings(), "--ids", "list.csv", "--ids-column", "id", "--json")
    assert ended.status == 1
    statuses = {job_id: job["status"] for job_id, job in _jobs(ended).items()}
    assert statuses == {IDS[0]: "done", IDS[1]: "failed", IDS[2]: "failed"}
    assert {
        job["error"]["code"]  # type: ignore[index]
        for job in _jobs(ended).values()
        if job["error"]
    } == {"PUBLISH_CONFLICT"}


@pytest.mark.parametrize("way", ["option", "setting"])
def test_overwrite(program: Program, call: Call, way: str) -> None:
    """A file of the user's is replaced only with --overwrite or overwrite = true."""
    own = program.folder / "exports" / f"{IDS[0]}.csv"
    own.parent.mkdir()
    own.write_bytes(b"mine")
    ended = call("run", program.settings(), IDS[0])
    assert ended.status == 1
    assert "PUBLISH_CONFLICT" in ended.err
    assert "--overwrite" in ended.err
    assert own.read_bytes() == b"mine"
    name = program.settings("overwrite = true" if way == "setting" else "")
    options = ["--overwrite"] if way == "option" else []
    assert call("run", name, IDS[0], *options).status == 0
    assert own.read_bytes() != b"mine"


def test_a_superseded_job_says_by_whom(program: Program, call: Call) -> None:
    """The nightly use: a new id under an old name; the old list tells of it in --json."""
    name = program.settings()
    for number in (0, 1):
        (program.folder / f"{number}.csv").write_text(f"id,name\n{IDS[number]},Leads\n")
        call("run", name, "--ids", f"{number}.csv", "--ids-column", "id")
    ended = call("run", name, "--ids", "0.csv", "--ids-column", "id", "--json")
    job = _jobs(ended)[IDS[0]]
    assert (job["status"], job["superseded_by"], job["files"]) == ("done", IDS[1], [])
    assert json.loads(ended.out.splitlines()[-1])["superseded"] == 1

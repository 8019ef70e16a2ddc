"""What a result is published as."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest
from tests.support.flow_clock import run_flow
from tests.support.flows import csv_job, ids, loop_windows, settings_for, small, staged, watch
from tests.support.zips import STORED, Item, pack

from bulkfetch import Client, Job, Outcome
from bulkfetch.destination import folder
from bulkfetch.disk import rename_into_place
from bulkfetch.errors import NotWritable
from bulkfetch.models import Format
from bulkfetch.sandbox import JobSpec

CSV_ID, ICS_ID, BARE_ID = ids(3)
OPTIONS = small(
    jobs={
        CSV_ID: csv_job(records=7),
        ICS_ID: JobSpec(kind="ics", records=5),
        BARE_ID: JobSpec(content=pack(Item(data=b"a,b\n1,2\n", method=STORED))),
    }
)


def published(out: Path) -> set[str]:
    """Name what is published."""
    return {path.name for path in out.iterdir()} - {".bulkfetch"}


@pytest.mark.parametrize(
    "formats", [("csv.gz",), ("csv", "csv.gz"), ("parquet",), ("csv.gz", "parquet")], ids=" ".join
)
def test_formats(tmp_path: Path, formats: tuple[Format, ...]) -> None:
    """Each table in each format, a calendar as it is; the next run finds all of them there."""
    out = tmp_path / "out"
    for skipped in (False, True):
        seen = run_flow(watch(OPTIONS, [CSV_ID, ICS_ID, BARE_ID], out, formats=formats))
        outcomes = seen.by_id()
        for job in (CSV_ID, BARE_ID):
            names = [Path(file.path).name for file in outcomes[job].files]
            assert names == [f"{job}.{each}" for each in formats]
        (calendar,) = outcomes[ICS_ID].files
        assert Path(calendar.path).name == f"{ICS_ID}.ics"
        assert [outcomes[job].records for job in (CSV_ID, ICS_ID, BARE_ID)] == [7, 5, 1]
        assert {outcome.skipped for outcome in seen.outcomes} == {skipped}
    assert staged(out) == []


def test_a_job_is_missing_where_one_of_its_files_is(tmp_path: Path) -> None:
    """A job is done while all of its files are there."""
    out = tmp_path / "out"
    formats: tuple[Format, ...] = ("csv", "csv.gz")
    run_flow(watch(OPTIONS, [CSV_ID], out, formats=formats))
    (out / f"{CSV_ID}.csv.gz").rename(tmp_path / "away")

    async def again() -> Outcome:
        with loop_windows():
            async with Client(settings_for("http://127.0.0.1:9", out, formats=formats)) as client:
                (outcome,) = [outcome async for outcome in client.fetch([CSV_ID])]
                return outcome

    assert run_flow(again()).missing


def test_a_file_in_the_way_of_one_format_holds_back_all(tmp_path: Path) -> None:
    """PUBLISH_CONFLICT: nothing is published; once the way is free no request is needed."""
    out = tmp_path / "out"
    out.mkdir()
    (out / f"{CSV_ID}.csv.gz").write_bytes(b"mine")
    mine = frozenset({f"{CSV_ID}.csv.gz"})
    seen = run_flow(watch(OPTIONS, [CSV_ID], out, formats=("csv", "csv.gz"), foreign=mine))
    (outcome,) = seen.outcomes
    assert outcome.error is not None
    assert outcome.error.code == "PUBLISH_CONFLICT"
    assert published(out) == mine
    (out / f"{CSV_ID}.csv.gz").unlink()
    seen = run_flow(watch(OPTIONS, [CSV_ID], out, formats=("csv", "csv.gz")))
    assert (seen.report.done, seen.report.requests) == (1, 0)


def test_another_format_needs_no_request_where_the_archive_is_here(tmp_path: Path) -> None:
    """What was downloaded and not published is published as the next run says."""
    out = tmp_path / "out"
    (out / CSV_ID).mkdir(parents=True)  # a folder of another name: nothing to do with it
    (out / f"{CSV_ID}.csv").mkdir()
    foreign = frozenset({CSV_ID, f"{CSV_ID}.csv"})
    seen = run_flow(watch(OPTIONS, [CSV_ID], out, foreign=foreign))
    assert seen.report.failed == 1
    seen = run_flow(watch(OPTIONS, [CSV_ID], out, foreign=foreign, formats=("csv.gz",)))
    assert (seen.report.done, seen.report.requests) == (1, 0)


@pytest.mark.parametrize("kept", [CSV_ID, BARE_ID], ids=["size known", "size unknown"])
def test_what_was_published_and_not_recorded_is_replaced(tmp_path: Path, kept: str) -> None:
    """Killed between two names: the next run puts both there, whatever the first has become."""
    out = tmp_path / "out"
    done: list[str] = []

    def cut(staged: str, final: str, *, replace: bool) -> None:
        if done:
            raise OSError("cut")
        rename_into_place(staged, final, replace=replace)
        done.append(final)

    both: tuple[Format, ...] = ("csv.gz", "csv")
    with patch.object(folder, "rename_into_place", cut), pytest.raises(NotWritable):
        run_flow(watch(OPTIONS, [kept], out, formats=both))
    assert published(out) == {f"{kept}.csv.gz"}
    content = (out / f"{kept}.csv.gz").read_bytes()
    (out / f"{kept}.csv.gz").write_bytes(bytes(len(content)))  # as another version would have it
    seen = run_flow(watch(OPTIONS, [kept], out, formats=both))
    assert (seen.report.done, seen.report.requests) == (1, 0)


def test_what_is_no_table_is_kept_until_the_formats_are_others(tmp_path: Path) -> None:
    """NOT_CONVERTIBLE: nothing is published, the ZIP stays; another format needs no request."""
    out = tmp_path / "out"
    ragged = small(jobs={CSV_ID: JobSpec(content=pack(Item(data=b"a,b\n1,2\n3\n")))})
    seen = run_flow(watch(ragged, [CSV_ID], out, formats=("csv.gz", "parquet")))
    (outcome,) = seen.outcomes
    assert outcome.error is not None
    assert (outcome.error.code, seen.report.requests) == ("NOT_CONVERTIBLE", 1)
    assert published(out) == set()
    assert staged(out) == [f"default.{CSV_ID}.zip"]
    seen = run_flow(watch(ragged, [CSV_ID], out, formats=("csv.gz",)))
    assert (seen.report.done, seen.report.requests) == (1, 0)
    assert published(out) == {f"{CSV_ID}.csv.gz"}
    assert staged(out) == []


def test_a_newer_job_takes_the_names_that_it_publishes(tmp_path: Path) -> None:
    """The older job is superseded where its file was replaced, and keeps what was not."""
    out, (one, two) = tmp_path / "out", ids(2, 50)
    run_flow(watch(small(), [Job(one, name="Leads")], out, formats=("csv.gz",)))
    other = frozenset({"Leads.csv.gz"})
    seen = run_flow(watch(small(), [Job(two, name="Leads")], out, foreign=other))
    assert published(out) == {"Leads.csv", "Leads.csv.gz"}
    assert seen.report.done == 1
    seen = run_flow(watch(small(), [Job(one, name="Leads")], out, foreign={"Leads.csv"}))
    assert [outcome.superseded_by for outcome in seen.outcomes] == [None]
    three = ids(1, 60)[0]
    run_flow(
        watch(small(), [Job(three, name="Leads")], out, formats=("csv.gz",), foreign={"Leads.csv"})
    )
    seen = run_flow(watch(small(), [Job(one, name="Leads")], out, foreign={"Leads.csv", *other}))
    assert [outcome.superseded_by for outcome in seen.outcomes] == [three]

"""The journal over runs: what goes in, in which order it comes out, what stays known."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from tests.support.journals import done, drain, failed, jobs, opened, skipped

from bulkfetch.journal import AccountCounts, Admitted, Counts, Journal, JournalReader
from bulkfetch.journal.schema import STEPS, open_to_write
from bulkfetch.models import Job

pytestmark = pytest.mark.anyio


@pytest.mark.slow
async def test_list_order_and_duplicates(tmp_path: Path) -> None:
    """A list of 20,000 ids comes out in its order, each id once, however it is cut into batches."""
    ids = [str(554023000000000000 + n * 7919 % 20_000) for n in range(20_000)]
    listed = jobs(*ids, *ids[:500])
    async with opened(tmp_path) as journal:
        for start in range(0, len(listed), 3_000):
            await journal.enqueue(listed[start : start + 3_000])
        entries = await drain(journal, limit=777)
        assert [entry.job.id for entry in entries] == ids
        assert journal.counts == Counts(pending=20_000)


async def test_admit_tells_by_account(tmp_path: Path) -> None:
    """A batch is answered by account: to do, done before, and mentioned twice."""
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1", "2", "3"))
        for entry in await drain(journal):
            await journal.done(entry, done(entry, tmp_path))
    async with opened(tmp_path) as journal:
        batch = [*jobs("4", "2", "4", "1", "2"), *jobs("12", "9", account="eu")]
        assert (await journal.enqueue(batch)).accounts == {
            "default": Admitted(pending=1, already_done=2, duplicates=2),
            "eu": Admitted(pending=2, already_done=0, duplicates=0),
        }
        again = await journal.enqueue(jobs("1", "4"))
        assert again.accounts == {"default": Admitted(duplicates=2)}
        assert journal.counts == Counts(pending=3, skipped=2)
        assert [entry.job.id for entry in await journal.take("eu", 10)] == ["12", "9"]


async def test_an_empty_batch_is_no_matter(tmp_path: Path) -> None:
    """An empty batch changes nothing and an account nobody named has nothing to do."""
    async with opened(tmp_path) as journal:
        assert (await journal.enqueue([])).accounts == {}
        assert await journal.take("default", 10) == []


async def test_leading_zeros_are_other_jobs(tmp_path: Path) -> None:
    """Ids are text: 7, 07 and 20 digits are three jobs and come back as they were written."""
    ids = ["7", "07", "00000000000000000007"]
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs(*ids))
        assert [entry.job.id for entry in await drain(journal)] == ids


async def test_each_job_is_handed_out_once(tmp_path: Path) -> None:
    """A job is taken once a run, and what is admitted later is taken later."""
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1", "2", "3"))
        assert [entry.job.id for entry in await journal.take("default", 2)] == ["1", "2"]
        assert [entry.job.id for entry in await journal.take("default", 2)] == ["3"]
        assert await journal.take("default", 2) == []
        await journal.enqueue(jobs("5", "1"))
        assert [entry.job.id for entry in await journal.take("default", 2)] == ["5"]


async def test_what_is_done_stays_done(tmp_path: Path) -> None:
    """A done job is not to do again: the next run gives its outcome as skipped, in list order."""
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1", "2", "3"))
        outcomes = {}
        for entry in await drain(journal):
            outcomes[entry.job.id] = done(entry, tmp_path)
            await journal.done(entry, outcomes[entry.job.id])
        assert journal.counts == Counts(done=3)
        assert await skipped(journal) == []
    for _ in range(2):
        async with opened(tmp_path) as journal:
            await journal.enqueue(jobs("3", "1", "4", "2"))
            assert [entry.job.id for entry in await drain(journal)] == ["4"]
            expected = [dataclasses.replace(outcomes[id], skipped=True) for id in ("3", "1", "2")]
            assert await skipped(journal, limit=2) == expected
            assert journal.counts == Counts(pending=1, skipped=3)


async def test_what_was_not_listed_again_is_left_alone(tmp_path: Path) -> None:
    """A run works on its own list: jobs of earlier lists are neither taken nor counted."""
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1", "2"))
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("2", "3"))
        assert [entry.job.id for entry in await drain(journal)] == ["2", "3"]
        assert journal.counts == Counts(pending=2)


async def test_failed_is_to_do_again(tmp_path: Path) -> None:
    """A job that failed is not handed out again in its run, but in the next, with its attempts."""
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1", "2"))
        first, _ = await drain(journal)
        await journal.failed(first, failed(first, tmp_path, attempts=4))
        assert await journal.take("default", 10) == []
        assert journal.counts == Counts(failed=1, pending=1)
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1"))
        (entry,) = await drain(journal)
        assert (entry.state, entry.attempts) == ("pending", 4)
        assert journal.counts == Counts(pending=1)


async def test_a_staged_zip_is_remembered(tmp_path: Path) -> None:
    """A downloaded job comes back as downloaded, until it is found damaged."""
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1", "2"))
        first, second = await drain(journal)
        await journal.downloaded(first, zip_bytes=4096, attempts=2)
        await journal.downloaded(second, zip_bytes=1, attempts=1)
        await journal.back_to_pending(second)
        assert journal.counts == Counts(pending=2)
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("2", "1"))
        second, first = await drain(journal)
        assert (first.state, first.zip_bytes, first.attempts) == ("downloaded", 4096, 2)
        assert (second.state, second.zip_bytes, second.attempts) == ("pending", None, 1)


async def test_keys_last(tmp_path: Path) -> None:
    """A job's key is the same in every run."""
    keys = []
    for _ in range(2):
        async with opened(tmp_path) as journal:
            await journal.enqueue(jobs("1", "2"))
            keys.append([entry.key for entry in await drain(journal)])
    assert keys[0] == keys[1]


async def test_attempts_ride_along(tmp_path: Path) -> None:
    """Attempts that nothing followed are written when the journal is closed."""
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1"))
        (entry,) = await drain(journal)
        await journal.attempted(entry, 1)
        await journal.attempted(entry, 2)
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1"))
        assert (await drain(journal))[0].attempts == 2


async def test_a_new_name_counts_until_done(tmp_path: Path) -> None:
    """The newest list names a job that is not done; a done one keeps the file it has."""
    async with opened(tmp_path) as journal:
        await journal.enqueue([Job("1", name="Leads"), Job("2", name="Deals")])
        first, _ = await drain(journal)
        await journal.done(first, done(first, tmp_path))
    async with opened(tmp_path) as journal:
        await journal.enqueue([Job("1", name="People"), Job("2", name="Sales")])
        assert [entry.job for entry in await drain(journal)] == [Job("2", name="Sales")]
        (outcome,) = await skipped(journal)
        assert outcome.files[0].path == str(tmp_path / "Leads.csv")


async def test_a_job_ends_once(tmp_path: Path) -> None:
    """Ending a job that has ended is refused and counts nothing; its neighbours do not notice."""
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1", "2"))
        first, second = await drain(journal)
        await journal.done(first, done(first, tmp_path))
        with pytest.raises(ValueError, match="job 1 has ended"):
            await journal.failed(first, failed(first, tmp_path))
        await journal.done(second, done(second, tmp_path))
        assert journal.counts == Counts(done=2)


async def test_paths_follow_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are given back as the user names the folder today, from wherever they look."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    out = Path("exports")
    async with opened(out) as journal:
        await journal.enqueue(jobs("1", "2"))
        first, second = await drain(journal)
        await journal.done(first, done(first, out))
        await journal.failed(second, failed(second, out))
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name, expected in (
        ("../exports", "../exports/1.csv"),
        (str(tmp_path / "exports"), str(tmp_path / "exports" / "1.csv")),
    ):
        with JournalReader.open(Path(name) / ".bulkfetch") as reader:
            one, two = reader.outcomes()
        assert one.files[0].path == expected
        assert two.quarantine == os.path.join(name, ".bulkfetch/quarantine/2.zip")
    monkeypatch.chdir(tmp_path / "exports")
    async with opened(Path(".")) as journal:
        await journal.enqueue(jobs("1", "2"))
        assert (await skipped(journal))[0].files[0].path == "1.csv"
        (second,) = await drain(journal)
        await journal.done(second, done(second, Path(".")))
    with JournalReader.open(tmp_path / "exports/.bulkfetch") as reader:
        assert [outcome.files[0].path for outcome in reader.outcomes()] == [
            str(tmp_path / "exports/1.csv"),
            str(tmp_path / "exports/2.csv"),
        ]


async def test_closing_twice(tmp_path: Path) -> None:
    """A journal may be closed twice, and refuses work afterwards."""
    journal = await Journal.open(tmp_path / ".bulkfetch")
    await journal.aclose()
    await journal.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await journal.enqueue(jobs("1"))


async def test_rest_leaves_one_file(tmp_path: Path) -> None:
    """A journal at rest is one file, with nothing beside it."""
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1"))
        assert (tmp_path / ".bulkfetch/journal.db-wal").exists()
    assert [path.name for path in (tmp_path / ".bulkfetch").iterdir()] == ["journal.db"]


async def test_a_journal_of_before_owners_learns_them(tmp_path: Path) -> None:
    """Of two old jobs with one path the newer is its owner, the older is superseded by it."""
    folder = tmp_path / ".bulkfetch"
    folder.mkdir()
    old = open_to_write(folder / "journal.db", STEPS[:2])
    old.execute("INSERT INTO account VALUES (1, 'default')")
    for key, path in ((1, "Leads.csv"), (2, "leads.csv"), (3, "3.csv")):
        files = f'[{{"path": "{path}", "bytes": {key}, "sha256": null}}]'
        old.execute(
            "INSERT INTO job (key, account, id, position, state, files) VALUES (?, 1, ?, ?, 3, ?)",
            (key, str(key), key, files),
        )
    old.close()
    with JournalReader.open(folder) as reader:
        assert [each.superseded_by for each in reader.outcomes()] == ["2", None, None]
    async with opened(tmp_path) as journal:
        owners = await journal.owners([str(tmp_path / name) for name in ("LEADS.csv", "3.csv")])
        assert [tuple(owner) for owner in owners.values()] == [(2, 2), (3, 3)]
    with JournalReader.open(folder) as reader:
        assert reader.counts() == [AccountCounts("default", done=3, superseded=1)]


async def test_a_job_keeps_its_folder_and_the_number_of_its_records(tmp_path: Path) -> None:
    """A later run has them, whether the ZIP has come by then or not; a list without them too."""
    jobs_ = [
        Job(number, name="part", folder=f"Leads/{number}", records=int(number)) for number in "123"
    ]
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs_)
        one, two, _ = await drain(journal)
        assert [one.job, two.job] == jobs_[:2]
        # As it was told to the run meanwhile.
        told = two._replace(job=dataclasses.replace(two.job, records=22))
        await journal.downloaded(told, zip_bytes=7, attempts=1)
    jobs_[1] = told.job
    async with opened(tmp_path) as journal:
        again = dataclasses.replace(jobs_[1], records=None)
        await journal.enqueue([jobs_[0], again, Job("3", name="part")])
        one, two, three = await drain(journal)
        assert [one.job, two.job] == jobs_[:2]
        assert three.job == Job("3", name="part", records=3)
    with JournalReader.open(tmp_path / ".bulkfetch") as reader:
        assert [known.job for known in reader.known()] == [one.job, two.job, three.job]
        assert [known.job for known in reader.find("1")] == [jobs_[0]]


async def test_what_leaves_the_list_may_be_listed_again(tmp_path: Path) -> None:
    """Jobs of an account that nobody fetches leave it, those under way stay; names become free."""
    async with opened(tmp_path) as journal:
        await journal.enqueue([*jobs("1", "2", "3"), *jobs("4", account="eu")])
        (first, _) = await journal.take("default", 2)
        assert await journal.leave("default", {first.key}) == ["2", "3"]
        assert journal.counts == Counts(pending=2)
        assert await journal.take("default", 10) == []
        page, _ = await journal.pending("default")
        assert [entry.job.id for entry in page] == ["1"]
        named = await journal.enqueue([Job("5", name="2")])
        assert named.accounts == {"default": Admitted(pending=1)}
        await journal.enqueue(jobs("3"))
        assert [entry.job.id for entry in await journal.take("default", 10)] == ["5", "3"]
        assert journal.counts == Counts(pending=4)
    async with opened(tmp_path) as journal:
        await journal.enqueue(jobs("1", "2", "3"))
        assert [entry.job.id for entry in await drain(journal)] == ["1", "2", "3"]

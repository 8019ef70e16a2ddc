"""Any faults in any order, several accounts, stops and cancels in between, runs again and again.

BULKFETCH_LONG=1 in the environment tries many more stories, others each time.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, note
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.support.flow_clock import flow_loop
from tests.support.whole_runs import account, refresh_token_of, run_whole, settings

from bulkfetch import BulkfetchError, Client, Job, Outcome
from bulkfetch.sandbox import FAULTS, JobSpec, Sandbox, SandboxOptions

pytestmark = pytest.mark.slow

EXAMPLES = 400 if os.environ.get("BULKFETCH_LONG") else 25

# Those that take long to play are left to the table.
SLOW = {"oversize_endless", "zip_bomb", "gzip_bomb", "error_huge", "drip", "drip_head"}
NAMES = st.sampled_from(["", "", *(name for name in FAULTS if name not in SLOW)])
SCRIPTS = st.lists(st.lists(NAMES, max_size=6), min_size=1, max_size=14)
# How a run is cut short, after how many seconds of the clock; None lets it come to its end.
CUTS = st.lists(st.tuples(st.sampled_from(["stop", "cancel"]), st.floats(0, 200)), max_size=3)
ACCOUNTS = ("one", "two", "three")
# What a job may cost in one run beside its 429s: its tries and one more fetch of a damaged archive,
# each with the repeat after a refreshed token.
MOST = 2 * (5 + 1)


class Story:
    """What was seen over all runs of one list."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.last: dict[str, Outcome] = {}

    def has_failed(self, job_id: str) -> bool:
        return job_id in self.last and self.last[job_id].status == "failed"

    def take(self, outcome: Outcome, seen: set[str]) -> None:
        assert outcome.job_id not in seen, "answered for twice in one run"
        seen.add(outcome.job_id)
        self.last[outcome.job_id] = outcome
        if outcome.status == "done":
            (self.skipped if outcome.skipped else self.done)[outcome.job_id] += 1
        else:
            assert not self.done[outcome.job_id], "done, and then not any more"
            assert not outcome.files
        if outcome.status == "failed":
            assert outcome.error is not None
            assert outcome.error.code.isupper()
            assert outcome.error.hint


async def one_run(
    client: Client, jobs: list[Job], story: Story, cut: tuple[str, float] | None
) -> bool:
    """Do one run, cut short as told; say whether it came to its end."""
    seen: set[str] = set()
    async with client:
        run = client.fetch(jobs)
        if cut is not None and cut[0] == "stop":
            flow_loop().call_later(cut[1], run.stop)

        async def read() -> None:
            async for outcome in run:
                story.take(outcome, seen)

        try:
            await asyncio.wait_for(read(), cut[1] if cut and cut[0] == "cancel" else None)
        except TimeoutError:
            return False
        except BulkfetchError as error:
            raise AssertionError("nothing here ends a whole run") from error
        report = run.report
    ids = {job.id for job in jobs}
    to_do = report.done + report.failed + report.pending
    assert seen <= ids
    if report.list_read:
        assert seen == ids, "every id is answered for"
        assert to_do + report.skipped == len(ids)
    assert report.ok == (report.list_read and all(story.last[key].status == "done" for key in ids))
    return not report.interrupted


async def tell(
    folder: Path, scripts: list[list[str]], cuts: list[tuple[str, float]], framing: str
) -> None:
    jobs, specs = [], {}
    for number, script in enumerate(scripts):
        job_id = f"55402300000{number:07}"
        jobs.append(Job(job_id, ACCOUNTS[number % len(ACCOUNTS)]))
        specs[job_id] = JobSpec(records=20, columns=3, faults=tuple(script))
    options = SandboxOptions(jobs=specs, ranges=True, etag=True, framing=framing)  # type: ignore[arg-type]
    story = Story()
    async with Sandbox(options) as sandbox:
        accounts = [account(sandbox.url, name, refresh_token_of(name)) for name in ACCOUNTS]
        told = settings(folder, *accounts, idle_s=20, zip_bytes=1 << 20)
        runs = 0
        for cut in cuts:
            await one_run(Client(told), jobs, story, cut)
            runs += 1
        # Scripts are used up in the end, and then everything is brought home.
        while runs < 20:
            runs += 1
            # What failed for good is asked for again only where that is said.
            wanted = [replace(job, again=story.has_failed(job.id)) for job in jobs]
            if await one_run(Client(told), wanted, story, None) and all(
                outcome.status == "done" for outcome in story.last.values()
            ):
                break
        event(f"{runs} runs")
        for job in jobs:
            note(f"{job.id} {job.account} {specs[job.id].faults} -> {story.last[job.id].status}")
            assert story.done[job.id] <= 1, "done more than once"
            assert story.last[job.id].status == "done"
            published = folder / "out" / f"{job.id}.csv"
            assert published.read_bytes() == sandbox.file_of(job.id)
            asked = sandbox.results(job.id)
            whole = [arrival for arrival in asked if arrival.whole]
            limits = sum(arrival.status == 429 for arrival in asked)
            assert len(asked) - limits <= MOST * runs
            # Cut short between its last byte and the journal, a body is lost; else never asked for
            # again once it was whole and right.
            # Wrong bytes before a break show when the rest has come: then all of it is asked again.
            wrong = specs[job.id].faults.count("chunk_cut")
            assert len(whole) <= 1 + len(cuts) + wrong
        assert sandbox.worst_in() <= 10
    left = {path.name for path in (folder / "out" / ".bulkfetch" / "staging").iterdir()}
    assert left == set()
    names = {path.name for path in (folder / "out").iterdir()} - {".bulkfetch"}
    assert names == {f"{job.id}.csv" for job in jobs}


@hypothesis_settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=not os.environ.get("BULKFETCH_LONG"),
    suppress_health_check=[HealthCheck.too_slow],
)
@given(SCRIPTS, CUTS, st.sampled_from(["length", "chunked", "close"]))
def test_whatever_happens_every_file_comes_home_once(
    scripts: list[list[str]], cuts: list[tuple[str, float]], framing: str
) -> None:
    """Every id is answered for in each run, done once, asked for boundedly, ten in any minute."""
    with tempfile.TemporaryDirectory() as name:
        run_whole(tell(Path(name), scripts, cuts, framing))

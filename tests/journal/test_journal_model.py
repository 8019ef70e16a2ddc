"""The journal against a plain dictionary, over any order of steps and any number of runs."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule
from tests.support.journals import done, failed, skipped

from bulkfetch.journal import Counts, Entry, Journal, JournalReader
from bulkfetch.models import Job

pytestmark = pytest.mark.slow

T = TypeVar("T")
_ACCOUNTS = st.sampled_from(["default", "eu"])
# Other ids in each account: two jobs with one id would be published as one file.
_JOBS = st.builds(
    lambda number, account: Job(f"{number}{len(account)}", account), st.integers(0, 12), _ACCOUNTS
)


class JournalModel(RuleBasedStateMachine):
    """`state` is what every job came to, `second` are to be tried again; the rest is this run's."""

    entries = Bundle("entries")

    def __init__(self) -> None:
        super().__init__()
        self.out = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.state: dict[Job, str] = {}
        self.second: set[Job] = set()
        self.begin()

    def begin(self) -> None:
        """Start a run."""
        self.journal = self.await_(Journal.open(self.out / ".bulkfetch"))
        self.listed: list[Job] = []
        self.pending: list[Job] = []
        self.skipped: list[Job] = []
        self.handed: set[Job] = set()
        self.ended = {"done": 0, "failed": 0}
        self.run = getattr(self, "run", 0) + 1

    def await_(self, step: Coroutine[object, object, T]) -> T:
        """Let a step of the journal run to its end."""
        return self.runner.run(step)

    def teardown(self) -> None:
        """Close the last run and remove what it wrote."""
        self.await_(self.journal.aclose())
        self.runner.close()
        shutil.rmtree(self.out)

    @rule(batch=st.lists(_JOBS, max_size=8))
    def admit(self, batch: list[Job]) -> None:
        """A batch of the list goes in."""
        new = [job for job in dict.fromkeys(batch) if job not in self.listed]
        admitted = self.await_(self.journal.enqueue(batch)).accounts
        kept = [job for job in new if self.state.get(job) == "done"]
        fresh = [job for job in new if job not in kept]
        assert sum(each.already_done for each in admitted.values()) == len(kept)
        assert sum(each.pending for each in admitted.values()) == len(fresh)
        assert sum(each.duplicates for each in admitted.values()) == len(batch) - len(new)
        self.listed += new
        self.skipped += kept
        self.pending += fresh
        self.second |= {job for job in fresh if self.state.get(job) == "failed"}
        for job in fresh:
            if self.state.get(job) != "downloaded":
                self.state[job] = "pending"

    @rule(target=entries, account=_ACCOUNTS, limit=st.integers(1, 5))
    def take(self, account: str, limit: int) -> object:
        """A lane pulls its next jobs."""
        taken = self.await_(self.journal.take(account, limit))
        mine = [job for job in self.pending if job.account == account and job not in self.handed]
        first_tries = [job for job in mine if job not in self.second]
        due = (first_tries or mine)[:limit]
        assert [entry.job for entry in taken] == due
        assert [entry.state for entry in taken] == [self.state[job] for job in due]
        self.handed.update(due)
        return multiple(*((self.run, entry) for entry in taken))

    @rule(held=entries, back=st.booleans())
    def stage(self, held: tuple[int, Entry], back: bool) -> None:
        """A job's ZIP is whole, or is found damaged."""
        run, entry = held
        if run != self.run or self.state[entry.job] not in ("pending", "downloaded"):
            return
        if back:
            self.await_(self.journal.back_to_pending(entry))
        else:
            self.await_(self.journal.downloaded(entry, zip_bytes=1, attempts=1))
        self.state[entry.job] = "pending" if back else "downloaded"

    @rule(held=consumes(entries), well=st.booleans())
    def end(self, held: tuple[int, Entry], well: bool) -> None:
        """A job comes to its end."""
        run, entry = held
        if run != self.run:
            return
        if well:
            self.await_(self.journal.done(entry, done(entry, self.out)))
        else:
            self.await_(self.journal.failed(entry, failed(entry, self.out)))
        self.second.discard(entry.job)
        self.state[entry.job] = "done" if well else "failed"
        self.ended[self.state[entry.job]] += 1

    @rule()
    def run_again(self) -> None:
        """The run ends and another begins."""
        self.await_(self.journal.aclose())
        self.begin()

    @invariant()
    def counts_agree(self) -> None:
        """Counts and skipped jobs are those of this run's list."""
        ended = self.ended["done"] + self.ended["failed"]
        assert self.journal.counts == Counts(
            **self.ended, pending=len(self.pending) - ended, skipped=len(self.skipped)
        )
        told = self.await_(skipped(self.journal, limit=3))
        assert [(each.job_id, each.account) for each in told] == [
            (job.id, job.account) for job in self.skipped
        ]

    @rule()
    def status(self) -> None:
        """A reader beside the run sees every job in its state."""
        if not self.state:
            return
        with JournalReader.open(self.out / ".bulkfetch") as reader:
            seen = {Job(each.job_id, each.account): each.status for each in reader.outcomes()}
            failures = {Job(each.job_id, each.account) for each in reader.failed()}
            numbers = reader.counts()
        assert seen == {
            job: "pending" if state == "downloaded" else state for job, state in self.state.items()
        }
        assert failures == {job for job, state in self.state.items() if state == "failed"}
        assert sum(each.done for each in numbers) == list(seen.values()).count("done")


JournalModel.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestJournalModel = JournalModel.TestCase
TestJournalModel.__doc__ = "Whatever the order of steps and runs, the journal agrees with a dict."

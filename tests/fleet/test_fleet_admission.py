"""What becomes of lists, against a plain dictionary, over random lists and outcomes."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

import pytest
from tests.support.fleets import PASSING, PERMANENT, done, failed, fleet_journal, submit_to
from tests.support.postgres import PostgresServer

from bulkfetch.fleet.journal import FleetJournal
from bulkfetch.models import Job

pytestmark = pytest.mark.slow

ROWS = "SELECT id, state, coalesce(name, id), owns FROM bulkfetch.fleet_job ORDER BY id"


@dataclass
class Known:
    """A job as the rules have it; `state` is pending, done, failed or lost for good."""

    state: str
    name: str
    owns: bool = True


class Model:
    """One account's jobs, by the rules in words of `bulkfetch.fleet.admission`."""

    def __init__(self) -> None:
        self.jobs: dict[str, Known] = {}

    def submit(self, listed: list[Job], *, again: bool) -> tuple[int, int, int, int]:
        """Take a list in, and return what `Submitted` counts."""
        asked, done_before, failed_before, refused = 0, 0, 0, 0
        before = {job_id: known.state for job_id, known in self.jobs.items()}
        held = {
            known.name: job_id
            for job_id, known in self.jobs.items()
            if known.state == "pending" and known.owns
        }
        first: dict[str, Job] = {}
        names: dict[str, str] = {}  # who of this list has a name
        taken: list[Job] = []
        for job in listed:
            state = before.get(job.id)
            if job.id in first:
                other_name = job.name is not None and job.name != first[job.id].stem
                refused += other_name and state != "done"
                continue
            first[job.id] = job
            if state == "pending" and job.name not in (None, self.jobs[job.id].name):
                refused += 1
                continue
            skips = not again and state in ("done", "lost")
            kept = state == "pending" or (state == "done" and not again)
            name = self.jobs[job.id].name if kept else job.stem
            competes = not kept or self.jobs[job.id].owns
            owner = names.setdefault(name, job.id) if competes else job.id
            if skips:
                done_before += state == "done"
                failed_before += state == "lost"
            elif owner != job.id or held.get(name, job.id) != job.id:
                refused += 1
            else:
                asked += 1
                taken.append(Job(job.id, "acme", name))
        fresh = [job for job in taken if before.get(job.id) != "pending"]
        for known in self.jobs.values():
            if known.state != "pending" and known.name in {job.stem for job in fresh}:
                known.owns = False
        for job in fresh:
            self.jobs[job.id] = Known("pending", job.stem)
        return asked, done_before, failed_before, refused

    def rows(self) -> str:
        numbers = {"pending": 0, "done": 1, "failed": 2, "lost": 2}
        return "\n".join(
            f"{job_id}|{numbers[known.state]}|{known.name}|{'t' if known.owns else 'f'}"
            for job_id, known in sorted(self.jobs.items())
        )


async def end_some(journal: FleetJournal, model: Model, chance: random.Random) -> None:
    """Have some pending jobs end somehow."""
    generation = await journal.begin_turn("acme", "host-1")
    for job_id, known in model.jobs.items():
        if known.state == "pending" and chance.random() < 0.6:
            known.state = chance.choice(["done", "failed", "lost"])
            outcome = {
                "done": done(job_id),
                "failed": failed(job_id, error=PASSING),
                "lost": failed(job_id, error=PERMANENT),
            }[known.state]
            await journal.record("acme", generation, [outcome])
    await journal.end_turn("acme", generation)


def test_any_lists_end_as_the_rules_say(postgres: PostgresServer, database: str) -> None:
    """Counts, states, names and their owners, over a dozen lists between which jobs end."""

    async def main() -> None:
        url = postgres.url(database)
        chance = random.Random(26)
        model = Model()
        async with fleet_journal(url) as journal:
            for _ in range(12):
                listed = [
                    Job(str(chance.randint(1, 12)), "acme", chance.choice([None, None, *"uvwxyz"]))
                    for _ in range(chance.randint(1, 8))
                ]
                again = chance.random() < 0.2
                submitted = await submit_to(url, listed, again=again)
                counts = model.submit(listed, again=again)
                assert submitted[1:5] == counts, listed
                assert postgres.sql(ROWS, database) == model.rows(), listed
                await end_some(journal, model, chance)

    asyncio.run(main())

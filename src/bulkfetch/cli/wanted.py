"""What a run would make of the jobs of a list, before it asks for any."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from bulkfetch.errors import InvalidName, JobError, NotConvertible, PublishConflict, is_permanent
from bulkfetch.filenames import same_file
from bulkfetch.models import Failure, Job, Outcome
from bulkfetch.observe.failures import grouped

if TYPE_CHECKING:
    from bulkfetch.journal import ClaimedNames, JournalReader

# To be requested, "again" after all "new" ones; to be published only; ended before, "failed" for
# good; and to fail in this list, since a job before it has its name.
State = Literal["new", "again", "downloaded", "done", "failed", "conflict"]

# A job that failed with these codes keeps its ZIP until the list or the folder is corrected.
_KEEP_ZIP = frozenset({PublishConflict.code, InvalidName.code, NotConvertible.code})
# Jobs of one kind that would fail and are named; more are only counted.
_NAMED = 5


@dataclass(slots=True)
class Failing:
    """Jobs that would fail for one kind of reason: how many, and the first of them."""

    count: int = 0
    first: list[Outcome] = field(default_factory=list)

    def add(self, job: Job, error: JobError, where: str | None = None) -> None:
        """Count a job; `where` it stands in the list is written before the message."""
        self.count += 1
        if len(self.first) < _NAMED:
            failure = Failure.of(error)
            if where:
                failure = replace(failure, message=f"{where}: {failure.message}")
            self.first.append(Outcome(job.id, job.account, "failed", error=failure))

    def lines(self) -> Iterator[str]:
        """Yield lines about the first ones, with what to do about them."""
        for sentence, hint in grouped(self.first):
            yield f"  {sentence}"
            if hint:
                yield f"  hint: {hint}"
        if self.count > len(self.first):
            yield f"  and {self.count - len(self.first)} more"


@dataclass(slots=True)
class Wanted:
    """The different ids of each account in the order of the list, and where each stands.

    `malformed` jobs would fail for their id, name or account; `conflicts` for the name of another.
    """

    states: dict[str, dict[str, State]] = field(default_factory=dict)
    malformed: Failing = field(default_factory=Failing)
    conflicts: Failing = field(default_factory=Failing)


def read_wanted(
    listed: Iterable[Job],
    accounts: Container[str],
    journal: JournalReader | None,
    names: ClaimedNames,
) -> Wanted:
    """Read a list to its end; some 300 bytes for an id. `journal`: None where there is none yet."""
    from bulkfetch.journal.admission import named_again, named_alike
    from bulkfetch.pipeline.refusal import refusal

    wanted = Wanted()
    stems: dict[tuple[str, str], str] = {}  # of jobs that have a name
    owners: dict[str, tuple[str, str]] = {}  # account and id of the job that has a folded name
    for job in listed:
        if (refused := refusal(job, accounts)) is not None:
            wanted.malformed.add(*refused)
            continue
        key = job.account, job.id
        states = wanted.states.setdefault(job.account, {})
        if job.id in states:
            named_otherwise = job.name is not None and job.stem != stems.get(key, job.id)
            if named_otherwise and states[job.id] != "done":
                wanted.malformed.add(job, named_again(job), job.origin)
            continue
        if job.name is not None:
            stems[key] = job.stem
        state, publishing = _standing(job, journal)
        folded = [same_file(name) for name in names(publishing)]
        taken = next((name for name in folded if name in owners), None)
        if taken is None:
            owners.update(dict.fromkeys(folded, key))
        elif state not in ("done", "failed"):
            state = "conflict"
            wanted.conflicts.add(job, named_alike(job, taken, *owners[taken]), job.origin)
        states[job.id] = state
    return wanted


def _standing(job: Job, journal: JournalReader | None) -> tuple[State, Job]:
    """Return where a job stands, and the job with the name that it has or will be given."""
    known = None if journal is None else journal.find_job(job)
    if known is None:
        return "new", job
    state = _state_of(known.outcome)
    return state, known.job if state == "done" else job


def _state_of(outcome: Outcome) -> State:
    error = outcome.error
    if outcome.status == "done":
        return "done"
    keeps_zip = outcome.status == "pending" or (error is not None and error.code in _KEEP_ZIP)
    if keeps_zip and outcome.zip_bytes is not None:
        return "downloaded"
    if error is None:
        return "new"
    return "failed" if outcome.status == "failed" and is_permanent(error.code) else "again"

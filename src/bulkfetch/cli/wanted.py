"""What a list asks for, and which of its jobs stand in one another's way; without a journal."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from bulkfetch.errors import InvalidName, JobError, PublishConflict
from bulkfetch.filenames import same_file
from bulkfetch.models import Failure, Job, Outcome
from bulkfetch.observe.failures import grouped

# Jobs of one kind that would fail and are named; more are only counted.
_NAMED = 5


@dataclass(slots=True)
class Wanted:
    """The different ids of each account in the order of the list, with their names.

    `malformed` counts jobs that a run would make fail for their id, name or account; `refused` are
    the first of them. Unless they are done already, `second` would fail as well, whose name another
    job had first, and each of `renamed`, which are mentions of an id under another name than its
    first. Some 150 bytes for an id, some 300 with a name.
    """

    ids: dict[str, dict[str, str | None]] = field(default_factory=dict)
    malformed: int = 0
    refused: list[Outcome] = field(default_factory=list)
    renamed: list[Job] = field(default_factory=list)
    second: dict[tuple[str, str], Job] = field(default_factory=dict)


def read_wanted(listed: Iterable[Job], accounts: Container[str]) -> Wanted:
    """Read a list to its end."""
    from bulkfetch.pipeline.refusal import refusal

    wanted = Wanted()
    owners: dict[str, tuple[str, str]] = {}  # by folded name, where it is not the id itself
    for job in listed:
        if (refused := refusal(job, accounts)) is not None:
            wanted.malformed += 1
            if len(wanted.refused) < _NAMED:
                error = Failure.of(refused.error)
                fit = refused.job
                wanted.refused.append(Outcome(fit.id, fit.account, "failed", error=error))
            continue
        ids = wanted.ids.setdefault(job.account, {})
        if job.id in ids:
            if job.name is not None and job.name != ids[job.id]:
                wanted.renamed.append(job)
            continue
        if _is_taken(job, wanted, owners):
            wanted.second[job.account, job.id] = job
        elif job.name is not None:
            owners[same_file(job.name)] = (job.account, job.id)
        ids[job.id] = job.name
    return wanted


def named_again(job: Job) -> Outcome:
    """Return what would become of a mention of an id under another name than its first."""
    return _failed(job, InvalidName, "the id is listed before, under another name")


def named_second(job: Job) -> Outcome:
    """Return what would become of a job whose name another job of the list has."""
    return _failed(job, PublishConflict, f"another job of the list is named {job.stem!a}")


def refused_lines(failed: Sequence[Outcome], count: int) -> Iterator[str]:
    """Yield lines about the first of `count` jobs that would fail, with what to do about them."""
    shown = failed[:_NAMED]
    for sentence, hint in grouped(shown):
        yield f"  {sentence}"
        if hint:
            yield f"  hint: {hint}"
    if count > len(shown):
        yield f"  and {count - len(shown)} more"


def _failed(job: Job, kind: type[JobError], message: str) -> Outcome:
    where = f"{job.origin}: " if job.origin else ""
    error = Failure.of(kind(f"{where}{message}", hint="Give each job one name of its own."))
    return Outcome(job.id, job.account, "failed", error=error)


def _is_taken(job: Job, wanted: Wanted, owners: Container[str]) -> bool:
    stem = same_file(job.stem)
    if stem in owners:
        return True
    # An id without a name has itself for one.
    return any(
        ids.get(stem, stem) is None and (account, stem) not in wanted.second
        for account, ids in wanted.ids.items()
    )
